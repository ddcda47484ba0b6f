//! Receivers that refuse, or that take what they are sent and then fall silent.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

use tempfile::TempDir;

use crate::{
    rig::{PATIENCE, Running},
    routes::tried,
};

/// The beginning of a line, and what is answered to it; nothing is where the answer is empty. `.` ends a mail.
type Script = &'static [(&'static str, &'static str)];

/// A mail server that answers by a script, else `250 ok`; what each connection said comes out at its end.
struct MailServer {
    port: u16,
    said: mpsc::Receiver<String>,
}

impl MailServer {
    /// One connection is answered by each script, the last by all others.
    fn start(scripts: &'static [Script]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (to, said) = mpsc::channel();
        thread::spawn(move || {
            for (place, stream) in listener.incoming().enumerate() {
                let script = scripts[place.min(scripts.len() - 1)];
                if to.send(served(stream.unwrap(), script)).is_err() {
                    return;
                }
            }
        });
        Self { port, said }
    }

    fn route(&self, to: &str) -> String {
        format!(
            "[[route]]\nname = \"mail\"\nkind = \"smtp\"\nurl = \"smtp://127.0.0.1:{}\"\ntls = \"none\"\nfrom = \"f@plant.example\"\n\
             to = [{to}]\n",
            self.port
        )
    }

    fn said(&self) -> String {
        self.said.recv_timeout(PATIENCE).unwrap()
    }
}

fn served(mut stream: TcpStream, script: Script) -> String {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let (mut said, mut in_mail) = (String::new(), false);
    stream.write_all(b"220 hello\r\n").unwrap();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap_or(0) == 0 {
            return said;
        }
        said.push_str(&line);
        let is_end = line == ".\r\n";
        if in_mail && !is_end {
            continue;
        }
        in_mail = line == "DATA\r\n";
        let default = if in_mail { "354 go on" } else { "250 ok" };
        let answer = script.iter().find(|(begins, _)| line.starts_with(begins));
        let answer = answer.map_or(default, |(_, answer)| answer);
        if !answer.is_empty() && write!(stream, "{answer}\r\n").is_err() {
            return said;
        }
    }
}

const THREE: &str = "\"a@x.example\", \"b@x.example\", \"c@x.example\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_refused_keeps_the_mail_from_no_other() {
    let folder = TempDir::new().unwrap();
    let server = MailServer::start(&[&[
        ("RCPT TO:<a@", "550 no such user"),
        ("RCPT TO:<b@", "251 forwarded"),
    ]]);
    let sent = tried(folder.path(), &server.route(THREE)).await;
    let answer = sent.unwrap();
    assert_eq!(answer, "250 ok, but not for a@x.example: 550 no such user");
    let said = server.said();
    assert!(said.contains("RCPT TO:<c@x.example>\r\nDATA\r\n"), "{said}");

    let server = MailServer::start(&[&[("RCPT", "550 no such user")]]);
    let nobody = tried(folder.path(), &server.route(THREE)).await;
    assert_eq!(
        nobody.unwrap_err(),
        "RCPT TO:<a@x.example> failed: 550 no such user"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_is_refused_for_good_holds_up_none_after_it() {
    let folder = TempDir::new().unwrap();
    let server = MailServer::start(&[&[(".", "550 looks like spam")], &[]]);
    let running = Running::start(folder.path(), &server.route("\"a@x.example\""));
    running.fill(95.0);
    let refused = id_of(&server.said());
    running.fill(10.0);
    // A retry would carry the id of the first.
    assert_ne!(id_of(&server.said()), refused);
    running.stop().await;
}

fn id_of(said: &str) -> String {
    let found = said.lines().find(|line| line.starts_with("Message-ID: "));
    found.expect("a mail was sent").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_receiver_took_has_arrived_however_silent_it_is_then() {
    let folder = TempDir::new().unwrap();
    let server = MailServer::start(&[&[("QUIT", "")]]);
    let route = server.route("\"a@x.example\"");
    let mail = tokio::time::timeout(PATIENCE / 6, tried(folder.path(), &route)).await;
    assert_eq!(mail.expect("the mail was taken").unwrap(), "250 ok");

    // One holds the connection open in the middle of its answer, one breaks it off there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let web = thread::spawn(move || {
        let answered = || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = [0; 4096];
            assert!(stream.read(&mut heard).unwrap() > 0);
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok";
            stream.write_all(answer).unwrap();
            stream
        };
        let held = answered();
        drop(answered());
        held
    });
    let route = format!(
        "[[route]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/\"\nallow_private = true\n"
    );
    for _ in 0..2 {
        let hook = tokio::time::timeout(PATIENCE / 6, tried(folder.path(), &route)).await;
        assert_eq!(hook.expect("the webhook was taken").unwrap(), "200 OK");
    }
    drop(web.join().unwrap());
}
