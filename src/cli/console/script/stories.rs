//! Two whole runs that the tests look at: a failover, and one that fails.

use super::{Script, path};
use crate::cluster::TroubleKind;
use crate::engine::{Event, Failure, Outcome, ScopeKind, SkipReason, StepStatus, UndoStatus};
use serde_json::json;

impl Script {
    /// A failover that goes well, four nodes.
    pub(crate) fn failover() -> Self {
        let mut s = Self::new();
        s.begin(
            "failover",
            &[
                "confirm_down",
                "freeze",
                "fence",
                "choose",
                "create_slots",
                "promote",
                "follow",
                "rewind",
            ],
        );
        s.start("confirm_down", "confirm_down", Some("n1"))
            .ok("confirm_down")
            .start("freeze", "freeze", None)
            .effect("freeze", "clear primary_conninfo on n2", "done", false)
            .attempt_failed(
                "freeze",
                1,
                Failure::new(
                    TroubleKind::Unmet,
                    "the receiver of n3 (pid 4711) is still there",
                ),
                Some(50),
            )
            .wait(50.0)
            .attempt("freeze", 2)
            .ok("freeze")
            .start("fence", "fence", Some("n1"))
            .note(
                "fence",
                "proof",
                "stopped: the postmaster of n1 is dead and no process of its data directory is left",
                json!({"proof": "stopped"}),
            )
            .note(
                "fence",
                "debt",
                "n1 must be rebuilt or rewound before it serves reads again",
                json!({}),
            )
            .ok("fence")
            .start("choose", "choose", None)
            .note(
                "choose",
                "choice",
                "n2 at 0/5000148: the highest position; n3 and n4 are 120 bytes behind",
                json!({"node": "n2"}),
            )
            .note("choose", "loss", "0 bytes", json!({"bytes": 0}))
            .ok("choose")
            .start("create_slots", "create_slot", Some("n2"))
            .unchanged("create_slots")
            .start("promote", "promote", Some("n2"))
            .effect("promote", "SELECT pg_promote(wait => false)", "done", true)
            .wait(31.5)
            .ok("promote")
            .each("follow", "playbook follow", &["n3", "n4"]);
        for node in ["n3", "n4"] {
            s.open(
                &format!("follow[{node}]"),
                ScopeKind::Item,
                &["check_lsn", "set_upstream", "verify_attach"],
            );
        }
        for node in ["n3", "n4"] {
            let at = |step: &str| format!("follow[{node}]/{step}");
            s.start(&at("check_lsn"), "check_lsn", Some(node))
                .ok(&at("check_lsn"))
                .start(&at("set_upstream"), "set_upstream", Some(node))
                .effect(&at("set_upstream"), "point at n2, reload", "done", false)
                .ok(&at("set_upstream"))
                .start(&at("verify_attach"), "verify_attach", Some(node))
                .ok(&at("verify_attach"))
                .close(&format!("follow[{node}]"), true);
        }
        s.ok("follow")
            .skip("rewind", SkipReason::When("params.rewind".to_owned()))
            .open("(finally)", ScopeKind::Finally, &["report"])
            .start("(finally)/report", "notify", None)
            .ok("(finally)/report")
            .close("(finally)", true)
            .finish(
                Outcome::Ok,
                None,
                &["n1 must be rebuilt or rewound before it serves reads again"],
            );
        s
    }

    /// One that fails at the promotion, on a waived proof, with an undo that leaves something.
    pub(crate) fn failure() -> Self {
        let mut s = Self::new();
        let timeout = || {
            Failure::new(
                TroubleKind::Timeout,
                "n2: no answer to SELECT pg_is_in_recovery() within 10s\nthe server accepts connections and stays silent",
            )
            .with_help("look at n2's log, then `pgbaton status`")
        };
        s.begin("failover", &["freeze", "fence", "promote", "follow"]);
        s.start("freeze", "freeze", Some("n2"))
            .effect("freeze", "clear primary_conninfo on n2", "done", false)
            .ok("freeze")
            .start("fence", "fence", Some("n1"))
            .note(
                "fence",
                "proof",
                "waived by alice (ticket OPS-4711): n1 was not shown to be stopped",
                json!({"proof": "waived", "by": "alice"}),
            )
            .ok("fence")
            .start("promote", "promote", Some("n2"))
            .attempt_failed("promote", 1, timeout(), Some(2_000))
            .wait(2_000.0)
            .attempt("promote", 2)
            .wait(10_000.0)
            .attempt_failed("promote", 2, timeout(), None)
            .end("promote", StepStatus::Failed, Some(timeout()))
            .skip("follow", SkipReason::Needs("promote".to_owned()));
        for (step, status, what) in [
            (
                "fence",
                UndoStatus::Failed,
                "standby.signal is still in n1's data directory; remove it before n1 is started as a primary",
            ),
            ("freeze", UndoStatus::Done, "n2 receives from n1 again"),
        ] {
            let step = path(step);
            s.push("", Event::UndoStarted { path: step.clone() });
            s.push(
                "",
                Event::UndoEnded {
                    path: step,
                    status,
                    what: what.to_owned(),
                },
            );
        }
        // As the engine does: the steps on the way are named before the failure.
        let mut decisive = timeout();
        decisive.message = format!("step `promote`: {}", decisive.message);
        s.finish(
            Outcome::Failed,
            Some(decisive),
            &["stop n1 at first contact"],
        );
        s
    }
}
