//! What no client would send: wrong passwords, silence, frames that are too long, words before the sign-in.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::atomic::Ordering,
    time::Duration,
};

use tokio::time::Instant;

use super::fixture::{Site, limits};

/// The first frame of a client: protocol 3.0, user quentin.
fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0quentin\0\0";
    [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
}

fn frame(kind: u8, length: u32, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// What the server says to these bytes until it closes the connection, and after how long it does.
fn said_to(site: &Site, bytes: &[u8]) -> (String, Duration) {
    let begun = Instant::now();
    let mut link = TcpStream::connect(site.postgres()).unwrap();
    link.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    link.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A reset is an end as well.
    let read = link.read_to_end(&mut answer);
    assert!(
        read.is_ok() || begun.elapsed() < Duration::from_secs(29),
        "still open"
    );
    (
        String::from_utf8_lossy(&answer).into_owned(),
        begun.elapsed(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_run_nothing_and_are_told_why() {
    let site = Site::with(limits()).await;
    let query = frame(b'Q', 4 + 9, b"SELECT 1\0");
    for (bytes, expected) in [
        // Queries in place of a proof, and after a refusal.
        ([startup(), query.clone()].concat(), "sign in first"),
        (
            [startup(), frame(b'p', 4 + 6, b"wrong\0"), query.clone()].concat(),
            "FATAL",
        ),
        // Frames that would be gathered for long.
        (
            [startup(), frame(b'Q', 1 << 30, b"")].concat(),
            "a message of 1073741824 bytes, more than 10000",
        ),
        (
            [startup(), frame(b'p', u32::MAX, b"")].concat(),
            "more than 10000",
        ),
        // No protocol of ours.
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), ""),
        (vec![0xff; 64], ""),
        ([&8_u32.to_be_bytes()[..], b"\0\x02\0\0"].concat(), ""),
        (vec![0, 0, 0, 4], ""),
    ] {
        let (said, _) = said_to(&site, &bytes);
        assert!(said.contains(expected), "{expected:?}: {said:?}");
        assert!(
            !said.contains("SELECT 1") && !said.contains("?column?"),
            "{said:?}"
        );
    }
    assert_eq!(site.ask("quentin", "SELECT 1"), "1");
    assert_eq!(site.progress.answered.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_loses_its_place_and_keeps_nobody_out() {
    let site = Site::with(limits()).await;
    // One sends its first frame byte by byte and never ends it; the others say nothing.
    let mut slow: Vec<TcpStream> = (0..16)
        .map(|_| TcpStream::connect(site.postgres()).unwrap())
        .collect();
    slow[0].write_all(&startup()[..9]).unwrap();
    let begun = Instant::now();
    let wait = |connections: u64| {
        while site.progress.connections.load(Ordering::Relaxed) != connections {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "waited in vain for {connections}"
            );
            pause();
        }
    };
    wait(16);
    // From this address no more strangers are taken, and that is said.
    let said = site.ask("quentin", "SELECT 1");
    assert!(
        said.contains("too many connections of this address"),
        "{said}"
    );
    // After the time for signing in all are gone, and the place is free.
    wait(0);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(site.ask("quentin", "SELECT 1"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_passwords_is_locked_out() {
    let site = Site::with(limits()).await;
    let guess = |user: &str| {
        let mut psql = site.psql(user);
        let output = psql
            .env("PGPASSWORD", "wrong")
            .args(["-c", "SELECT 1"])
            .output()
            .unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    // A name that nobody has is answered as one that somebody has.
    assert!(guess("nobody").contains("password authentication failed for user \"nobody\""));
    for _ in 0..5 {
        let said = guess("quentin");
        assert!(
            said.contains("password authentication failed for user \"quentin\""),
            "{said}"
        );
    }
    let said = site.ask("quentin", "SELECT 1");
    assert!(
        said.contains("too many wrong passwords: locked out for 1 s"),
        "{said}"
    );
    // Others sign in as ever, and so does the user when the time is over.
    assert_eq!(site.ask("basil", "SELECT 1"), "1");
    let begun = Instant::now();
    while site.ask("quentin", "SELECT 1") != "1" {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "still locked out"
        );
    }
    assert_eq!(site.progress.logins_failed.load(Ordering::Relaxed), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_client_cannot_send_frames_without_end() {
    let site = Site::with(limits()).await;
    let long = format!("SELECT '{}'", "x".repeat(2 << 20));
    let said = site.script("quentin", &long);
    assert!(
        said.contains("a message of 20971") || said.contains("server closed the connection"),
        "{said}"
    );
    let long = format!("SELECT '{}';", "x".repeat(300 << 10));
    let said = site.script("quentin", &long);
    assert!(
        said.contains("the statement is too complex: 3072"),
        "{}",
        &said[..said.len().min(300)]
    );
    assert_eq!(site.ask("quentin", "SELECT 1"), "1");
}

/// Between two looks.
#[expect(clippy::disallowed_methods, reason = "a test looks again and again")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
