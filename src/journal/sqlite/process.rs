//! Which process holds something, and whether it is still there.

use std::fmt;
use std::io;
use std::path::Path;

/// A process of this machine, not to be mistaken for a later one of the same number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pid: u32,
    /// In clock ticks since the machine started.
    started: u64,
    /// Numbers mean something only within it: two containers may share a journal.
    namespace: String,
    /// Differs after every start of the machine.
    boot: String,
}

impl Process {
    /// This one.
    pub(super) fn current() -> io::Result<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let odd = || io::Error::new(io::ErrorKind::InvalidData, "/proc/self/stat is odd");
        let stat = Stat::parse(&stat).ok_or_else(odd)?;
        let namespace = std::fs::read_link("/proc/self/ns/pid")?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(Self {
            pid: stat.pid,
            started: stat.started,
            namespace: namespace.display().to_string(),
            boot: boot.trim().to_owned(),
        })
    }

    /// As [`fmt::Display`] writes it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let process = Self {
            pid: words.next()?.parse().ok()?,
            started: words.next()?.parse().ok()?,
            namespace: words.next()?.to_owned(),
            boot: words.next()?.to_owned(),
        };
        words.next().is_none().then_some(process)
    }

    /// Whether it surely runs no more, seen by the process `here`. What cannot be told counts as running.
    pub(super) fn is_gone(&self, here: &Self) -> bool {
        if self.boot != here.boot {
            return true;
        }
        if self.namespace != here.namespace {
            return false;
        }
        match std::fs::read_to_string(Path::new("/proc").join(self.pid.to_string()).join("stat")) {
            Ok(text) => {
                Stat::parse(&text).is_some_and(|stat| stat.started != self.started || stat.is_dead)
            }
            Err(error) => {
                // A process can end between the opening of its file and the reading.
                error.kind() == io::ErrorKind::NotFound
                    || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
            }
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pid,
            started,
            namespace,
            boot,
        } = self;
        write!(f, "{pid} {started} {namespace} {boot}")
    }
}

/// What is of interest in `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    pid: u32,
    started: u64,
    /// It has ended and waits for its parent to notice.
    is_dead: bool,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name in parentheses may itself contain parentheses and blanks.
        let (pid, rest) = text.split_once(" (")?;
        let (_, rest) = rest.rsplit_once(") ")?;
        // From the state, which is field 3: threads are field 20, the start is field 22.
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let threads: u64 = fields.get(17)?.parse().ok()?;
        Some(Self {
            pid: pid.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
            is_dead: matches!(*fields.first()?, "Z" | "X") && threads <= 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_told_from_others_of_its_number() {
        let here = Process::current().unwrap();
        assert_eq!(Process::parse(&here.to_string()), Some(here.clone()));
        assert!(!here.is_gone(&here));
        let later = Process {
            started: here.started + 1,
            ..here.clone()
        };
        assert!(later.is_gone(&here));
        let before_the_reboot = Process {
            boot: "another".to_owned(),
            ..here.clone()
        };
        assert!(before_the_reboot.is_gone(&here));
        let in_a_container = Process {
            namespace: "pid:[1]".to_owned(),
            pid: u32::MAX,
            ..here.clone()
        };
        assert!(!in_a_container.is_gone(&here));
        for text in ["", "1 2 3", "1 2 3 4 5", "x 2 3 4"] {
            assert_eq!(Process::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_dead_are_gone_before_their_parent_notices() {
        let here = Process::current().unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let process = Process {
            pid: child.id(),
            started: Stat::parse(&stat).unwrap().started,
            ..here.clone()
        };
        assert!(!process.is_gone(&here));
        // It ends with its input; nobody has asked for its status yet.
        drop(child.stdin.take());
        while !process.is_gone(&here) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.wait().unwrap();
        assert!(process.is_gone(&here));
    }

    #[test]
    fn a_name_may_contain_parentheses() {
        let text = "42 (a) S (b) Z 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0";
        let expected = Stat {
            pid: 42,
            started: 777,
            is_dead: true,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("42 (cat) S 1"), None);
    }
}
