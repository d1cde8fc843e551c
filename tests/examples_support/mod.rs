//! The examples of `docs/examples/` on a lab: their overlays as they are, with `vars` and paths of the test's.
#![allow(dead_code, reason = "each test uses its part")]

use crate::support::{Cluster, swap};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The folder of an example.
pub(crate) fn folder(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/examples")
        .join(example)
}

/// Gives the lab's site file these `vars`, and the example's overlays, byte by byte.
pub(crate) fn dress(cluster: &Cluster, example: &str, vars: &str) {
    let site = cluster.lab.site_file();
    let text = std::fs::read_to_string(site).unwrap();
    std::fs::write(site, format!("vars: {vars}\n{text}")).unwrap();
    let overlays = site.parent().unwrap().join("overlays");
    std::fs::create_dir_all(&overlays).unwrap();
    for entry in std::fs::read_dir(folder(example).join("overlays")).unwrap() {
        let file = entry.unwrap().path();
        std::fs::copy(&file, overlays.join(file.file_name().unwrap())).unwrap();
    }
}

/// A place for a program's files that its user may write to, and that goes away with the test.
pub(crate) fn place() -> tempfile::TempDir {
    let place = tempfile::Builder::new()
        .prefix("pgx")
        .tempdir_in("/tmp")
        .unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o777)).unwrap();
    place
}

/// A text with others replaced that must be in it.
#[track_caller]
pub(crate) fn filled(text: &str, with: &[(&str, String)]) -> String {
    let swapped = |text: String, (from, to): &(&str, String)| swap(&text, from, to);
    with.iter().fold(text.to_owned(), swapped)
}

/// A script of an example, filled, in the place; its path.
#[track_caller]
pub(crate) fn script(example: &str, name: &str, place: &Path, with: &[(&str, String)]) -> String {
    let text = std::fs::read_to_string(folder(example).join(name)).unwrap();
    let file = place.join(name);
    std::fs::write(&file, filled(&text, with)).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    file.to_str().unwrap().to_owned()
}

/// A program that runs until this is dropped.
pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap());
        Self(command.stderr(log).spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command as the user of the lab's servers, for programs that do not run as root.
pub(crate) fn as_owner(cluster: &Cluster, program: &str) -> Command {
    let about = cluster.data("n1").metadata().unwrap();
    if about.uid() == rustix::process::geteuid().as_raw() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let (uid, gid) = (about.uid(), about.gid());
    command
        .args([format!("--reuid={uid}"), format!("--regid={gid}")])
        .args(["--clear-groups", program]);
    command
}
