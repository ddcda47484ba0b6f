//! A server made of code: it answers each request as its deed says. Register A holds 7·A + 1 where it is honest.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

/// A read as it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// Number of the connection, from 0.
    pub(crate) connection: usize,
    transaction: u16,
    pub(crate) unit: u8,
    pub(crate) function: u8,
    pub(crate) first: u16,
    pub(crate) count: u16,
}

impl Asked {
    fn parse(connection: usize, frame: [u8; 12]) -> Self {
        let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        Self {
            connection,
            transaction: word(0),
            unit: frame[6],
            function: frame[7],
            first: word(8),
            count: word(10),
        }
    }

    /// A frame with this body behind the header.
    pub(crate) fn frame(&self, body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len() + 1).unwrap();
        let mut frame = Vec::new();
        frame.extend(self.transaction.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(len.to_be_bytes());
        frame.push(self.unit);
        frame.extend(body);
        frame
    }

    fn words(&self, count: u16) -> Vec<u8> {
        (0..count)
            .flat_map(|offset| honest_value(self.first + offset).to_be_bytes())
            .collect()
    }

    pub(crate) fn honest(&self) -> Vec<u8> {
        self.reply_of(self.count)
    }

    pub(crate) fn reply_of(&self, count: u16) -> Vec<u8> {
        let words = self.words(count);
        let mut body = vec![self.function, u8::try_from(words.len()).unwrap()];
        body.extend(words);
        self.frame(&body)
    }

    pub(crate) fn exception(&self, code: u8) -> Vec<u8> {
        self.frame(&[self.function | 0x80, code])
    }
}

pub(crate) fn honest_value(address: u16) -> u16 {
    address.wrapping_mul(7).wrapping_add(1)
}

/// What a server does with a request.
#[derive(Debug)]
pub(crate) enum Deed {
    Send(Vec<u8>),
    /// A byte at a time.
    Drip(Vec<u8>, Duration),
    /// Late, on the same connection, whatever came meanwhile.
    Later(Vec<u8>, Duration),
    Nothing,
    Close(Vec<u8>),
    Reset,
}

type Conduct = Arc<dyn Fn(usize, Asked) -> Deed + Send + Sync>;

/// Serves until dropped; requests are numbered from 0 over all connections.
pub(crate) struct Server {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(
        conduct: impl Fn(usize, Asked) -> Deed + Send + Sync + 'static,
    ) -> Self {
        Self::start_at(0, conduct).await
    }

    /// The same at a port; 0: any.
    pub(crate) async fn start_at(
        port: u16,
        conduct: impl Fn(usize, Asked) -> Deed + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (conduct, asked): (Conduct, _) = (Arc::new(conduct), Arc::new(Mutex::new(Vec::new())));
        let log = asked.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            let served = Arc::new(AtomicUsize::new(0));
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(
                    number,
                    stream,
                    conduct.clone(),
                    served.clone(),
                    log.clone(),
                ));
                number += 1;
            }
        });
        Self {
            port,
            asked,
            _tasks: tasks,
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Write errors are the client's right: it may have gone.
async fn serve(
    number: usize,
    mut stream: TcpStream,
    conduct: Conduct,
    served: Arc<AtomicUsize>,
    log: Arc<Mutex<Vec<Asked>>>,
) {
    let mut frame = [0; 12];
    while stream.read_exact(&mut frame).await.is_ok() {
        let asked = Asked::parse(number, frame);
        log.lock().unwrap().push(asked);
        let written = match conduct(served.fetch_add(1, Ordering::SeqCst), asked) {
            Deed::Send(bytes) => stream.write_all(&bytes).await,
            Deed::Drip(bytes, every) => {
                let mut written = Ok(());
                for byte in bytes {
                    sleep(every).await;
                    written = stream.write_all(&[byte]).await;
                }
                written
            }
            Deed::Later(bytes, after) => {
                sleep(after).await;
                stream.write_all(&bytes).await
            }
            Deed::Nothing => Ok(()),
            Deed::Close(bytes) => {
                let _gone = stream.write_all(&bytes).await;
                return;
            }
            Deed::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
        };
        if written.is_err() {
            return;
        }
    }
}
