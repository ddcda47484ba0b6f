//! A bad link: an HTTP proxy before the store that answers 500, loses answers, or never answers, when told to.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 500, and the store never hears of it.
    Refused,
    /// The store has done it; the answer is 500.
    DoneAnd500,
    /// The store has done it; the connection ends without an answer.
    DoneAndCut,
    /// The store has done it; no answer comes, until the client gives up.
    DoneAndSilent,
}

/// Which PUT fails, and how often in a row.
#[derive(Debug)]
struct Plan {
    /// What its path contains: each of these.
    of: Vec<String>,
    skip: usize,
    times: usize,
    fault: Fault,
    hit: Vec<String>,
}

/// How the store behind the proxy takes a conditional create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    /// The condition does not reach it: everybody succeeds.
    Ignored,
    /// It refuses every condition with this status line.
    Refused(&'static str),
    /// It heeds the condition, and tells the loser with this status line instead of 412.
    ToldAs(&'static str),
}

/// A proxy to one address; it ends when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    plan: Arc<Mutex<Option<Plan>>>,
    over: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) fn to(store: SocketAddr) -> Self {
        Self::start(store, None)
    }

    /// To a store that is not good enough.
    pub(crate) fn with_creation(store: SocketAddr, creation: Creation) -> Self {
        Self::start(store, Some(creation))
    }

    fn start(store: SocketAddr, creation: Option<Creation>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (plan, over): (Arc<Mutex<Option<Plan>>>, Arc<AtomicBool>) = Default::default();
        let (of_thread, ended) = (plan.clone(), over.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), plan) = (client, of_thread.clone()) else {
                    continue;
                };
                // An error here is a client that went away: that is what is being tried.
                thread::spawn(move || drop(serve(client, store, &plan, creation)));
            }
        });
        Self {
            address,
            plan,
            over,
        }
    }

    pub(crate) fn url(&self) -> url::Url {
        format!("http://{}", self.address).parse().unwrap()
    }

    /// The PUT after `skip` others fails, `times` in a row.
    pub(crate) fn fail_put(&self, skip: usize, times: usize, fault: Fault) {
        *self.plan.lock().unwrap() = Some(Plan {
            of: Vec::new(),
            skip,
            times,
            fault,
            hit: Vec::new(),
        });
    }

    /// The next PUT fails whose path contains all of these.
    pub(crate) fn fail_put_of(&self, of: &[&str], fault: Fault) {
        let of = of.iter().map(|part| (*part).to_owned()).collect();
        *self.plan.lock().unwrap() = Some(Plan {
            of,
            skip: 0,
            times: 1,
            fault,
            hit: Vec::new(),
        });
    }

    /// Whether all that was to fail has failed.
    pub(crate) fn is_spent(&self) -> bool {
        self.plan
            .lock()
            .unwrap()
            .as_ref()
            .is_none_or(|plan| plan.times == 0)
    }

    /// No more faults; the paths that had one.
    pub(crate) fn heal(&self) -> Vec<String> {
        self.plan
            .lock()
            .unwrap()
            .take()
            .map(|plan| plan.hit)
            .unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(
    client: TcpStream,
    store: SocketAddr,
    plan: &Mutex<Option<Plan>>,
    creation: Option<Creation>,
) -> io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut length, mut is_create) = (Vec::new(), 0, false);
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line).to_ascii_lowercase();
        if let Some(value) = text.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line == b"\r\n" {
            break;
        }
        let is_condition = text.starts_with("if-none-match:");
        is_create |= is_condition;
        let is_hidden = is_condition && creation == Some(Creation::Ignored);
        if !text.starts_with("connection:") && !is_hidden {
            head.push(line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let first = String::from_utf8_lossy(head.first().map_or(&[][..], Vec::as_slice))
        .trim()
        .to_owned();
    let fault = first
        .strip_prefix("PUT ")
        .and_then(|path| next_fault(path, plan));
    let mut client = client;
    if fault == Some(Fault::Refused) {
        return refuse(&mut client);
    }
    if let (true, Some(Creation::Refused(status))) = (is_create, creation) {
        return answer_with(&mut client, status);
    }
    let answer = forward(store, &head, &body)?;
    if let (true, Some(Creation::ToldAs(status))) = (answer.starts_with(b"HTTP/1.1 412"), creation)
    {
        return answer_with(&mut client, status);
    }
    match fault {
        None => client.write_all(&answer),
        Some(Fault::Refused | Fault::DoneAnd500) => refuse(&mut client),
        Some(Fault::DoneAndCut) => Ok(()),
        Some(Fault::DoneAndSilent) => {
            let mut end = [0];
            reader.read(&mut end).map(|_| ())
        }
    }
}

fn next_fault(path: &str, plan: &Mutex<Option<Plan>>) -> Option<Fault> {
    let mut plan = plan.lock().unwrap();
    let plan = plan
        .as_mut()
        .filter(|plan| plan.times > 0 && plan.of.iter().all(|part| path.contains(part)))?;
    if plan.skip > 0 {
        plan.skip -= 1;
        return None;
    }
    plan.times -= 1;
    plan.hit
        .push(path.split(' ').next().unwrap_or_default().to_owned());
    Some(plan.fault)
}

fn refuse(client: &mut TcpStream) -> io::Result<()> {
    answer_with(client, "500 Internal Server Error")
}

fn answer_with(client: &mut TcpStream, status: &str) -> io::Result<()> {
    client.write_all(
        format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes(),
    )
}

fn forward(store: SocketAddr, head: &[Vec<u8>], body: &[u8]) -> io::Result<Vec<u8>> {
    let mut upstream = TcpStream::connect(store)?;
    upstream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut request = head.concat();
    request.extend_from_slice(b"Connection: close\r\n\r\n");
    request.extend_from_slice(body);
    upstream.write_all(&request)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    Ok(answer)
}
