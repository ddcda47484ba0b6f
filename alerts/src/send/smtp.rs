//! Mail by SMTP (RFC 5321) over TLS: from the first byte (`smtps`, RFC 8314) or after STARTTLS (`smtp`, RFC 3207), which must
//! then be offered: a mail is never sent in clear unless `tls = "none"` says so.
//!
//! An address that is refused keeps the mail from no other: it is logged and left out. Where all are refused, the mail waits.
//!
//! Written here and not taken from a crate: ADR 0035 has the reason. It logs in with AUTH PLAIN (RFC 4616), sends one mail, and
//! does neither pipelining nor 8-bit text: mails are ASCII (`mail`).

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use forebay_config::Secret;
use forebay_schemas::Timestamp;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tracing::warn;

use super::{
    SendError,
    address::{Reach, connect},
    failed, farewell, in_time,
    mail::mail,
    tls::{Stream, Trust},
};
use crate::{Delivery, Sender, instant::elapsed};

/// A line of an answer, and lines of one answer, are not longer in any server.
const LINE_BYTES_MAX: usize = 4096;
const LINES_MAX: usize = 200;
/// So long a mail waits for an address that is refused for the moment, such as a mailbox that is full; then the others get it.
const BUSY_MAX: Duration = Duration::from_secs(300);

/// How the connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SmtpTls {
    /// From its first byte.
    Implicit,
    /// After STARTTLS.
    StartTls,
    /// Not at all.
    Plain,
}

/// A mail server, and who writes to whom.
#[derive(Debug, Clone)]
pub(crate) struct Smtp {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: SmtpTls,
    pub(crate) trust: Trust,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) from: String,
    /// At least one.
    pub(crate) to: Vec<String>,
}

