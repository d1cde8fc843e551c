//! Whether a node's account may run the commands that the site file names for its server. sudo is asked; nothing is run.

use super::live::{LiveCluster, host_trouble, script_trouble};
use crate::cluster::{Forbidden, NodeName, Trouble};
use crate::transport::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10);

/// Arguments: whom sudo is to become, or nothing where it is not asked; then the command. Prints who asks, where the
/// program is, what sudo says of the command, and all that it allows.
const ASK: &str = r#"
LC_ALL=C; export LC_ALL
who=$1; shift
echo "user $(id -un)"
if [ -z "$who" ]; then
  command -v -- "$1" >/dev/null 2>&1 && echo "status 0" || echo "status 127"
  exit 0
fi
command -v sudo >/dev/null 2>&1 || { echo "status 127"; exit 0; }
# A program of root's may be in none of the account's directories.
path=$(PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH" command -v -- "$1" 2>/dev/null)
[ -z "$path" ] || echo "path $path"
said=$(sudo -n -u "$who" -l -- "$@" 2>&1 </dev/null)
echo "status $?"
printf '%s\n' "$said" | sed -n '1s/^sudo: /said /p'
echo listing
sudo -n -l 2>&1 </dev/null
:
"#;

impl LiveCluster {
    /// Those of these commands that may not be run.
    pub(super) async fn forbidden_of(
        &self,
        name: &NodeName,
        commands: &[Vec<String>],
    ) -> Result<Vec<Forbidden>, Trouble> {
        let (_, way) = (self.node(name)?, self.way(name)?);
        let mut found = Vec::new();
        for command in commands {
            let Some(call) = Call::of(command) else {
                continue;
            };
            let who = call.who.unwrap_or_default();
            let mut arguments = vec![who];
            arguments.extend(call.command.iter().map(String::as_str));
            let asked = way.run(Command::script(ASK, &arguments, LIMIT)).await;
            let asked = asked.map_err(|error| host_trouble(name, &error))?;
            if !asked.success() {
                let what = "failed to ask what may be run there";
                return Err(script_trouble(name, what, &asked));
            }
            found.extend(call.judged(command, &asked.out()));
        }
        Ok(found)
    }
}

/// A command as it is looked at.
struct Call<'a> {
    /// Whom sudo becomes; none where it is not by sudo.
    who: Option<&'a str>,
    command: &'a [String],
}

impl<'a> Call<'a> {
    /// None where options of sudo's stand in it that are not known here.
    fn of(argv: &'a [String]) -> Option<Self> {
        let (program, mut rest) = argv.split_first()?;
        let name = program.rsplit('/').next().unwrap_or_default();
        if name != "sudo" {
            return Some(Self {
                who: None,
                command: argv,
            });
        }
        let mut who = "root";
        while let Some((word, more)) = rest.split_first() {
            match word.as_str() {
                "-n" | "--non-interactive" | "-H" | "--set-home" => rest = more,
                "-u" | "--user" => {
                    let (user, more) = more.split_first()?;
                    (who, rest) = (user, more);
                }
                "--" => {
                    rest = more;
                    break;
                }
                option if option.starts_with('-') => return None,
                _ => break,
            }
        }
        (!rest.is_empty()).then_some(Self {
            who: Some(who),
            command: rest,
        })
    }

    /// What the host's answer means.
    fn judged(&self, argv: &[String], answer: &str) -> Option<Forbidden> {
        let (facts, listing) = answer.split_once("listing\n").unwrap_or((answer, ""));
        let fact = |name: &str| {
            let mut lines = facts.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        };
        let user = fact("user").unwrap_or_default();
        let status = fact("status").and_then(|s| s.parse().ok()).unwrap_or(1);
        let forbidden = |why: String, sudoers| {
            Some(Forbidden {
                command: argv.to_vec(),
                why,
                sudoers,
            })
        };
        let Some(who) = self.who else {
            let program = self.command.first().map_or("", String::as_str);
            return match status {
                0 => None,
                _ => forbidden(format!("user {user} finds no program `{program}`"), None),
            };
        };
        if status == 127 {
            return forbidden(format!("user {user} finds no `sudo`"), None);
        }
        let Some(path) = fact("path") else {
            let program = self.command.first().map_or("", String::as_str);
            return forbidden(format!("there is no program `{program}`"), None);
        };
        let why = match (status, fact("said")) {
            (0, _) if !asks_for_password(listing, who, path, &self.command[1..]) => return None,
            (0, _) => format!("sudo would ask user {user} for a password"),
            (_, Some(said)) => format!("sudo refuses user {user}: {said}"),
            (_, None) => format!("sudo does not allow it to user {user}"),
        };
        let words: Vec<String> = self.command[1..].iter().map(|w| escaped(w)).collect();
        let line = [
            &format!("{user} ALL=({who}) NOPASSWD: {}", escaped(path)),
            words.join(" ").as_str(),
        ]
        .join(" ");
        forbidden(why, Some(line.trim_end().to_owned()))
    }
}

