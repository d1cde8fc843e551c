//! `ssh_options` as this site file's `ssh`.

use crate::cluster::Transport;
use std::path::PathBuf;

/// A way to the hosts, and the options that have no place in a site file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) transport: Transport,
    pub(super) left_out: Vec<String>,
}

/// Options that pgbaton gives to ssh itself, or that say how talkative it is.
const OURS: [&str; 6] = [
    "batchmode",
    "connecttimeout",
    "loglevel",
    "serveralivecountmax",
    "serveraliveinterval",
    "stricthostkeychecking",
];

/// The letters of ssh that are followed by a value.
const WITH_VALUE: &str = "bBcDEeFIiJLlmOopPQRSWw";

/// ssh keeps the first value that an option is given. False where there is none to keep.
fn first<T>(kept: &mut Option<T>, value: Option<T>) -> bool {
    let given = value.is_some();
    if kept.is_none() {
        *kept = value;
    }
    given
}

/// Reads the options. Quotes are not looked into, as repmgr hands the text to a shell.
pub(super) fn way(options: &str) -> Way {
    let (mut user, mut port, mut identity) = (None, None, None);
    let (mut config, mut known_hosts) = (None, None);
    let mut left_out = Vec::new();
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let Some(letters) = word.strip_prefix('-') else {
            left_out.push(word.to_owned());
            continue;
        };
        // Letters without a value may stand together; the first that takes one takes the rest of the word, or the next one.
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            if !WITH_VALUE.contains(letter) {
                if letter != 'q' && letter != 'T' {
                    left_out.push(format!("-{letter}"));
                }
                continue;
            }
            let attached = std::mem::replace(&mut rest, "".chars()).as_str();
            let value = match attached {
                "" => words.next().unwrap_or_default(),
                attached => attached,
            };
            let (key, value) = match letter {
                'o' => value.split_once('=').unwrap_or((value, "")),
                'l' => ("User", value),
                'p' => ("Port", value),
                'i' => ("IdentityFile", value),
                'F' => ("config", value),
                _ => ("", value),
            };
            let taken = match key.to_ascii_lowercase().as_str() {
                "user" => first(&mut user, Some(value.to_owned())),
                "port" => first(&mut port, value.parse().ok()),
                "identityfile" => first(&mut identity, Some(PathBuf::from(value))),
                "config" => first(&mut config, Some(PathBuf::from(value))),
                "userknownhostsfile" => first(&mut known_hosts, Some(PathBuf::from(value))),
                key => OURS.contains(&key),
            };
            // Only its name: a value may be a command with a password in it.
            if !taken {
                left_out.push(format!("-{letter} {key}").trim_end().to_owned());
            }
        }
    }
    Way {
        transport: Transport::Ssh {
            host: None,
            user,
            port,
            identity,
            config,
            known_hosts,
        },
        left_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_site_file_can_say_is_taken_and_the_rest_is_named() {
        let found = way("-q -o ConnectTimeout=10 -p 2222 -l postgres -i /k -o ProxyJump=gate -C");
        assert_eq!(
            found.transport,
            Transport::Ssh {
                host: None,
                user: Some("postgres".to_owned()),
                port: Some(2222),
                identity: Some("/k".into()),
                config: None,
                known_hosts: None,
            }
        );
        assert_eq!(found.left_out, ["-o ProxyJump", "-C"]);
        assert_eq!(way("").left_out, Vec::<String>::new());
    }

    #[test]
    fn letters_may_stand_together_and_the_first_value_counts() {
        let found = way("-qTp2222 -p 23 -oPort=abc -o ProxyCommand='sshpass -p geheim ssh'");
        let Transport::Ssh { port, .. } = found.transport else {
            panic!("{found:?}");
        };
        assert_eq!(port, Some(2222));
        assert!(
            found
                .left_out
                .starts_with(&["-o Port".to_owned(), "-o ProxyCommand".to_owned()])
        );
        assert!(!format!("{:?}", found.left_out).contains("sshpass"));
    }
}
