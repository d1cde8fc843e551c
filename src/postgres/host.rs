//! What a host says about a server: the answer of the script [`super::scripts::LOOK`], read.

use crate::cluster::{ControlData, ControlState, Host, Process, SlotName, SystemId, Timeline};

/// Reads the answer.
pub(crate) fn read(text: &str) -> Host {
    let (facts, control) = text.split_once("control\n").unwrap_or((text, ""));
    let mut host = Host {
        postmaster: None,
        frozen: false,
        postmaster_status: None,
        orphans: Vec::new(),
        control: control_data(control),
        newest_timeline: None,
        standby_signal: false,
        shared_memory_attached: None,
        slots: Vec::new(),
        half_rewound: false,
    };
    let mut processes: Vec<Running> = Vec::new();
    for line in facts.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "postmaster" => host.postmaster = rest.trim().parse().ok(),
            "status" => host.postmaster_status = Some(rest.trim().to_owned()),
            "shared" => host.shared_memory_attached = rest.trim().parse().ok(),
            "timeline" => {
                host.newest_timeline = u32::from_str_radix(rest.trim(), 16).ok().map(Timeline);
            }
            "frozen" => host.frozen = true,
            "signal" => host.standby_signal = true,
            "rewinding" => host.half_rewound = true,
            // A slot in the making has another name.
            "slot" => host.slots.extend(SlotName::parse(rest.trim())),
            "process" => processes.extend(Running::read(rest)),
            _ => {}
        }
    }
    if host.postmaster.is_none() {
        // The status in the file is that of a postmaster that is dead.
        host.postmaster_status = None;
    }
    host.slots.sort();
    host.orphans = processes
        .iter()
        .filter(|p| {
            !host
                .postmaster
                .is_some_and(|pm| descends(p, pm, &processes))
        })
        .map(|p| Process {
            pid: p.pid,
            title: p.title.clone(),
        })
        .collect();
    host
}

/// A process of the data directory.
struct Running {
    pid: u32,
    parent: u32,
    title: String,
}

impl Running {
    fn read(text: &str) -> Option<Self> {
        let mut words = text.splitn(3, ' ');
        Some(Self {
            pid: words.next()?.parse().ok()?,
            parent: words.next()?.parse().ok()?,
            title: words.next().unwrap_or_default().trim().to_owned(),
        })
    }
}

/// The postmaster itself, a child of it, or a child of such a child (a process that was just forked).
fn descends(process: &Running, postmaster: u32, all: &[Running]) -> bool {
    let mut current = process;
    for _ in 0..8 {
        if current.pid == postmaster || current.parent == postmaster {
            return true;
        }
        match all.iter().find(|p| p.pid == current.parent) {
            Some(parent) => current = parent,
            None => return false,
        }
    }
    false
}

/// Reads what `pg_controldata` prints in the C locale; none when it could not read the file.
fn control_data(text: &str) -> Option<ControlData> {
    let field = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key == name).then(|| value.trim())
        })
    };
    Some(ControlData {
        state: match field("Database cluster state")? {
            "shut down" => ControlState::ShutDown,
            "shut down in recovery" => ControlState::ShutDownInRecovery,
            "shutting down" => ControlState::ShuttingDown,
            "in crash recovery" => ControlState::CrashRecovery,
            "in archive recovery" => ControlState::ArchiveRecovery,
            "in production" => ControlState::InProduction,
            "starting up" => ControlState::StartingUp,
            _ => return None,
        },
        system: SystemId(field("Database system identifier")?.parse().ok()?),
        checkpoint: field("Latest checkpoint location")?.parse().ok()?,
        redo: field("Latest checkpoint's REDO location")?.parse().ok()?,
        timeline: Timeline(field("Latest checkpoint's TimeLineID")?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROL: &str = "control\n\
        Database system identifier:           7400000000000000001\n\
        Database cluster state:               in archive recovery\n\
        Latest checkpoint location:           0/3000098\n\
        Latest checkpoint's REDO location:    0/3000060\n\
        Latest checkpoint's TimeLineID:       2\n";

    #[test]
    fn children_are_no_orphans_and_strangers_are() {
        let text = format!(
            "postmaster 10\nfrozen\nstatus standby\nshared 6\nsignal\nrewinding\ntimeline 0000000A\nslot b\nslot a\nslot a.tmp\nprocess 10 1 postgres\nprocess 11 10 postgres\n\
             process 12 11 postgres\nprocess 13 1 postgres: u d idle \n{CONTROL}"
        );
        let host = read(&text);
        assert_eq!(host.postmaster, Some(10));
        assert_eq!(host.postmaster_status.as_deref(), Some("standby"));
        assert_eq!(host.shared_memory_attached, Some(6));
        assert!(host.standby_signal && host.frozen && host.half_rewound);
        assert_eq!(host.newest_timeline, Some(Timeline(10)));
        let slots = ["a", "b"].map(|name| SlotName::parse(name).unwrap());
        assert_eq!(host.slots, slots);
        assert_eq!(
            host.orphans,
            vec![Process {
                pid: 13,
                title: "postgres: u d idle".into()
            }]
        );
        let control = host.control.unwrap();
        assert_eq!(control.state, ControlState::ArchiveRecovery);
        assert_eq!(control.timeline, Timeline(2));
    }

    #[test]
    fn without_a_postmaster_everybody_is_an_orphan_and_its_status_is_history() {
        let host = read("status ready\nprocess 11 1 postgres: u d COMMIT\ncontrol\nrubbish");
        assert_eq!(host.orphans.len(), 1);
        assert_eq!(host.postmaster_status, None);
        assert_eq!(host.control, None);
    }
}
