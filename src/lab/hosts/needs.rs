//! What hosts need of the machine, looked for before anything is made.

use super::super::LabError;
use super::super::user::ServerUser;
use std::path::{Path, PathBuf};

/// The programs, and the packages that bring them.
const PROGRAMS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
];
/// Where programs of root's are that may be missing in `PATH`.
const SYSTEM: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// Root, the programs, and a user whom an ssh server lets in.
pub(in crate::lab) fn check(user: &ServerUser) -> Result<(), LabError> {
    let refuse = |why: String, todo: String| Err(LabError::Needs { why, todo });
    if !rustix::process::geteuid().is_root() {
        return refuse(
            "network namespaces need root".to_owned(),
            "run it as root (`sudo`), or leave --hosts out".to_owned(),
        );
    }
    let missing: Vec<(&str, &str)> = PROGRAMS
        .into_iter()
        .filter(|(program, _)| find(program).is_none())
        .collect();
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
        let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
        packages.dedup();
        return refuse(
            format!("there is no {}", names.join(", no ")),
            format!(
                "install it (Debian: `apt-get install {}`)",
                packages.join(" ")
            ),
        );
    }
    let name = user.name.as_deref().unwrap_or("root");
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    match shell(&accounts, name) {
        Some(shell) if !shell.ends_with("nologin") && !shell.ends_with("false") => Ok(()),
        _ => refuse(
            format!("the servers run as `{name}`, who has no login shell to come to by ssh"),
            "create a user `postgres` with a shell (`usermod --shell /bin/sh postgres`)".to_owned(),
        ),
    }
}

/// Where a program is.
pub(super) fn program(name: &'static str) -> Result<PathBuf, LabError> {
    find(name).ok_or_else(|| LabError::Needs {
        why: format!("there is no {name}"),
        todo: "install it, or put it into PATH".to_owned(),
    })
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .chain(SYSTEM.map(|dir| Path::new(dir).to_owned()))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// The last field of an account in the format of `/etc/passwd`; empty is the system's own shell.
fn shell<'a>(accounts: &'a str, wanted: &str) -> Option<&'a str> {
    accounts.lines().find_map(|line| {
        let (name, _) = line.split_once(':')?;
        let (_, shell) = line.rsplit_once(':')?;
        (name == wanted).then_some(shell)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_roots_are_found_without_a_path_to_them_and_others_are_not() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }

    #[test]
    fn the_shell_is_that_of_the_whole_name() {
        let accounts = "postgresql:x:9:9::/:/bin/false\npostgres:x:101:104::/var:/bin/bash\n";
        assert_eq!(shell(accounts, "postgres"), Some("/bin/bash"));
        assert_eq!(shell(accounts, "nobody"), None);
    }
}
