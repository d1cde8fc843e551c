//! All actions, by name.

use super::scene::{Bound, Deed};
use crate::cluster::Cluster;
use crate::engine::{Action, Actions};
use crate::playbook::{Catalog, Signature};
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

type Maker = fn(&'static Signature, Arc<dyn Cluster>) -> Arc<dyn Action>;

macro_rules! table {
    ($($module:ident :: $deed:ident),* $(,)?) => {
        fn table() -> Vec<(Signature, Maker)> {
            vec![$((
                super::$module::$deed::signature(),
                (|signature, cluster| Arc::new(Bound::new(super::$module::$deed, signature, cluster)) as Arc<dyn Action>) as Maker,
            )),*]
        }
    };
}

table![
    assert::Assert,
    check_archiving::CheckArchiving,
    check_candidate::CheckCandidate,
    check_login::CheckLogin,
    check_lsn::CheckLsn,
    check_rebuild::CheckRebuild,
    check_rights::CheckRights,
    check_standby::CheckStandby,
    check_subscribers::CheckSubscribers,
    approve::Approve,
    checkpoint::Checkpoint,
    choose::Choose,
    clone::Clone,
    confirm_down::ConfirmDown,
    create_slot::CreateSlot,
    drop_failover_slots::DropFailoverSlots,
    drop_slot::DropSlot,
    drop_stale_slots::DropStaleSlots,
    exec::Exec,
    fast_forward::FastForward,
    fence::Fence,
    freeze::Freeze,
    http::Http,
    notify::Notify,
    pause_managers::PauseManagers,
    promote::Promote,
    reload::Reload,
    retire::Retire,
    rewind::Rewind,
    resume_managers::ResumeManagers,
    set_synchronized_slots::SetSynchronizedSlots,
    set_synchronous::SetSynchronous,
    set_upstream::SetUpstream,
    settle_settings::SettleSettings,
    sql::Sql,
    start::Start,
    stop::Stop,
    unfreeze::Unfreeze,
    update_repmgr::UpdateRepmgr,
    verify_attach::VerifyAttach,
    verify_handover::VerifyHandover,
    verify_primary::VerifyPrimary,
    wait::Wait,
];

/// All of them, made once: a rehearsal looks into it millions of times.
static TABLE: LazyLock<HashMap<&'static str, (Signature, Maker), FixedState>> =
    LazyLock::new(|| {
        let all = table().into_iter();
        all.map(|(signature, make)| (signature.name, (signature, make)))
            .collect()
    });

/// The contracts of all actions: what `validate`, `schema` and the engine go by.
pub fn catalog() -> Catalog {
    Catalog {
        actions: TABLE
            .iter()
            .map(|(name, (signature, _))| (*name, signature.clone()))
            .collect(),
    }
}

/// The contract of one action.
pub fn signature(name: &str) -> Option<&'static Signature> {
    TABLE.get(name).map(|(signature, _)| signature)
}

/// All actions at work on one cluster.
pub struct LiveActions(Arc<dyn Cluster>);

impl LiveActions {
    /// Binds every action to `cluster`.
    pub fn new(cluster: &Arc<dyn Cluster>) -> Self {
        Self(Arc::clone(cluster))
    }
}

impl Actions for LiveActions {
    fn find(&self, name: &str) -> Option<Arc<dyn Action>> {
        let (signature, make) = TABLE.get(name)?;
        Some(make(signature, Arc::clone(&self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::catalog;

    #[test]
    fn no_output_hides_behind_what_every_step_has() {
        for signature in catalog().actions.values() {
            for taken in ["status", "items"] {
                assert!(
                    signature.output(taken).is_none(),
                    "{}.{taken}",
                    signature.name
                );
            }
        }
    }
}