impl Smtp {
    pub(super) async fn send(
        &self,
        delivery: &Delivery,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<String, SendError> {
        let tried = async {
            let mut dialogue = self.open().await?;
            let said = self.transmit(&mut dialogue, delivery, sender, now).await?;
            Ok((dialogue, said))
        };
        let (mut dialogue, said) = in_time(tried).await?;
        farewell(dialogue.ask("QUIT", "QUIT")).await;
        Ok(said)
    }

    /// A connection that is as secure as it is to be, and logged in.
    async fn open(&self) -> Result<Dialogue, SendError> {
        let plain = connect(&self.host, self.port, Reach::Any).await?;
        let mut dialogue = match self.tls {
            SmtpTls::Implicit => {
                let secured = self.trust.secured(plain, &self.host).await?;
                Dialogue::greeted(Box::new(secured)).await?
            }
            SmtpTls::Plain => Dialogue::greeted(Box::new(plain)).await?,
            SmtpTls::StartTls => {
                let mut first = Dialogue::greeted(Box::new(plain)).await?;
                first.hello().await?;
                first.demand("STARTTLS", "STARTTLS", 220).await?;
                // What a server, or somebody between, sent ahead of TLS is not part of it.
                if !first.stream.buffer().is_empty() {
                    return Err(failed("STARTTLS", "the server sent more than its answer"));
                }
                let plain = first.stream.into_inner();
                let secured = self.trust.secured(plain, &self.host).await?;
                Dialogue {
                    stream: BufReader::new(Box::new(secured)),
                }
            }
        };
        dialogue.hello().await?;
        if let Some(user) = &self.user {
            let password = self.password.as_ref().map_or("", Secret::expose);
            let token = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
            let line = format!("AUTH PLAIN {token}");
            dialogue.demand(&line, "AUTH", 235).await?;
        }
        Ok(dialogue)
    }

    /// Hands one mail over; answers what the server said to it, and to whom it does not go.
    async fn transmit(
        &self,
        dialogue: &mut Dialogue,
        delivery: &Delivery,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<String, SendError> {
        let from = format!("MAIL FROM:<{}>", self.from);
        dialogue.demand(&from, "MAIL FROM", 250).await?;
        let is_late = elapsed(delivery.queued_at, now) >= BUSY_MAX;
        let mut refused = Vec::new();
        for to in &self.to {
            let what = format!("RCPT TO:<{to}>");
            let answer = dialogue.ask(&what, &what).await?;
            match answer.code {
                // 251: the server knows where to forward it.
                250 | 251 => {}
                500..=599 => refused.push((to, answer.line)),
                // 421: the server closes the connection.
                400..=499 if answer.code != 421 && is_late => refused.push((to, answer.line)),
                _ => return Err(failed(&what, answer.line)),
            }
        }
        // Nobody's address is good: then it is rather the account or the route, which may be mended.
        if let [(to, line), ..] = &refused[..]
            && refused.len() == self.to.len()
        {
            return Err(failed(&format!("RCPT TO:<{to}>"), line));
        }
        dialogue.demand("DATA", "DATA", 354).await?;
        let text = mail(delivery, sender, &self.from, &self.to, now);
        // No line of ours begins with a dot: headers begin with a name, base64 has no dot.
        let answer = dialogue.ask(&format!("{text}."), "the mail").await?;
        let mut said = match answer.code {
            250 => answer.line,
            500..=599 => return Err(SendError::Refused(answer.line)),
            _ => return Err(failed("the mail", answer.line)),
        };
        for (to, reason) in refused {
            warn!(host = self.host, %to, reason, "recipient refused by the mail server, skipped");
            said.push_str(&format!(", but not for {to}: {reason}"));
        }
        Ok(said)
    }
}

/// What a server said: the last line, and the code that it begins with.
struct Answer {
    code: u16,
    line: String,
}

impl Answer {
    fn expected(self, shown: &str, code: u16) -> Result<(), SendError> {
        if self.code == code {
            Ok(())
        } else {
            Err(failed(shown, self.line))
        }
    }
}

/// One connection, line by line.
struct Dialogue {
    stream: BufReader<Box<dyn Stream>>,
}

impl Dialogue {
    /// After the server's greeting.
    async fn greeted(stream: Box<dyn Stream>) -> Result<Self, SendError> {
        let mut dialogue = Self {
            stream: BufReader::new(stream),
        };
        let greeting = dialogue.answer("the greeting").await?;
        greeting.expected("the greeting", 220)?;
        Ok(dialogue)
    }

    async fn hello(&mut self) -> Result<(), SendError> {
        // An address literal: a gateway behind NAT has no name that a server could look up (RFC 5321, 4.1.4).
        self.demand("EHLO [127.0.0.1]", "EHLO", 250).await
    }

    /// Sends a line whose answer must have this code; `shown` stands for the line in errors.
    async fn demand(&mut self, line: &str, shown: &str, code: u16) -> Result<(), SendError> {
        let answer = self.ask(line, shown).await?;
        answer.expected(shown, code)
    }

    /// Sends a line and reads the answer.
    async fn ask(&mut self, line: &str, shown: &str) -> Result<Answer, SendError> {
        let sent = async {
            // In one piece: a packet for the line's end would be one more that the server waits for.
            self.stream
                .write_all(format!("{line}\r\n").as_bytes())
                .await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| failed(shown, error))?;
        self.answer(shown).await
    }

    async fn answer(&mut self, shown: &str) -> Result<Answer, SendError> {
        for _ in 0..LINES_MAX {
            let line = self.line(shown).await?;
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            if !is_last {
                continue;
            }
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
            return match code {
                Some(code) => Ok(Answer { code, line }),
                None => Err(failed(shown, line)),
            };
        }
        Err(failed(shown, "the answer has no end"))
    }

    async fn line(&mut self, shown: &str) -> Result<String, SendError> {
        let mut line = Vec::new();
        loop {
            let read = self.stream.fill_buf().await;
            let read = read.map_err(|error| failed(shown, error))?;
            if read.is_empty() {
                return Err(failed(shown, "the server closed the connection"));
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(read.len(), |end| end + 1);
            line.extend_from_slice(&read[..taken]);
            self.stream.consume(taken);
            if line.len() > LINE_BYTES_MAX {
                return Err(failed(shown, "a line of the answer is too long"));
            }
            if end.is_some() {
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests;
