//! Looking around on a device of which no map of registers is at hand: which addresses answer ([`browse()`]), and what an address
//! means under every type and order ([`probe()`]).
//!
//! Both only read, one request at a time, with a rest between two of them. Neither is part of a running gateway: on a line that
//! a gateway uses they would disturb it.

mod browse;
mod probe;

use std::{io, path::PathBuf, time::Duration};

use forebay_schemas::ErrorKind;
use forebay_tls::{ClientFiles, OwnCertificate};
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub use self::{
    browse::{Browsed, browse},
    probe::probe,
};
use crate::{
    client::{Client, Data, Fault},
    config::{Address, parse_address},
    endpoint::{Endpoint, Parity, SerialLine, frame_gap},
    exception::Exception,
    plan::{Point, Read, Register},
    unit::UnitId,
};

/// Where to look, and how gently.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// As `url` of a connector; `modbus://host` is the same as `tcp://host`.
    pub url: String,
    /// The unit identifier.
    pub unit: u8,
    /// The longest wait for a connection and for a reply.
    pub timeout: Duration,
    /// Most requests in a second; more than 0.
    pub rate: f64,
    /// Bits per second of a serial line.
    pub baud_rate: u32,
    /// Parity of a serial line: "none", "even" or "odd".
    pub parity: String,
    /// Stop bits of a serial line.
    pub stop_bits: u8,
    /// Authorities, own certificate and its key (PEM) for `tls://`.
    pub ca_file: Option<PathBuf>,
    /// See `ca_file`.
    pub cert_file: Option<PathBuf>,
    /// See `ca_file`.
    pub key_file: Option<PathBuf>,
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            url: String::new(),
            unit: 1,
            timeout: Duration::from_secs(1),
            rate: 10.0,
            baud_rate: 9600,
            parity: "none".to_owned(),
            stop_bits: 1,
            ca_file: None,
            cert_file: None,
            key_file: None,
        }
    }
}

/// Why looking around ended.
#[derive(Debug, Error)]
pub enum SurveyError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Asked(String),
    /// The device or the way to it.
    #[error("{0}")]
    Device(String),
    /// What was found cannot be written.
    #[error("cannot write what was found")]
    Write(#[from] io::Error),
}

impl SurveyError {
    /// A device may answer later; the rest is for a person to mend.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Device(_) => ErrorKind::Retry,
            Self::Asked(_) => ErrorKind::Reject,
            Self::Write(_) => ErrorKind::Fatal,
        }
    }
}

/// What came of one read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Data(Data),
    Refused(Exception),
    /// Nothing, or nothing whole.
    Silent(String),
}

/// A connection that is asked at a bounded rate.
struct Surveyor {
    endpoint: Endpoint,
    client: Option<Client>,
    unit: UnitId,
    timeout: Duration,
    pace: Duration,
    next: Option<Instant>,
    stop: CancellationToken,
}

impl Surveyor {
    fn new(survey: &Survey) -> Result<Self, SurveyError> {
        if !(survey.rate > 0.0 && survey.rate <= 1000.0) {
            let message = format!(
                "rate: more than 0 and at most 1000 requests a second, found {}",
                survey.rate
            );
            return Err(SurveyError::Asked(message));
        }
        Ok(Self {
            endpoint: endpoint(survey).map_err(SurveyError::Asked)?,
            client: None,
            unit: UnitId(survey.unit),
            timeout: survey.timeout,
            pace: Duration::from_secs_f64(1.0 / survey.rate),
            next: None,
            stop: CancellationToken::new(),
        })
    }

    /// Reads once; a connection that is not to be trusted any more is replaced before the next read.
    async fn read(
        &mut self,
        register: Register,
        first: u16,
        count: u16,
    ) -> Result<Outcome, SurveyError> {
        if let Some(next) = self.next {
            sleep_until(next).await;
        }
        self.next = Some(Instant::now() + self.pace);
        let point = Point {
            tag: 0,
            first,
            count,
            each: 1,
        };
        let read = Read::of(register, vec![point]);
        let mut is_new = false;
        loop {
            let mut client = match self.client.take() {
                Some(client) => client,
                None => {
                    is_new = true;
                    Client::connect(&self.endpoint, self.timeout, &self.stop)
                        .await
                        .map_err(|fault| SurveyError::Device(fault.to_string()))?
                }
            };
            let answer = client
                .read(self.unit, &read, self.timeout, &self.stop)
                .await;
            if answer
                .as_ref()
                .err()
                .is_none_or(|fault| client.outlives(fault))
            {
                self.client = Some(client);
            }
            match answer {
                Ok(data) => return Ok(Outcome::Data(data)),
                Err(Fault::Exception(exception)) => return Ok(Outcome::Refused(exception)),
                // Many devices close a connection after each reply.
                Err(Fault::Closed(_)) if !is_new => {}
                Err(fault) => return Ok(Outcome::Silent(fault.to_string())),
            }
        }
    }
}

/// The endpoint of a survey, or what is wrong with it.
fn endpoint(survey: &Survey) -> Result<Endpoint, String> {
    let url = match survey.url.strip_prefix("modbus://") {
        Some(rest) => format!("tcp://{rest}"),
        None => survey.url.clone(),
    };
    Ok(match parse_address(&url)? {
        Address::Tcp(server) => Endpoint::Tcp(server),
        Address::RtuTcp(server) => Endpoint::RtuTcp {
            server,
            frame_gap: Duration::ZERO,
        },
        Address::Serial(path) => Endpoint::Serial(SerialLine {
            path,
            baud_rate: survey.baud_rate,
            parity: parity(&survey.parity)?,
            data_bits: 8,
            stop_bits: survey.stop_bits,
            frame_gap: frame_gap(survey.baud_rate),
        }),
        Address::Tls(server) => {
            let server_name = ServerName::try_from(server.host.clone())
                .map_err(|error| format!("{:?} is not a server name: {error}", server.host))?;
            let own = survey.cert_file.clone().zip(survey.key_file.clone());
            Endpoint::Tls {
                files: ClientFiles {
                    ca: survey.ca_file.clone(),
                    own: own.map(|(chain, key)| OwnCertificate { chain, key }),
                    server_name,
                },
                server,
            }
        }
    })
}

fn parity(text: &str) -> Result<Parity, String> {
    let words = crate::keys::PARITY_WORDS;
    words
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, parity)| *parity)
        .ok_or_else(|| format!("parity: {text:?} is not one of \"none\", \"even\", \"odd\""))
}
