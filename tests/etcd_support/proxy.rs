//! A network that loses answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Passes requests on to a member, and its answers back, but for those that are to be lost.
pub struct Proxy {
    port: u16,
    losses: Arc<Mutex<Losses>>,
}

#[derive(Default)]
struct Losses {
    /// How many answers are still to be lost, to requests that write or delete this key.
    left: usize,
    key: String,
    /// How many were.
    count: usize,
}

impl Proxy {
    /// Before the member at this port.
    pub fn before(member: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let losses = Arc::<Mutex<Losses>>::default();
        let proxy = Self {
            port,
            losses: Arc::clone(&losses),
        };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let losses = Arc::clone(&losses);
                std::thread::spawn(move || pass(client.unwrap(), member, &losses));
            }
        });
        proxy
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The answers to the next so many requests that write or delete this key.
    pub fn lose(&self, left: usize, key: &str) {
        *self.losses.lock().unwrap() = Losses {
            left,
            key: STANDARD.encode(key),
            count: 0,
        };
    }

    /// How many of them were lost.
    pub fn lost(&self) -> usize {
        self.losses.lock().unwrap().count
    }
}

/// One request and its answer: the member has to end the connection behind it.
fn pass(client: TcpStream, member: u16, losses: &Mutex<Losses>) {
    let mut from = BufReader::new(client.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).unwrap();
    let mut to = TcpStream::connect(("127.0.0.1", member)).unwrap();
    to.write_all(head.as_bytes()).unwrap();
    to.write_all(b"connection: close\r\n\r\n").unwrap();
    to.write_all(&body).unwrap();
    let mut answer = Vec::new();
    to.read_to_end(&mut answer).unwrap();
    if !losses.lock().unwrap().concern(&body) {
        let mut client = client;
        let _ = client.write_all(&answer);
    }
}

impl Losses {
    fn concern(&mut self, request: &[u8]) -> bool {
        let request = String::from_utf8_lossy(request);
        let changes =
            |how: &&str| request.contains(&format!("\"{how}\":{{\"key\":\"{}\"", self.key));
        let mut hows = ["request_put", "request_delete_range"].iter();
        let is_lost = self.left > 0 && hows.any(changes);
        if is_lost {
            self.left -= 1;
            self.count += 1;
        }
        is_lost
    }
}
