//! Servers that are none: for every statement, what a real one answered to it before. They speak the wire protocol as far as
//! a watch does: logging in without a password, and simple queries.

use pgbaton::lab::Endpoint;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

static ANSWERED: AtomicU64 = AtomicU64::new(0);

/// Statements that were answered since this was asked last.
pub(crate) fn answered() -> u64 {
    ANSWERED.swap(0, Ordering::Relaxed)
}

/// Where a node is: all of 127.0.0.0/8 leads here.
pub(crate) fn address(cluster: u32, node: u8) -> Ipv4Addr {
    let [.., high, low] = cluster.to_be_bytes();
    Ipv4Addr::new(127, 16 + high, low, node)
}

/// What a session is: whose role it has, and whether it speaks the replication protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Sort {
    primary: bool,
    replication: bool,
}

/// The real session of one sort, and what it has said.
struct Original {
    stream: TcpStream,
    greeting: Arc<Vec<u8>>,
}

/// What it has said already: thousands of sessions read it at once.
type Said = RwLock<HashMap<Sort, HashMap<String, Arc<Vec<u8>>>>>;

struct Stage {
    primary: Endpoint,
    standby: Endpoint,
    port: u16,
    originals: Mutex<HashMap<Sort, Original>>,
    said: Said,
}

/// Starts them; gives their port. They end with the process.
pub(crate) async fn start(primary: Endpoint, standby: Endpoint) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let stage = Arc::new(Stage {
        primary,
        standby,
        port,
        originals: Mutex::default(),
        said: Said::default(),
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stage = Arc::clone(&stage);
            tokio::spawn(async move {
                // Whoever goes away has what it wanted.
                let _ = serve(&stage, stream).await;
            });
        }
    });
    port
}

async fn serve(stage: &Stage, stream: TcpStream) -> std::io::Result<()> {
    let SocketAddr::V4(own) = stream.local_addr()? else {
        return Ok(());
    };
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(512, stream);
    let startup = loop {
        let packet = packet(&mut stream).await?;
        match u32::from_be_bytes(packet[4..8].try_into().expect("four bytes")) {
            // TLS or GSS: not here.
            80_877_103 | 80_877_104 => stream.write_all(b"N").await?,
            196_608 => break packet,
            _ => return Ok(()),
        }
    };
    let sort = Sort {
        primary: own.ip().octets()[3] == 1,
        replication: startup.windows(12).any(|w| w == b"replication\0"),
    };
    let greeting = stage.greeting(sort, &startup).await?;
    stream.write_all(&greeting).await?;
    let mut prepared: HashMap<String, String> = HashMap::new();
    loop {
        let kind = stream.read_u8().await?;
        let length = stream.read_u32().await? as usize;
        let mut body = vec![0; length - 4];
        stream.read_exact(&mut body).await?;
        match kind {
            b'Q' => {
                let text = String::from_utf8_lossy(&body[..body.len() - 1]).into_owned();
                let answer = stage
                    .answer(sort, &text, &mut prepared, own.ip().octets())
                    .await?;
                stream.write_all(&answer).await?;
                ANSWERED.fetch_add(1, Ordering::Relaxed);
            }
            b'X' => return Ok(()),
            other => panic!("a stand-in does not know message {:?}", other as char),
        }
    }
}

impl Stage {
    async fn greeting(&self, sort: Sort, startup: &[u8]) -> std::io::Result<Arc<Vec<u8>>> {
        let mut originals = self.originals.lock().await;
        if let Some(original) = originals.get(&sort) {
            return Ok(Arc::clone(&original.greeting));
        }
        let of = if sort.primary {
            &self.primary
        } else {
            &self.standby
        };
        let mut stream = TcpStream::connect((of.host.as_str(), of.port)).await?;
        stream.write_all(startup).await?;
        let greeting = Arc::new(until_ready(&mut stream).await?);
        let original = Original {
            stream,
            greeting: Arc::clone(&greeting),
        };
        originals.insert(sort, original);
        Ok(greeting)
    }

