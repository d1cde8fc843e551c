//! Makes a plan: asks the live cluster, runs the playbook on a simulated one that begins there.

use super::super::world::World;
use super::super::{
    Order, RunsError, SimOrder, bind_params, facts, on_paused_clock, run_simulated, sim_cluster,
};
use super::asked::{Asked, Pair, Question, Watched};
use super::branches::branches;
use super::details::{details, foretold};
use super::fold::fold;
use super::grounds::grounds;
use super::model::{Plan, PlaybookText, Supposed};
use super::outside::Taken;
use super::own::{Around, PreviewActions};
use crate::cluster::{Admission, Cluster, Inventory, NodeName, Topology, Trouble};
use crate::document::Source;
use crate::journal::MemoryRecorder;
use crate::playbook::{Checked, Map};
use crate::simulate::{Assumption, Snapshot, World as Simulated, snapshot};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The seed of every preview: the same facts give the same plan.
const SEED: u64 = 0;
/// How long the simulated cluster goes on after the run before it is looked at.
///
/// Longer than a standby that failed to connect waits before it tries again.
const SETTLE: Duration = Duration::from_secs(10);

/// Beyond so many tried logins a preview is not made anew: each round learns of some, so it ends long before.
const MOST_LOGINS: usize = 64;

/// Logins that are refused, and why.
type Barred = BTreeMap<Pair, String>;

/// A preview, all decided.
struct Preview {
    order: Order,
    playbook: Checked,
    params: Map,
    vars: Map,
    pinned: Map,
    before: Topology,
    snapshot: Snapshot,
    barred: Barred,
    inventory: Arc<Inventory>,
    made: jiff::Timestamp,
}

impl World {
    /// What a run of this would do. Asks the live cluster and changes nothing anywhere: no lease, no journal, no effect.
    pub async fn plan(&self, order: Order) -> Result<Plan, RunsError> {
        let playbook = self.load(&order.playbook)?;
        let live = self.cluster();
        let (before, snapshot) = tokio::join!(self.topology(), snapshot(live.as_ref()));
        let pinned = facts::pinned(self.inventory(), &before);
        let params = bind_params(&playbook, &order.params, self.vars(), &pinned)?;
        let mut preview = Preview {
            order,
            playbook,
            params,
            vars: self.vars().clone(),
            pinned,
            before,
            snapshot,
            barred: Barred::new(),
            inventory: Arc::clone(self.inventory()),
            made: jiff::Timestamp::now(),
        };
        let mut tried = BTreeSet::new();
        loop {
            let around = Around {
                live: self.live_actions(),
                runtime: tokio::runtime::Handle::current(),
                playbook: preview.playbook.clone(),
                recorder: MemoryRecorder::new(),
                taken: Taken::default(),
            };
            // The simulation has a clock, and so a runtime, of its own.
            let simulated = tokio::task::spawn_blocking(move || {
                let ended = on_paused_clock(preview.run(around));
                ended.map(|(plan, logins)| (preview, plan, logins))
            });
            let ended = simulated.await.map_err(std::io::Error::other);
            let (back, plan, logins) = ended
                .and_then(|ended| ended)
                .map_err(RunsError::Simulation)?;
            // Who may log in where cannot be read anywhere, only tried, and is tried where the run comes to it.
            let new: Vec<Pair> = logins.difference(&tried).cloned().collect();
            let refused = refusals(live.as_ref(), &new).await;
            tried.extend(new);
            if refused.is_empty() || tried.len() > MOST_LOGINS {
                return Ok(plan);
            }
            preview = back;
            preview.barred.extend(refused);
        }
    }
}

/// What the servers tell of these logins that would be refused.
async fn refusals(live: &dyn Cluster, logins: &[Pair]) -> Barred {
    let tries = logins.iter().map(|(node, upstream)| async move {
        match live.admission(node, upstream).await {
            Ok(Admission::Refused(why)) => Some(((node.clone(), upstream.clone()), why)),
            _ => None,
        }
    });
    let refused = join_all(tries).await;
    refused.into_iter().flatten().collect()
}

