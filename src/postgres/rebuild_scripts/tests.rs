//! The scripts in the machine's own shell, with small programs in the place of the server's: what no real server does at
//! the moment that is wanted.

use super::{COPY, LOOK, REWIND};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

/// A data directory, and beside it the programs.
struct Host {
    place: tempfile::TempDir,
}

/// Makes what a copy has: a file of its own, and directories for tablespaces. It tells how often it ran.
const COPIES: &str = r#"
echo ran >>"$HERE/ran"
while [ "$#" -gt 0 ]; do
  case $1 in
    -D) n=$2; mkdir "$n" "$n/pg_tblspc"; echo 15 >"$n/PG_VERSION"; echo upstream >"$n/postgresql.conf"; shift ;;
    -T) mkdir -p "${2#*=}/PG_15_7"; ln -s "${2#*=}" "$n/pg_tblspc/1"; shift ;;
  esac
  shift
done
"#;

impl Host {
    fn new() -> Self {
        let host = Self {
            place: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(host.at("data/pg_tblspc")).unwrap();
        host.write("data/PG_VERSION", "15\n");
        host.write("data/postgresql.conf", "own\n");
        host.chmod("data", 0o750);
        host.program("copy", COPIES);
        host
    }

    fn at(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.at(path)).unwrap().permissions().mode() & 0o7777
    }

    fn chmod(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn program(&self, name: &str, text: &str) {
        let here = self.place.path().display();
        self.write(name, &format!("#!/bin/sh\nHERE={here}\n{text}\n"));
        self.chmod(name, 0o700);
    }

    /// What lies beside the data, without the programs.
    fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.place.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains(".pgbaton."))
            .collect();
        names.sort();
        names
    }

    fn shell(&self, script: &str, data: &str, more: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "pgbaton"]);
        command
            .arg(self.at(data))
            .args(["nobody", "postmaster.pid"]);
        command.args(more);
        command
    }

    /// A copy for this run; the former data are removed or kept.
    fn copy(&self, former: &str, run: &str, spaces: &[&str]) -> Command {
        self.copy_of("data", former, run, spaces)
    }

    fn copy_of(&self, data: &str, former: &str, run: &str, spaces: &[&str]) -> Command {
        let copy = self.at("copy").display().to_string();
        let dirs = ["pg_wal", "pg_tblspc"];
        let more = [&[&copy, "host=u", "", former, run], &dirs[..], spaces].concat();
        self.shell(COPY, data, &more)
    }

    fn rewind(&self) -> Command {
        self.program(
            "control",
            r#"echo "Database cluster state: $(cat "$HERE/state")""#,
        );
        self.program("rewind", r#"[ "$1" = --help ] || echo ran >>"$HERE/ran""#);
        let [rewind, server, control] =
            ["rewind", "server", "control"].map(|p| self.at(p).display().to_string());
        self.shell(REWIND, "data", &[&rewind, &server, &control, "host=u"])
    }
}

/// How it ended, and what it said.
fn ended(mut command: Command) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..400 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("{what} does not come to be");
}

#[test]
fn a_copy_has_the_settings_and_the_rights_that_the_node_had() {
    let host = Host::new();
    let (status, said) = ended(host.copy("keep", "r1", &[]));
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(host.read("data/postgresql.conf"), "own\n");
    assert!(host.at("data/standby.signal").exists());
    assert_eq!(host.mode("data"), 0o750);
    let beside = host.beside();
    assert_eq!(beside.len(), 1, "{beside:?}");
    assert!(said.trim().ends_with(&beside[0]), "{said}");
}

/// It was cut off while it removed the former data.
#[test]
fn what_an_earlier_copy_left_is_finished_by_its_run_and_is_nothing_to_another() {
    for (run, copies) in [("r1", 1), ("r2", 2)] {
        let host = Host::new();
        let rm = "case $* in *.pgbaton.old.*) kill -9 $PPID ;; *) exec /bin/rm \"$@\" ;; esac";
        host.program("rm", rm);
        let mut cut = host.copy("remove", "r1", &[]);
        let here = host.place.path().display();
        cut.env("PATH", format!("{here}:/usr/bin:/bin"));
        assert_eq!(ended(cut).0, None, "it was killed");
        let left = host.beside();
        assert!(
            left.contains(&"data.pgbaton.complete".to_owned()),
            "{left:?}"
        );
        assert!(
            !host.at("data/pgbaton.complete").exists(),
            "no copy of this node takes it along"
        );
        let (status, said) = ended(host.copy("remove", run, &[]));
        assert_eq!(status, Some(0), "{said}");
        assert_eq!(host.read("ran").lines().count(), copies, "copies were made");
        assert_eq!(host.beside(), Vec::<String>::new());
    }
}

