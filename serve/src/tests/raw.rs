//! A client of PostgreSQL's protocol that sends whatever it is told, once it has signed in.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use datafusion_postgres::pgwire::api::auth::sasl::scram::gen_salted_password;

use super::fixture::{PASSWORD, Site};
use crate::scram::{MECHANISM, hash, sign};

/// A message of the server: its type, and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: char,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// An error's code, or any message's text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).replace('\0', " ")
    }
}

/// A connection that has signed in.
pub(super) struct Raw(TcpStream);

impl Raw {
    pub(super) fn sign_in(site: &Site, user: &str) -> Self {
        let link = TcpStream::connect(site.postgres()).unwrap();
        link.set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let mut raw = Self(link);
        let startup = [&b"\0\x03\0\0user\0"[..], user.as_bytes(), b"\0\0"].concat();
        let length = u32::try_from(startup.len() + 4).unwrap();
        raw.write(&[&length.to_be_bytes()[..], &startup].concat());
        assert_eq!(raw.read().kind, 'R');
        let bare = "n=,r=nonce";
        let first = format!("n,,{bare}");
        let length = u32::try_from(first.len()).unwrap().to_be_bytes();
        let head = [MECHANISM.as_bytes(), b"\0", &length].concat();
        raw.send(&message('p', &[&head[..], first.as_bytes()].concat()));
        let challenge = raw.read();
        let server_first = String::from_utf8(challenge.body[4..].to_vec()).unwrap();
        let of = |name: &str| {
            let mut parts = server_first.split(',');
            parts.find_map(|part| part.strip_prefix(name)).unwrap()
        };
        let salt = STANDARD.decode(of("s=")).unwrap();
        let salted = gen_salted_password(PASSWORD, &salt, of("i=").parse().unwrap());
        let client_key = sign(&salted, b"Client Key");
        let without_proof = format!("c=biws,r={}", of("r="));
        let signed = format!("{bare},{server_first},{without_proof}");
        let signature = sign(&hash(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(signature)
            .map(|(a, b)| a ^ b)
            .collect();
        let last = format!("{without_proof},p={}", STANDARD.encode(proof));
        raw.send(&message('p', last.as_bytes()));
        let said = raw.until_ready();
        assert!(said.iter().all(|message| message.kind != 'E'), "{said:?}");
        raw
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Sends messages as they are.
    pub(super) fn send(&mut self, messages: &[u8]) {
        self.write(messages);
    }

    /// The next message.
    pub(super) fn read(&mut self) -> Message {
        let mut head = [0; 5];
        self.0.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        self.0.read_exact(&mut body).unwrap();
        Message {
            kind: char::from(head[0]),
            body,
        }
    }

    /// The messages up to the one that says that the server is ready.
    pub(super) fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            messages.push(self.read());
            if messages.last().is_some_and(|last| last.kind == 'Z') {
                return messages;
            }
        }
    }

    /// Sends messages and a Sync; the types of the answers, and the text of the first error.
    pub(super) fn synced(&mut self, messages: &[Vec<u8>]) -> (String, String) {
        self.send(&[messages.concat(), sync()].concat());
        let answers = self.until_ready();
        let error = answers.iter().find(|answer| answer.kind == 'E');
        (
            answers.iter().map(|answer| answer.kind).collect(),
            error.map(Message::text).unwrap_or_default(),
        )
    }
}

/// A message of a client.
pub(super) fn message(kind: char, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [
        &[u8::try_from(kind).unwrap()][..],
        &length.to_be_bytes(),
        body,
    ]
    .concat()
}

pub(super) fn query(sql: &str) -> Vec<u8> {
    message('Q', &[sql.as_bytes(), b"\0"].concat())
}

pub(super) fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(
        'P',
        &[name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"].concat(),
    )
}

/// Binds parameters in text.
pub(super) fn bind(portal: &str, statement: &str, parameters: &[&str]) -> Vec<u8> {
    let count = u16::try_from(parameters.len()).unwrap().to_be_bytes();
    let names = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0"].concat();
    let mut body = [&names[..], b"\0\0", &count].concat();
    for parameter in parameters {
        body.extend(u32::try_from(parameter.len()).unwrap().to_be_bytes());
        body.extend(parameter.as_bytes());
    }
    message('B', &[&body[..], b"\0\0"].concat())
}

pub(super) fn execute(portal: &str, rows_max: i32) -> Vec<u8> {
    message(
        'E',
        &[portal.as_bytes(), b"\0", &rows_max.to_be_bytes()].concat(),
    )
}

fn sync() -> Vec<u8> {
    message('S', b"")
}
