//! What strangers and greedy users do to the ports for queries, all at once.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};

use super::{Ports, TOKEN};

/// Connections to each port that send a byte now and then.
const SLOW: usize = 40;
const BYTE_EVERY: Duration = Duration::from_millis(500);
/// Who tries wrong passwords, and who tries wrong tokens.
const GUESSERS: usize = 4;
/// Users with queries without end, and with statements of the greatest length.
const GREEDY: usize = 6;
/// Pause of one who was refused.
const PAUSE: Duration = Duration::from_millis(20);
/// Nearly as long as a statement may be.
const STATEMENT_BYTES: usize = 250 << 10;

/// Joins what no machine joins in the time that a query has.
const ENDLESS: &str = "SELECT count(*) FROM generate_series(1, 60000) AS a, generate_series(1, 60000) AS b WHERE a.value + b.value < 0";

/// How much was done.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Done {
    /// Connections that sent bytes slowly.
    pub(crate) slow_connections: u64,
    /// Passwords and tokens that were refused.
    pub(crate) guesses: u64,
    /// Statements that got an answer or an error.
    pub(crate) statements: u64,
}

impl Done {
    pub(super) fn add(&mut self, other: Self) {
        self.slow_connections += other.slow_connections;
        self.guesses += other.guesses;
        self.statements += other.statements;
    }
}

#[derive(Debug, Default)]
struct Counts {
    slow_connections: AtomicU64,
    guesses: AtomicU64,
    statements: AtomicU64,
}

/// An attack under way.
pub(super) struct Attack {
    // Ends its tasks when it is dropped.
    _tasks: JoinSet<()>,
    counts: Arc<Counts>,
}

impl Attack {
    pub(super) fn begin(ports: Ports) -> Self {
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        for _ in 0..SLOW {
            for port in [ports.postgres, ports.http] {
                tasks.spawn(again(counts.clone(), move |counts| slow(port, counts)));
            }
        }
        for _ in 0..GUESSERS {
            tasks.spawn(again(counts.clone(), move |counts| {
                guess_password(ports.postgres, counts)
            }));
            tasks.spawn(again(counts.clone(), move |counts| {
                guess_token(ports.http, counts)
            }));
        }
        for _ in 0..GREEDY {
            tasks.spawn(again(counts.clone(), move |counts| {
                ask(ports.http, ENDLESS.to_owned(), counts)
            }));
            tasks.spawn(again(counts.clone(), move |counts| {
                ask(ports.http, long(), counts)
            }));
        }
        Self {
            _tasks: tasks,
            counts,
        }
    }

    pub(super) fn end(self) -> Done {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Done {
            slow_connections: count(&self.counts.slow_connections),
            guesses: count(&self.counts.guesses),
            statements: count(&self.counts.statements),
        }
    }
}

/// Does it for ever; one who is cut off comes back.
async fn again<F>(counts: Arc<Counts>, what: impl Fn(Arc<Counts>) -> F)
where
    F: Future<Output = io::Result<()>>,
{
    loop {
        // Being cut off is what an attacker expects.
        drop(what(counts.clone()).await);
        sleep(PAUSE).await;
    }
}

async fn connected(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
}

async fn slow(port: u16, counts: Arc<Counts>) -> io::Result<()> {
    let mut stream = connected(port).await?;
    counts.slow_connections.fetch_add(1, Ordering::Relaxed);
    for byte in b"GET /api/v1/query?q=SELECT HTTP/1.1".iter().cycle() {
        stream.write_all(&[*byte]).await?;
        sleep(BYTE_EVERY).await;
    }
    Ok(())
}

/// SCRAM with a proof that fits nothing.
async fn guess_password(port: u16, counts: Arc<Counts>) -> io::Result<()> {
    let mut stream = connected(port).await?;
    let startup = b"\0\x03\0\0user\0grafana\0\0";
    let length = u32::try_from(startup.len() + 4).unwrap_or_default();
    stream
        .write_all(&[&length.to_be_bytes()[..], startup].concat())
        .await?;
    message_of(&mut stream).await?;
    let first = b"n,,n=,r=nonce";
    let length = u32::try_from(first.len()).unwrap_or_default();
    let body = [b"SCRAM-SHA-256\0", &length.to_be_bytes()[..], first].concat();
    stream.write_all(&password_message(&body)).await?;
    let challenge = message_of(&mut stream).await?;
    let challenge = String::from_utf8_lossy(challenge.get(4..).unwrap_or_default()).into_owned();
    let nonce = challenge.split(',').next().unwrap_or_default();
    let last = format!("c=biws,{nonce},p={}=", "A".repeat(43));
    stream.write_all(&password_message(last.as_bytes())).await?;
    message_of(&mut stream).await?;
    counts.guesses.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn password_message(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or_default();
    [b"p", &length.to_be_bytes()[..], body].concat()
}

/// The body of the server's next message.
async fn message_of(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let mut body = vec![0; length.saturating_sub(4).min(64 << 10) as usize];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

async fn guess_token(port: u16, counts: Arc<Counts>) -> io::Result<()> {
    request(port, "a-token-that-is-wrong", "SELECT 1").await?;
    counts.guesses.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

async fn ask(port: u16, sql: String, counts: Arc<Counts>) -> io::Result<()> {
    request(port, TOKEN, &sql).await?;
    counts.statements.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// A list of very many constants, and a column that is not there.
fn long() -> String {
    let mut sql = String::from("SELECT a IN (1");
    while sql.len() < STATEMENT_BYTES {
        sql.push_str(",1234567");
    }
    sql.push_str(") FROM readings WHERE device ~ 'a{400}' GROUP BY 1");
    sql
}

async fn request(port: u16, token: &str, sql: &str) -> io::Result<()> {
    let mut stream = connected(port).await?;
    let head = format!(
        "POST /api/v1/query HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        sql.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(sql.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map(drop)
}