/// The data directory may be named by a link, or with a slash at its end.
#[test]
fn a_copy_that_died_between_the_two_renames_takes_its_place() {
    for name in ["data", "link", "data/"] {
        let host = Host::new();
        symlink(host.at("data"), host.at("link")).unwrap();
        let old = host.at("data.pgbaton.old.1");
        fs::rename(host.at("data"), &old).unwrap();
        fs::create_dir_all(host.at("data.pgbaton.new/pg_tblspc")).unwrap();
        let marker = format!("{}\nr1\nremove\n", old.display());
        host.write("data.pgbaton.complete", &marker);
        let (status, said) = ended(host.shell(LOOK, name, &["no", "no", "no", "no"]));
        assert_eq!(status, Some(66), "{said}");
        assert!(said.contains("data.pgbaton.new"), "{said}");
        let (status, said) = ended(host.copy_of(name, "remove", "r1", &[]));
        assert_eq!(status, Some(0), "{name}: {said}");
        assert!(host.at("data/pg_tblspc").exists());
        assert!(!host.at("ran").exists(), "no copy was made");
        assert_eq!(host.beside(), Vec::<String>::new());
    }
}

#[test]
fn of_a_tablespace_only_what_is_the_servers_is_removed() {
    let host = Host::new();
    for path in ["far/PG_15_7", "far/PG_14_6", "far/letters", "near/PG_15_7"] {
        fs::create_dir_all(host.at(path)).unwrap();
    }
    symlink(host.at("far"), host.at("data/pg_tblspc/1")).unwrap();
    symlink(host.at("near"), host.at("data/pg_tblspc/2")).unwrap();
    let space = host.at("their").display().to_string();
    let (status, said) = ended(host.copy("remove", "r1", &[&space]));
    assert_eq!(status, Some(0), "{said}");
    assert!(!host.at("far/PG_15_7").exists());
    assert!(host.at("far/PG_14_6").exists() && host.at("far/letters").exists());
    assert!(!host.at("near").exists(), "nobody else had anything there");
    let now = fs::read_link(host.at("data/pg_tblspc/1")).unwrap();
    assert!(now.join("PG_15_7").exists(), "{}", now.display());
}

#[test]
fn what_cannot_be_placed_is_refused_before_it_is_copied() {
    let host = Host::new();
    let nowhere = host.at("nowhere/space").display().to_string();
    let (status, said) = ended(host.copy("keep", "r1", &[&nowhere]));
    assert_eq!(status, Some(65), "{said}");
    assert!(said.contains("nowhere/, where"), "{said}");
    // A copy that is complete and cannot be said to be is not left lying there.
    fs::create_dir_all(host.at("data.pgbaton.complete.new/x")).unwrap();
    let (status, said) = ended(host.copy("keep", "r1", &[]));
    assert_eq!(status, Some(1), "{said}");
    assert!(!host.at("data.pgbaton.new").exists());
    assert!(!host.at("data.pgbaton.kept").exists());
    assert_eq!(host.read("data/postgresql.conf"), "own\n");
}

#[test]
fn no_copy_is_made_beside_a_mounted_disk() {
    let host = Host::new();
    let mounted = |script: &str, more: &[&str]| {
        let data = host.at("data").display().to_string();
        let mut command = Command::new("unshare");
        let mount = "mount -t tmpfs none \"$3\" && exec /bin/sh -c \"$@\"";
        command.args(["-m", "/bin/sh", "-c", mount, "mount", script, "pgbaton"]);
        command.args([data.as_str(), "nobody", "postmaster.pid"]);
        command.args(more);
        command
    };
    if ended(mounted("exit 0", &[])).0 != Some(0) {
        return;
    }
    let copy = host.at("copy").display().to_string();
    let (status, said) = ended(mounted(
        COPY,
        &[&copy, "host=u", "", "keep", "r1", "pg_wal", "pg_tblspc"],
    ));
    assert_eq!(status, Some(65), "{said}");
    assert!(said.contains("is where a disk is mounted"), "{said}");
    assert!(!host.at("ran").exists());
    let no = ["no", "no", "no", "no"];
    assert!(ended(mounted(LOOK, &no)).1.contains("mounted\n"));
    assert!(!ended(host.shell(LOOK, "data", &no)).1.contains("mounted\n"));
}