    /// A statement that was prepared is asked as if it had not been: its name is the session's own.
    async fn answer(
        &self,
        sort: Sort,
        text: &str,
        prepared: &mut HashMap<String, String>,
        own: [u8; 4],
    ) -> std::io::Result<Vec<u8>> {
        let mut before = Vec::new();
        let mut statement = text.to_owned();
        if let Some(rest) = text.strip_prefix("PREPARE ") {
            let (name, rest) = rest.split_once(" AS ").expect("PREPARE name AS");
            let (question, _) = rest.rsplit_once("; EXECUTE ").expect("and EXECUTE");
            prepared.insert(name.to_owned(), question.to_owned());
            question.clone_into(&mut statement);
            before = message(b'C', b"PREPARE\0");
        } else if let Some(name) = text.strip_prefix("EXECUTE ") {
            statement.clone_from(&prepared[name]);
        }
        let told = self.told(sort, &statement).await?;
        before.extend(self.elsewhere(&told, own));
        Ok(before)
    }

    async fn told(&self, sort: Sort, statement: &str) -> std::io::Result<Arc<Vec<u8>>> {
        if let Some(answer) = self.said(sort, statement) {
            return Ok(answer);
        }
        let mut originals = self.originals.lock().await;
        // Somebody else may have asked meanwhile.
        if let Some(answer) = self.said(sort, statement) {
            return Ok(answer);
        }
        let original = originals.get_mut(&sort).expect("it has greeted");
        let body = [statement.as_bytes(), b"\0"].concat();
        original.stream.write_all(&message(b'Q', &body)).await?;
        let answer = Arc::new(until_ready(&mut original.stream).await?);
        let mut said = self.said.write().expect("nobody panics with it");
        let answers = said.entry(sort).or_default();
        answers.insert(statement.to_owned(), Arc::clone(&answer));
        Ok(answer)
    }

    fn said(&self, sort: Sort, statement: &str) -> Option<Arc<Vec<u8>>> {
        let said = self.said.read().expect("nobody panics with it");
        said.get(&sort)?.get(statement).cloned()
    }

    /// The answer with the addresses of the stand-in's own cluster.
    fn elsewhere(&self, answer: &[u8], own: [u8; 4]) -> Vec<u8> {
        let host = Ipv4Addr::new(own[0], own[1], own[2], 1).to_string();
        let (real_host, real_port) = (self.primary.host.as_bytes(), self.primary.port.to_string());
        let port = self.port.to_string();
        let mut out = Vec::with_capacity(answer.len() + 16);
        let mut rest = answer;
        while rest.len() >= 5 {
            let length = u32::from_be_bytes(rest[1..5].try_into().expect("four bytes")) as usize;
            let (whole, next) = rest.split_at(1 + length);
            rest = next;
            if whole[0] != b'D' {
                out.extend_from_slice(whole);
                continue;
            }
            let mut row = whole[5..7].to_vec();
            let mut fields = &whole[7..];
            while fields.len() >= 4 {
                let size = i32::from_be_bytes(fields[..4].try_into().expect("four bytes"));
                let end = 4 + usize::try_from(size).unwrap_or(0);
                let field = &fields[4..end];
                let told = if field == real_host {
                    host.as_bytes()
                } else if field == real_port.as_bytes() {
                    port.as_bytes()
                } else {
                    field
                };
                let size = if size < 0 {
                    -1
                } else {
                    i32::try_from(told.len()).expect("short")
                };
                row.extend(size.to_be_bytes());
                row.extend_from_slice(told);
                fields = &fields[end..];
            }
            out.extend(message(b'D', &row));
        }
        out
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("short");
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// A packet without a kind, its length included.
async fn packet(stream: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    let mut packet = length.to_be_bytes().to_vec();
    packet.resize(length as usize, 0);
    stream.read_exact(&mut packet[4..]).await?;
    Ok(packet)
}

/// All that a server says until it is ready.
async fn until_ready(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut said = Vec::new();
    loop {
        let kind = stream.read_u8().await?;
        let length = stream.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).await?;
        said.extend(message(kind, &body));
        match kind {
            b'Z' => return Ok(said),
            b'E' => panic!("a server refuses: {}", String::from_utf8_lossy(&body)),
            _ => {}
        }
    }
}
