//! Members of an etcd cluster to stop, to freeze and to start again.
#![allow(dead_code, reason = "each test uses its own part")]
#![allow(
    unreachable_pub,
    reason = "a module of its own in the test that uses it"
)]

pub mod proxy;

use crate::live_support::free_port;
use pgbaton::journal::EtcdStore;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// Three members on loopback; they end with the test.
pub struct Members {
    place: tempfile::TempDir,
    each: Vec<Member>,
    over_tls: bool,
}

struct Member {
    client: u16,
    peer: u16,
    process: Option<Child>,
}

impl Members {
    pub fn three() -> Self {
        Self::make(false)
    }

    /// With a certificate by an authority that only [`Self::authority`] knows.
    pub fn three_over_tls() -> Self {
        Self::make(true)
    }

    fn make(over_tls: bool) -> Self {
        let member = || Member {
            client: free_port(),
            peer: free_port(),
            process: None,
        };
        let mut members = Self {
            place: tempfile::tempdir().unwrap(),
            each: vec![member(), member(), member()],
            over_tls,
        };
        if over_tls {
            certify(members.place.path());
        }
        members.start(&[0, 1, 2]);
        members
    }

    fn spawn(&mut self, at: usize) {
        let of = |port: u16| format!("http://127.0.0.1:{port}");
        let all: Vec<String> = self
            .each
            .iter()
            .enumerate()
            .map(|(at, member)| format!("m{at}={}", of(member.peer)))
            .collect();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log(at))
            .unwrap();
        let member = &self.each[at];
        let mut command = Command::new("etcd");
        if self.over_tls {
            let place = self.place.path();
            command.arg("--cert-file").arg(place.join("server.crt"));
            command.arg("--key-file").arg(place.join("server.key"));
        }
        let process = command
            .args(["--name", &format!("m{at}")])
            .arg("--data-dir")
            .arg(self.place.path().join(format!("m{at}")))
            .args(["--listen-client-urls", &self.endpoint(at)])
            .args(["--advertise-client-urls", &self.endpoint(at)])
            .args(["--listen-peer-urls", &of(member.peer)])
            .args(["--initial-advertise-peer-urls", &of(member.peer)])
            .args(["--initial-cluster", &all.join(",")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.each[at].process = Some(process);
    }

    fn log(&self, at: usize) -> PathBuf {
        self.place.path().join(format!("m{at}.log"))
    }

    /// Until it answers, which it does only as one of a majority.
    fn wait_for(&self, at: usize) {
        let end = Instant::now() + PATIENCE;
        let endpoint = self.endpoint(at);
        while !self
            .look(&[&endpoint], &["endpoint", "health"])
            .status
            .success()
        {
            let log = || std::fs::read_to_string(self.log(at)).unwrap_or_default();
            assert!(Instant::now() < end, "no answer: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn endpoint(&self, at: usize) -> String {
        let scheme = if self.over_tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.each[at].client)
    }

    /// The certificate of who vouches for them.
    pub fn authority(&self) -> PathBuf {
        self.place.path().join("ca.crt")
    }

    pub fn port(&self, at: usize) -> u16 {
        self.each[at].client
    }

    pub fn endpoints(&self) -> Vec<String> {
        (0..3).map(|at| self.endpoint(at)).collect()
    }

    /// As a helper process gets them.
    pub fn joined(&self) -> PathBuf {
        self.endpoints().join(",").into()
    }

    pub fn store(&self) -> EtcdStore {
        EtcdStore::connect(self.endpoints(), None).unwrap()
    }

    pub fn store_with_ttl(&self, ttl: Duration) -> EtcdStore {
        EtcdStore::connect_with_ttl(self.endpoints(), None, ttl).unwrap()
    }

    /// Which of them leads.
    pub fn leader(&self) -> usize {
        let mut at = 0..3;
        let leads = |at: &usize| {
            let status = self.look(
                &[&self.endpoint(*at)],
                &["endpoint", "status", "-w", "fields"],
            );
            let text = String::from_utf8(status.stdout).unwrap();
            let field = |name: &str| -> String {
                let mut lines = text.lines();
                let line = lines.find(|line| line.starts_with(name)).unwrap();
                line.rsplit(' ').next().unwrap().to_owned()
            };
            field("\"MemberID\"") == field("\"Leader\"")
        };
        at.find(leads).unwrap()
    }

    /// As if its machine had died.
    pub fn kill(&mut self, at: usize) {
        let mut process = self.each[at].process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// It accepts connections and says nothing.
    pub fn freeze(&self, at: usize) {
        self.signal(at, Signal::STOP);
    }

    pub fn thaw(&self, at: usize) {
        self.signal(at, Signal::CONT);
        self.wait_for(at);
    }

    fn signal(&self, at: usize, signal: Signal) {
        let process = self.each[at].process.as_ref().unwrap();
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    pub fn start(&mut self, which: &[usize]) {
        for at in which {
            self.spawn(*at);
        }
        for at in which {
            self.wait_for(*at);
        }
    }

    /// What stands in etcd, seen or changed by its own client.
    pub fn ctl(&self, words: &[&str]) -> String {
        let endpoints = self.endpoints();
        let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
        let output = self.look(&endpoints, words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn look(&self, endpoints: &[&str], words: &[&str]) -> Output {
        let mut command = Command::new("etcdctl");
        if self.over_tls {
            command.arg("--cacert").arg(self.authority());
        }
        command
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &endpoints.join(",")])
            .args(["--command-timeout", "2s", "--dial-timeout", "1s"])
            .args(words)
            .output()
            .unwrap()
    }
}

/// An authority, and a certificate of it for 127.0.0.1.
fn certify(place: &Path) {
    std::fs::write(place.join("san"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for words in [
        format!("req -x509 {new} -days 2 -subj /CN=ca -keyout ca.key -out ca.crt"),
        format!("req {new} -subj /CN=server -keyout server.key -out server.csr"),
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.crt".to_owned(),
    ] {
        let mut command = Command::new("openssl");
        let done = command.args(words.split(' ')).current_dir(place).output();
        assert!(done.unwrap().status.success(), "{words}");
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for member in &mut self.each {
            if let Some(process) = &mut member.process {
                let _ = process.kill();
                let _ = process.wait();
            }
        }
    }
}