#[test]
fn a_copy_is_counted_among_no_standbys() {
    use super::super::{questions::SENDERS, rebuild::COPYING};
    assert!(SENDERS.contains(&format!("application_name = '{COPYING}'")));
}

/// The shell that waited for it was killed.
#[test]
fn no_second_one_joins_a_program_that_outlived_its_shell() {
    let host = Host::new();
    // Not for ever: whoever joins it waits, too.
    let waits = "echo $$ >\"$HERE/pid\"; n=0; while [ -e \"$HERE/pid\" ] && [ $n -lt 400 ]; do n=$((n + 1)); sleep 0.05; done; \
                 : >\"$HERE/over\"";
    host.program("copy", waits);
    let mut first = host.copy("keep", "r1", &[]).spawn().unwrap();
    until("the copy", || !host.read("pid").is_empty());
    first.kill().unwrap();
    first.wait().unwrap();
    host.write("state", "shut down");
    for second in [host.copy("keep", "r1", &[]), host.rewind()] {
        let (status, said) = ended(second);
        assert_eq!(status, Some(75), "{said}");
        assert!(said.contains("still at work"), "{said}");
    }
    fs::remove_file(host.at("pid")).unwrap();
    until("its end", || host.at("over").exists());
    host.program("copy", COPIES);
    until("the second copy", || {
        ended(host.copy("keep", "r1", &[])).0 == Some(0)
    });
    assert!(!host.at("data.pgbaton.lock").exists());
}

/// The control file says that it was over; whether all else reached the disk it does not say.
#[test]
fn a_rewind_is_over_only_if_its_host_did_not_go_down_since() {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    for (seen, wanted) in [(boot.as_str(), 0), ("another\n", 67)] {
        let host = Host::new();
        host.write("state", "in archive recovery");
        host.write("data/backup_label", "");
        fs::create_dir_all(host.at("data.pgbaton.kept/files")).unwrap();
        host.write("data.pgbaton.kept/boot", seen);
        let mark = host.at("data/pgbaton.rewinding");
        assert!(
            Command::new("mkfifo")
                .arg(&mark)
                .status()
                .unwrap()
                .success()
        );
        host.chmod("data", 0o751);
        let (status, said) = ended(host.rewind());
        assert_eq!(status, Some(wanted), "{said}");
        assert!(!host.at("ran").exists(), "it was not rewound again");
        let closed = wanted == 67;
        assert_eq!(
            (mark.exists(), host.mode("data") & 1 == 1),
            (closed, closed)
        );
    }
}

/// Neither `standby.signal` nor a right for others, with which no server starts, may be missing at any time.
#[test]
fn nothing_starts_as_a_primary_while_crash_recovery_runs() {
    let host = Host::new();
    let server = r#"
    case $* in *--single*) ;; *) exit ;; esac
    data=$HERE/data
    [ ! -e "$data/standby.signal" ] || exit 2
    case $(stat -c %a "$data") in *1) exit 3 ;; esac
    echo "-$$" >"$data/postmaster.pid"
    n=0; until [ "$(stat -c %a "$data")" = 751 ] || [ "$n" -gt 200 ]; do n=$((n + 1)); sleep 0.05; done
    [ "$n" -gt 200 ] || echo closed >>"$HERE/seen"
    echo 'LOG:  database system was not properly shut down; automatic recovery in progress' >&2
    n=0; until [ -e "$data/standby.signal" ] || [ "$n" -gt 200 ]; do n=$((n + 1)); sleep 0.05; done
    [ "$n" -gt 200 ] || echo back >>"$HERE/seen"
    rm "$data/postmaster.pid"
    echo 'shut down' >"$HERE/state""#;
    host.program("server", server);
    host.write("state", "in production");
    host.write("data/standby.signal", "");
    // The trial says nothing of a common checkpoint: it is refused.
    let (status, said) = ended(host.rewind());
    assert_eq!(status, Some(65), "{said}");
    assert_eq!(host.read("seen"), "closed\nback\n");
    assert_eq!(host.mode("data"), 0o750);
    assert_eq!(host.read("state"), "shut down\n");
    assert_eq!(host.beside(), Vec::<String>::new());
}
