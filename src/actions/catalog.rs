//! All actions, by name.

use super::scene::{Bound, Deed};
use crate::cluster::Cluster;
use crate::engine::{Action, Actions};
use crate::playbook::{Catalog, Signature};
use std::collections::BTreeMap;
use std::sync::Arc;

type Maker = fn(Arc<dyn Cluster>) -> Arc<dyn Action>;

macro_rules! table {
    ($($module:ident :: $deed:ident),* $(,)?) => {
        fn table() -> Vec<(Signature, Maker)> {
            vec![$((
                super::$module::$deed::signature(),
                (|cluster| Arc::new(Bound::new(super::$module::$deed, cluster)) as Arc<dyn Action>) as Maker,
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

/// The contracts of all actions: what `validate`, `schema` and the engine go by.
pub fn catalog() -> Catalog {
    Catalog {
        actions: table()
            .into_iter()
            .map(|(signature, _)| (signature.name, signature))
            .collect(),
    }
}

/// All actions at work on one cluster.
pub struct LiveActions(BTreeMap<&'static str, Arc<dyn Action>>);

impl LiveActions {
    /// Binds every action to `cluster`.
    pub fn new(cluster: &Arc<dyn Cluster>) -> Self {
        Self(
            table()
                .into_iter()
                .map(|(signature, make)| (signature.name, make(Arc::clone(cluster))))
                .collect(),
        )
    }
}

impl Actions for LiveActions {
    fn find(&self, name: &str) -> Option<Arc<dyn Action>> {
        self.0.get(name).map(Arc::clone)
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
