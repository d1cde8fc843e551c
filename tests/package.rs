//! The Debian package: installed, upgraded, removed and purged by dpkg on a copy of this machine, its service run by systemd.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test ends at what it did not expect, and says what it leaves out"
)]

mod package_support;

use package_support::{Machine, lacking, lacking_programs};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a site would have: two servers that do not answer, and a playbook of its own that asks a person.
const SITE: &str = "site: test
journal: /var/lib/pgbaton
clusters:
  orders:
    sql: { user: pgbaton }
    replication: { user: replicator }
    transport: none
    defaults: { data: /nowhere, bin: /nowhere }
    nodes:
      n1: { host: 127.0.0.1, port: 1 }
      n2: { host: 127.0.0.1, port: 2 }
";
const ASK: &str = "playbook: ask
version: 1.0.0
steps:
  ask:
    action: approve
    with: { question: go on? }
";

/// Packs the program of these tests, with next to no compression.
fn packed(version: &str, folder: &Path) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/package");
    let done = Command::new(script)
        .args([
            "--binary",
            env!("CARGO_BIN_EXE_pgbaton"),
            "--version",
            version,
            "--out",
        ])
        .arg(folder)
        .env("DPKG_DEB_COMPRESSOR_TYPE", "gzip")
        .env("DPKG_DEB_COMPRESSOR_LEVEL", "1")
        .env("GZIP", "-1")
        .env("DEBFULLNAME", "The tests")
        .env("DEBEMAIL", "tests@pgbaton.example.org")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let mut made = said.lines().filter_map(|line| line.rsplit(' ').next());
    PathBuf::from(made.next_back().unwrap())
}

/// The package as the machine sees it.
fn there(package: &Path) -> String {
    format!("/mnt/{}", package.file_name().unwrap().to_string_lossy())
}

/// Writes a file as an administrator would: what it belongs to, and how, stays.
fn write(machine: &Machine, path: &str, text: &str) {
    machine.ok(&format!("cat >{path} <<'END'\n{text}END"));
}

/// What runs have not ended.
fn unended(machine: &Machine) -> String {
    machine.ok("runuser -u pgbaton -- pgbaton runs list --unended --json")
}

#[test]
fn a_package_lives_from_its_installation_to_its_purge() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (
        packed("0.0.1", folder.path()),
        packed("0.0.2", folder.path()),
    );
    the_archive_is_whole(folder.path(), &new);
    lintian_finds_nothing(&new);
    if let Some(why) = lacking() {
        eprintln!("left out, the package was not installed: {why}");
        return;
    }
    let (old, new) = (there(&old), there(&new));
    let machine = Machine::boot(folder.path());
    // One that this machine has itself is not the one of this test.
    machine.run("dpkg --purge pgbaton; userdel pgbaton; rm -rf /etc/pgbaton /var/lib/pgbaton");

    machine.ok(&format!("dpkg --install {old}"));
    everything_is_in_its_place(&machine);
    nothing_starts_before_the_site_file_is_filled_in(&machine);
    the_service_runs(&machine);
    an_upgrade_keeps_what_is_the_sites_and_restarts(&machine, &new);
    no_upgrade_restarts_while_a_run_is_under_way(&machine, &new);
    no_upgrade_restarts_what_could_not_start(&machine, &new);
    removal_keeps_and_purge_takes(&machine, &new);
}

/// For systems without dpkg: everything below one folder, and the program runs from there.
fn the_archive_is_whole(folder: &Path, package: &Path) {
    let name = format!("pgbaton-0.0.2-{}-linux", std::env::consts::ARCH);
    let archive = package.with_file_name(format!("{name}.tar.gz"));
    let done = Command::new("tar")
        .args(["--extract", "--same-permissions", "--file"])
        .arg(archive)
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(done.success());
    let root = folder.join(name);
    for file in [
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "CHANGELOG.md",
        "THIRD-PARTY",
        "completions/pgbaton.bash",
        "docs/production.md",
        "man/pgbaton-runs-list.1",
        "pgbaton.service",
        "playbooks/failover.yaml",
        "schemas/site.schema.json",
        "site.yaml",
    ] {
        assert!(root.join(file).is_file(), "{file}");
    }
    let said = Command::new(root.join("pgbaton")).arg("--version").output();
    assert!(said.unwrap().status.success());
}

/// Where there is no systemd, the rest is left out and says so; it is no failure of the package's.
#[test]
fn what_a_machine_lacks_is_told_in_plain_words() {
    let root = tempfile::tempdir().unwrap();
    let why = lacking_programs(root.path()).unwrap();
    assert!(why.starts_with("there is no /lib/systemd/systemd"), "{why}");
    for file in [
        "lib/systemd/systemd",
        "usr/bin/dpkg",
        "usr/bin/unshare",
        "usr/bin/nsenter",
    ] {
        assert!(lacking_programs(root.path()).is_some(), "before {file}");
        let file = root.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
    }
    assert_eq!(lacking_programs(root.path()), None);
}