impl Preview {
    /// The plan, and the logins that it comes down to.
    async fn run(&self, around: Around) -> (Plan, BTreeSet<Pair>) {
        let taken = around.taken.clone();
        let recorder = around.recorder.clone();
        let (mut world, assumed) = Simulated::from_snapshot(&self.inventory, &self.snapshot, SEED);
        for ((node, upstream), why) in &self.barred {
            world.bar(node, upstream, why);
        }
        let sim = sim_cluster(&self.inventory, world).with_outside(Arc::new(taken.clone()));
        let asked = Asked::default();
        let port: Arc<dyn Cluster> = Arc::new(Watched {
            sim: sim.clone(),
            asked: asked.clone(),
        });
        let actions = PreviewActions::new(&port, around);
        let order = SimOrder {
            playbook: self.playbook.clone(),
            params: self.params.clone(),
            site_vars: self.vars.clone(),
            pinned: self.pinned.clone(),
            started: self.made,
            seed: SEED,
            trigger: self.order.trigger.clone(),
            payload: self.order.payload.clone(),
            forecast: true,
            recorder,
            inbox: None,
        };
        let ran = run_simulated(&self.inventory, Arc::new(actions), order).await;
        let logins = asked.logins();
        let asked = self.rests_on(asked.all());
        sim.pass(SETTLE).await;
        let (after, ended) = tokio::join!(facts::topology(&sim), snapshot(&sim));
        let details_before = details(&self.inventory, &self.snapshot);
        let details_after = foretold(&self.inventory, &self.snapshot, &ended);
        let (steps, mut decisions) = fold(&ran.events).steps();
        decisions.extend(branches(&steps));
        let plan = Plan {
            format: Plan::FORMAT,
            made: self.made.to_string(),
            cluster: self.inventory.cluster.clone(),
            playbook: self.order.playbook.clone(),
            version: self
                .playbook
                .playbook
                .version
                .as_ref()
                .map(|v| v.value.clone()),
            texts: texts(&self.playbook),
            grounds: grounds(&self.inventory, &self.snapshot, &asked),
            given: self.order.params.clone(),
            params: self.params.clone(),
            pinned: self.pinned.clone(),
            outcome: ran.report.outcome,
            failure: ran.report.failure,
            at: ran.report.at,
            outputs: ran.report.outputs,
            debts: ran.report.debts,
            steps,
            decisions,
            assumptions: assumptions(assumed, taken.all()),
            unknown: unknown(&self.snapshot),
            before: self.before.clone(),
            after,
            details_before,
            details_after,
        };
        (plan, logins)
    }

    /// What the actions asked; where the playbook itself looks at the pinned facts, those of all nodes too.
    fn rests_on(
        &self,
        mut asked: BTreeSet<(NodeName, Question)>,
    ) -> BTreeSet<(NodeName, Question)> {
        let pins = |text: &PlaybookText| text.text.contains("cluster.");
        if texts(&self.playbook).iter().any(pins) {
            for node in self.inventory.nodes.keys() {
                for question in [Question::Server, Question::Identity, Question::Upstream] {
                    asked.insert((node.clone(), question));
                }
            }
        }
        asked
    }
}

/// The playbook first, then what it nests, by name.
pub(super) fn texts(checked: &Checked) -> Vec<PlaybookText> {
    let text = |(name, source): &(String, Source)| PlaybookText {
        name: name.clone(),
        source: source.name.to_string(),
        text: source.text.to_string(),
    };
    checked.sources.iter().map(text).collect()
}

fn assumptions(seeded: Vec<Assumption>, taken: Vec<Supposed>) -> Vec<Supposed> {
    let seeded = seeded.into_iter().map(|assumption| Supposed {
        about: assumption.node.to_string(),
        text: assumption.text,
    });
    seeded.chain(taken).collect()
}

/// What nobody could read. Where a server does not answer, its facts are not counted one by one.
fn unknown(snapshot: &Snapshot) -> Vec<Supposed> {
    let mut all = Vec::new();
    for (node, facts) in &snapshot.nodes {
        let silent = facts.server.trouble();
        // The rest is silent for the same reason.
        let answers = |trouble: Option<Trouble>| trouble.filter(|_| silent.is_none());
        let parts = [
            ("what its server says of itself", silent.cloned()),
            ("its timeline", answers(facts.identity.trouble().cloned())),
            (
                "the history of its timeline",
                answers(facts.history.trouble().cloned()),
            ),
            (
                "who streams from it",
                answers(facts.senders.trouble().cloned()),
            ),
            ("its slots", answers(facts.slots.trouble().cloned())),
            (
                "what lies in its pg_wal",
                answers(facts.wal_files.trouble().cloned()),
            ),
            (
                "how far its archiving is behind",
                answers(facts.archiving.trouble().cloned()),
            ),
            ("its settings", answers(facts.settings.trouble().cloned())),
            (
                "what it is set to follow",
                answers(facts.upstream.trouble().cloned()),
            ),
            (
                "what repmgr's table says there",
                answers(
                    facts
                        .repmgr
                        .as_ref()
                        .and_then(|table| table.trouble().cloned()),
                ),
            ),
            ("what its host says of it", facts.host.trouble().cloned()),
            (
                "where its log ends",
                facts
                    .wal_end
                    .as_ref()
                    .and_then(|end| end.trouble().cloned()),
            ),
        ];
        let told = parts.into_iter().filter_map(|(what, trouble)| {
            Some(Supposed {
                about: node.to_string(),
                text: format!("{what}: {}", trouble?.message),
            })
        });
        all.extend(told);
    }
    all
}
