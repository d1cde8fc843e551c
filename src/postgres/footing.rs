//! What a server stands on, as its host tells it: free space, the file of its settings, what it would start with.

use super::dialect::program;
use super::live::{LOOK, LiveCluster, script_trouble};
use super::native::Native;
use super::scripts::prelude;
use crate::cluster::{Footing, NodeName, STANDBY_LIMITS, StartLimits, Trouble};

/// Looks at it as the server's user. Further arguments: the file of its settings, the directory of the WAL, and where it is
/// asked for, the program that prints control data, the server's program, and the settings to ask it for.
const LOOK_AT: &str = concat!(
    prelude!(),
    r#"
f=$D/$1
echo "data $(stat -f -c '%a %S' "$D")"
echo "wal $(stat -f -c '%a %S' "$D/$2/.")"
me=$(id -un)
if [ -L "$f" ] && ! [ -e "$f" ]; then echo "file is a link to $(readlink "$f"), which is not there"
elif [ -e "$f" ] && ! [ -f "$f" ]; then echo "file is no file"
elif [ -e "$f" ] && ! [ -r "$f" ]; then echo "file belongs to $(stat -c %U "$f") and may not be read by $me"
elif ! [ -w "$D" ]; then echo "file lies in a directory that $me may not write to"
elif grep -q -F " $f " /proc/self/mountinfo 2>/dev/null; then echo "file is mounted there and cannot be replaced"
else case $(lsattr -d "$f" 2>/dev/null) in
  *[ia]*' '*) echo "file may not be changed by anybody (chattr)" ;;
esac; fi
if [ "$#" -gt 2 ]; then
  control=$3 server=$4; shift 4
  LC_ALL=C "$control" -D "$D" 2>/dev/null | sed -n 's/^\(max_[a-z_]*\) setting: */least \1 /p'
  for s; do
    v=$(LC_ALL=C "$server" -D "$D" -C "$s" 2>/dev/null) && echo "files $s $v"
  done
fi
echo end
"#
);

impl LiveCluster {
    pub(super) async fn footing_seen(
        &self,
        name: &NodeName,
        start: bool,
    ) -> Result<Footing, Trouble> {
        let (node, names) = (self.node(name)?, self.dialect.names());
        if !start && let Some(Some(found)) = self.here(node, Native::footing).await {
            return Ok(found);
        }
        let mut arguments = vec![names.auto_conf.to_owned(), names.wal_dir.to_owned()];
        if start {
            arguments.extend([names.control_data, names.server].map(|p| program(node, p)));
            arguments.extend(STANDBY_LIMITS.map(str::to_owned));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let command = self.script(node, LOOK_AT, &arguments, LOOK);
        let finished = self.look(name, command).await?;
        let what = "failed to look at its disks and settings";
        read(&finished.out(), names.auto_conf, start)
            .ok_or_else(|| script_trouble(name, what, &finished))
    }
}

/// Reads the script's answer; none where it did not get to its end.
fn read(text: &str, file: &str, start: bool) -> Option<Footing> {
    let told = |word: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(word)?.strip_prefix(' '))
    };
    if !text.lines().any(|line| line == "end") {
        return None;
    }
    let free = |word: &str| {
        let (blocks, size) = told(word)?.split_once(' ')?;
        blocks.parse::<u64>().ok()?.checked_mul(size.parse().ok()?)
    };
    let limits = |word: &str| {
        let pairs = text.lines().filter_map(|line| {
            let (name, value) = line
                .strip_prefix(word)?
                .strip_prefix(' ')?
                .split_once(' ')?;
            Some((setting(name).to_owned(), value.trim().parse().ok()?))
        });
        pairs.collect()
    };
    Some(Footing {
        data_free: free("data")?,
        wal_free: free("wal")?,
        settings_file: told("file").map(|why| format!("{file} {why}")),
        start: start.then(|| StartLimits {
            least: limits("least"),
            files: limits("files"),
        }),
    })
}

/// The setting that the control data call by a shorter name.
fn setting(name: &str) -> &str {
    match name {
        "max_prepared_xacts" => "max_prepared_transactions",
        "max_locks_per_xact" => "max_locks_per_transaction",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_read_and_half_an_answer_is_none() {
        let text = "data 10 4096\nwal 2 512\nfile is a link to /gone, which is not there\nleast max_connections 100\n\
                    least max_prepared_xacts 3\nfiles max_connections 50\nend\n";
        let found = read(text, "a.conf", true).unwrap();
        assert_eq!((found.data_free, found.wal_free), (40_960, 1024));
        assert_eq!(
            found.settings_file.as_deref(),
            Some("a.conf is a link to /gone, which is not there")
        );
        let start = found.start.unwrap();
        assert_eq!(start.least["max_connections"], 100);
        assert_eq!(start.least["max_prepared_transactions"], 3);
        assert_eq!(start.files["max_connections"], 50);
        assert_eq!(read("data 10 4096\nwal 2 512\n", "a.conf", false), None);
        assert_eq!(read("data \nwal 2 512\nend\n", "a.conf", false), None);
    }
}
