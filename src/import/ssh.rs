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

/// Reads the options. Quotes are not looked into, as repmgr hands the text to a shell.
pub(super) fn way(options: &str) -> Way {
    let (mut user, mut port, mut identity) = (None, None, None);
    let (mut config, mut known_hosts) = (None, None);
    let mut left_out = Vec::new();
    let mut words = options.split_whitespace();
    while let Some(word) = words.next() {
        let Some(letter) = word.strip_prefix('-').and_then(|w| w.chars().next()) else {
            left_out.push(word.to_owned());
            continue;
        };
        if !"bcDEeFIiJLlmOopQRSWw".contains(letter) {
            if letter != 'q' && letter != 'T' {
                left_out.push(word.to_owned());
            }
            continue;
        }
        let attached = &word[1 + letter.len_utf8()..];
        let value = if attached.is_empty() {
            words.next().unwrap_or_default()
        } else {
            attached
        };
        let (key, value) = match letter {
            'o' => value.split_once('=').unwrap_or((value, "")),
            'l' => ("user", value),
            'p' => ("port", value),
            'i' => ("identityfile", value),
            'F' => ("config", value),
            _ => ("", value),
        };
        match key.to_ascii_lowercase().as_str() {
            "user" => user = Some(value.to_owned()),
            "port" => port = value.parse().ok(),
            "identityfile" => identity = Some(PathBuf::from(value)),
            "config" => config = Some(PathBuf::from(value)),
            "userknownhostsfile" => known_hosts = Some(PathBuf::from(value)),
            key if OURS.contains(&key) => {}
            _ if attached.is_empty() => left_out.push(format!("-{letter} {key}={value}")),
            _ => left_out.push(word.to_owned()),
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
        assert_eq!(found.left_out, ["-o ProxyJump=gate", "-C"]);
        assert_eq!(way("").left_out, Vec::<String>::new());
    }
}