fn lintian_finds_nothing(package: &Path) {
    let done = Command::new("lintian")
        .args(["--allow-root", "--fail-on", "error,warning"])
        .arg(package)
        .output();
    let done = match done {
        Ok(done) => done,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("left out: there is no lintian (scripts/test installs it)");
            return;
        }
        Err(error) => panic!("lintian: {error}"),
    };
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.is_empty(), "{said}");
}

fn everything_is_in_its_place(machine: &Machine) {
    for (path, owner) in [
        ("/usr/bin/pgbaton", "root:root 755"),
        ("/usr/lib/systemd/system/pgbaton.service", "root:root 644"),
        ("/etc/pgbaton", "root:root 755"),
        ("/etc/pgbaton/playbooks", "root:root 755"),
        ("/etc/pgbaton/overlays", "root:root 755"),
        ("/etc/pgbaton/site.yaml", "root:pgbaton 640"),
        ("/var/lib/pgbaton", "pgbaton:pgbaton 750"),
        (
            "/usr/share/pgbaton/schemas/site.schema.json",
            "root:root 644",
        ),
        ("/usr/share/doc/pgbaton/copyright", "root:root 644"),
        ("/usr/share/doc/pgbaton/changelog.gz", "root:root 644"),
        ("/usr/share/doc/pgbaton/docs/language.md", "root:root 644"),
        (
            "/usr/share/zsh/vendor-completions/_pgbaton",
            "root:root 644",
        ),
        (
            "/usr/share/fish/vendor_completions.d/pgbaton.fish",
            "root:root 644",
        ),
    ] {
        assert_eq!(machine.owner(path), owner, "{path}");
    }
    let version = machine.ok("runuser -u pgbaton -- pgbaton --version");
    assert_eq!(version, format!("pgbaton {}", env!("CARGO_PKG_VERSION")));
    assert!(
        machine
            .ok("getent passwd pgbaton")
            .ends_with(":/var/lib/pgbaton:/usr/sbin/nologin")
    );
    let pages = machine.ok("man -w pgbaton pgbaton-runs-list");
    assert_eq!(pages.lines().count(), 2, "{pages}");
    machine.ok("bash -c '. /usr/share/bash-completion/completions/pgbaton; complete -p pgbaton'");
    let third = machine.ok("zcat /usr/share/doc/pgbaton/THIRD-PARTY.gz");
    assert!(third.contains("\ntokio ") && third.contains("Tokio Contributors"));
    // Every file is the one that was packed.
    assert_eq!(machine.ok("dpkg --verify pgbaton"), "");
}

fn nothing_starts_before_the_site_file_is_filled_in(machine: &Machine) {
    assert_eq!(machine.run("systemctl is-enabled pgbaton").out, "disabled");
    assert_eq!(machine.run("systemctl is-active pgbaton").out, "inactive");
    let verified = machine.run("systemd-analyze verify /usr/lib/systemd/system/pgbaton.service");
    assert_eq!(
        (verified.code, verified.all()),
        (0, "exit code 0\n\n".to_owned())
    );
    let refused = machine.run("pgbaton validate");
    assert_eq!(refused.code, 2, "{}", refused.all());
    assert!(
        refused.err.contains("a site file needs `clusters`"),
        "{}",
        refused.all()
    );
    // Somebody who starts it all the same is told once, not every second.
    assert_ne!(machine.run("systemctl start pgbaton").code, 0);
    let state = "systemctl show --property ActiveState,ExecMainStatus,NRestarts --value pgbaton";
    let mut state: Vec<String> = machine.ok(state).lines().map(str::to_owned).collect();
    state.sort();
    assert_eq!(state, ["0", "2", "failed"]);
    // What is commented out is a whole site file.
    machine.ok("sed '/^#clusters/,$s/^#//' /etc/pgbaton/site.yaml >/tmp/site.yaml && pgbaton --site /tmp/site.yaml validate");
}

fn the_service_runs(machine: &Machine) {
    write(machine, "/etc/pgbaton/site.yaml", SITE);
    write(machine, "/etc/pgbaton/playbooks/ask.yaml", ASK);
    machine.ok("systemctl enable --now pgbaton");
    // systemd waits until it has said that it is ready.
    assert_eq!(machine.ok("systemctl is-active pgbaton"), "active");
    let process = machine.process();
    assert_eq!(machine.ok(&format!("ps -o user= -p {process}")), "pgbaton");
    machine.ok("systemctl reload pgbaton");
    assert_eq!(machine.ok("systemctl is-active pgbaton"), "active");
    assert_eq!(machine.process(), process, "it is the same one");
    assert_eq!(machine.owner("/var/lib/pgbaton"), "pgbaton:pgbaton 750");
}