/// Whether the entry that allows a command does so only with a password. sudo tells that of no single command: `sudo -l`
/// says yes to both. Patterns are left to its own word.
fn asks_for_password(listing: &str, who: &str, path: &str, arguments: &[String]) -> bool {
    let whole = std::iter::once(path.to_owned())
        .chain(arguments.iter().map(|w| escaped(w)))
        .collect::<Vec<_>>()
        .join(" ");
    let mut asks = false;
    for line in listing.lines() {
        // `    (root) NOPASSWD: /a b, PASSWD: /c`
        let Some(entry) = line.strip_prefix("    (") else {
            continue;
        };
        let Some((users, items)) = entry.split_once(") ") else {
            continue;
        };
        let users = users.split(" : ").next().unwrap_or_default();
        if !users.split(", ").any(|user| user == "ALL" || user == who) {
            continue;
        }
        let mut password = true;
        for item in items.split(", ") {
            let mut item = item.trim();
            while let Some((tag, rest)) = item.split_once(": ") {
                match tag {
                    "NOPASSWD" => password = false,
                    "PASSWD" => password = true,
                    _ => {}
                }
                item = rest;
            }
            if item == "ALL" || item == path || item == whole {
                asks = password;
            }
        }
    }
    asks
}

/// As sudoers takes a word of a command.
fn escaped(word: &str) -> String {
    let special = |c| matches!(c, ',' | ':' | '=' | '\\' | ' ' | '*' | '?' | '[' | ']');
    let mut text = String::new();
    for c in word.chars() {
        if special(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_sudo_says_is_understood() {
        let argv = words("sudo -n systemctl stop --no-block postgresql@15-main");
        let call = Call::of(&argv).unwrap();
        assert_eq!((call.who, call.command), (Some("root"), &argv[2..]));
        let line = "/usr/bin/systemctl stop --no-block postgresql@15-main";
        let sudoers = format!("pg ALL=(root) NOPASSWD: {line}");
        for (answer, why) in [
            ("status 0\npath /usr/bin/systemctl\n".to_owned(), None),
            (
                "path /usr/bin/systemctl\nstatus 1\nlisting\n".to_owned(),
                Some("sudo does not allow it to user pg"),
            ),
            (
                "path /usr/bin/systemctl\nstatus 1\nsaid a password is required\n".to_owned(),
                Some("sudo refuses user pg: a password is required"),
            ),
            (
                format!(
                    "path /usr/bin/systemctl\nstatus 0\nlisting\nUser pg may run\n    (root) NOPASSWD: /bin/a, {line}\n"
                ),
                None,
            ),
            (
                format!(
                    "path /usr/bin/systemctl\nstatus 0\nlisting\n    (root) NOPASSWD: /bin/a\n    (ALL : ALL) {line}\n"
                ),
                Some("sudo would ask user pg for a password"),
            ),
            (
                format!(
                    "path /usr/bin/systemctl\nstatus 0\nlisting\n    (ALL) ALL\n    (root) NOPASSWD: {line}\n"
                ),
                None,
            ),
        ] {
            let judged = call.judged(&argv, &format!("user pg\n{answer}"));
            assert_eq!(judged.as_ref().map(|f| f.why.as_str()), why, "{answer}");
            if let Some(forbidden) = judged {
                assert_eq!(forbidden.sudoers.as_ref(), Some(&sudoers));
            }
        }
        for (argv, who) in [
            ("pg_ctlcluster 15 main stop", Some(None)),
            ("/usr/bin/sudo -u dba -- svc stop", Some(Some("dba"))),
            ("sudo -i svc", None),
            ("sudo -n", None),
        ] {
            let argv = words(argv);
            assert_eq!(Call::of(&argv).map(|call| call.who), who, "{argv:?}");
        }
    }

    #[test]
    fn a_word_is_written_as_sudoers_takes_it() {
        assert_eq!(escaped("a:b,c=d\\"), "a\\:b\\,c\\=d\\\\");
    }
}
