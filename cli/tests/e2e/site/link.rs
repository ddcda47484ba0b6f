//! A link that a test breaks.

use std::{
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// A way to a server on loopback that refuses everybody until it is up. It ends with the test's process.
pub(crate) struct Link {
    pub(crate) port: u16,
    is_up: Arc<AtomicBool>,
}

impl Link {
    pub(crate) fn down_to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_up = Arc::new(AtomicBool::new(false));
        let seen = is_up.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if seen.load(Ordering::SeqCst)
                    && let Ok(server) = TcpStream::connect(("127.0.0.1", server))
                {
                    pass_on(&client, &server);
                    pass_on(&server, &client);
                }
            }
        });
        Self { port, is_up }
    }

    pub(crate) fn up(&self) {
        self.is_up.store(true, Ordering::SeqCst);
    }
}

/// Carries bytes one way until either side ends.
fn pass_on(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        // What ends a connection is the other side's to see.
        std::io::copy(&mut from, &mut to).ok();
        to.shutdown(std::net::Shutdown::Write).ok();
    });
}