/// Starts a run that waits for a person, beside the service; its id.
fn asks(machine: &Machine) -> String {
    machine.ok("runuser -u pgbaton -- pgbaton run ask --detach")
}

fn cancel(machine: &Machine, run: &str) {
    machine.ok(&format!(
        "runuser -u pgbaton -- pgbaton runs cancel {run} --reason enough"
    ));
    machine.run(&format!("runuser -u pgbaton -- pgbaton runs follow {run}"));
    assert_eq!(unended(machine), "");
}

fn an_upgrade_keeps_what_is_the_sites_and_restarts(machine: &Machine, package: &str) {
    let run = asks(machine);
    cancel(machine, &run);
    let owner = machine.owner("/var/lib/pgbaton/journal.db");
    assert!(owner.starts_with("pgbaton:pgbaton"), "{owner}");
    let before = machine.process();
    let journal = machine.ok("stat --format %i /var/lib/pgbaton/journal.db");
    let said = machine.run(&format!("dpkg --install {package}"));
    assert_eq!(said.code, 0, "{}", said.all());
    assert_eq!(
        machine.ok("dpkg-query --show --showformat '${Version}' pgbaton"),
        "0.0.2-1"
    );
    assert_eq!(machine.ok("cat /etc/pgbaton/site.yaml"), SITE.trim());
    assert_eq!(machine.owner("/etc/pgbaton/site.yaml"), "root:pgbaton 640");
    assert!(machine.has("/etc/pgbaton/playbooks/ask.yaml"));
    assert_eq!(
        machine.ok("stat --format %i /var/lib/pgbaton/journal.db"),
        journal
    );
    assert!(
        machine
            .ok("runuser -u pgbaton -- pgbaton runs list --json")
            .contains(&run)
    );
    assert_eq!(machine.ok("systemctl is-active pgbaton"), "active");
    assert_eq!(machine.ok("systemctl is-enabled pgbaton"), "enabled");
    assert_ne!(machine.process(), before, "{}", said.all());
}

fn no_upgrade_restarts_while_a_run_is_under_way(machine: &Machine, package: &str) {
    let run = asks(machine);
    let before = machine.process();
    let said = machine.run(&format!("dpkg --install {package}"));
    assert_eq!(said.code, 0, "{}", said.all());
    assert!(said.err.contains("a run is under way"), "{}", said.all());
    assert!(
        said.err.contains("systemctl restart pgbaton"),
        "{}",
        said.all()
    );
    assert_eq!(machine.process(), before);
    assert!(unended(machine).contains(&run));
    cancel(machine, &run);
}

fn no_upgrade_restarts_what_could_not_start(machine: &Machine, package: &str) {
    let before = machine.process();
    write(
        machine,
        "/etc/pgbaton/site.yaml",
        &SITE.replace("nodes:", "nodez:"),
    );
    let said = machine.run(&format!("dpkg --install {package}"));
    assert_eq!(said.code, 0, "{}", said.all());
    assert!(said.err.contains("`nodez`"), "{}", said.all());
    assert!(
        said.err.contains("does not take the site's files"),
        "{}",
        said.all()
    );
    assert_eq!(machine.process(), before);
    write(machine, "/etc/pgbaton/site.yaml", SITE);
}

fn removal_keeps_and_purge_takes(machine: &Machine, package: &str) {
    let process = machine.process();
    machine.ok("dpkg --remove pgbaton");
    assert!(
        !machine.has(&format!("/proc/{process}")),
        "the service is stopped"
    );
    for gone in [
        "/usr/bin/pgbaton",
        "/usr/lib/systemd/system/pgbaton.service",
        "/usr/share/doc/pgbaton",
    ] {
        assert!(!machine.has(gone), "{gone}");
    }
    assert_eq!(machine.ok("cat /etc/pgbaton/site.yaml"), SITE.trim());
    assert!(machine.has("/var/lib/pgbaton/journal.db"));
    // Whoever comes back finds everything as it was.
    machine.ok(&format!("dpkg --install {package}"));
    assert_eq!(machine.owner("/etc/pgbaton/site.yaml"), "root:pgbaton 640");
    let owner = machine.owner("/var/lib/pgbaton/journal.db");
    assert!(owner.starts_with("pgbaton:pgbaton"), "{owner}");
    machine.ok("dpkg --purge pgbaton");
    for gone in [
        "/etc/pgbaton/site.yaml",
        "/etc/pgbaton/overlays",
        "/var/lib/pgbaton",
        "/etc/systemd/system/multi-user.target.wants/pgbaton.service",
    ] {
        assert!(!machine.has(gone), "{gone}");
    }
    // It was made by the site, not by the package.
    assert!(machine.has("/etc/pgbaton/playbooks/ask.yaml"));
}
