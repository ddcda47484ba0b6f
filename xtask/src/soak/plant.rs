//! The devices of a soak: a steady and bounded rate of about a hundred readings a second, and links that get lost.
//!
//! MQTT: as the load says, every number once. OPC UA: ten values a second. Modbus: nine registers,
//! five times a second. The two device servers are killed and started again now and then.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};

use super::{
    load::{Load, Publishing},
    pace::{Watch, micros_now, sleep},
    peer::{Broker, Peer},
};

const MODBUS: &str = "connectors/modbus/tests/peer.py";
const OPCUA: &str = "connectors/opcua/tests/peer.py";
const MQTT: &str = "connectors/mqtt/tests/peer.py";

/// The registers that the gateway reads.
pub(super) const REGISTERS: u64 = 9;
const NUMBERS_A_SECOND: u64 = 10;
const SECOND: Duration = Duration::from_secs(1);
/// How often a device server is lost in a run, and for how long at least and at most.
const OUTAGES: u32 = 12;
const OUTAGE_EVERY_MIN: Duration = Duration::from_secs(20);
const AWAY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// How often a server is started again on a port that somebody else may hold just now.
const STARTS_TRIED: u32 = 20;

/// Where the devices are found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) mqtt: u16,
    pub(super) modbus: u16,
    pub(super) opcua: u16,
}

/// The devices.
pub(super) struct Plant {
    broker: Broker,
    publisher: Option<Peer>,
    publishing: Publishing,
    servers: Vec<Server>,
    stop: Arc<AtomicBool>,
    at_work: Vec<(&'static str, JoinHandle<anyhow::Result<u64>>)>,
}

impl Plant {
    pub(super) fn start(folder: &Path, python: &Path, load: Load) -> anyhow::Result<Self> {
        let broker = Broker::start(&folder.join("mosquitto"))?;
        let publisher = Peer::start(
            python,
            MQTT,
            &format!(r#"{{"port": {}, "version": 5}}"#, broker.port),
        )?;
        let certificates = folder.join("opcua");
        fs::create_dir_all(&certificates)?;
        let servers = vec![
            Server::start(python, ServerKind::Modbus, &certificates)?,
            Server::start(python, ServerKind::OpcUa, &certificates)?,
        ];
        let publisher = Some(publisher);
        let publishing = load.publishing();
        Ok(Self {
            broker,
            publisher,
            publishing,
            servers,
            stop: Arc::default(),
            at_work: Vec::new(),
        })
    }

    pub(super) fn ports(&self) -> Ports {
        let port = |kind| {
            self.servers
                .iter()
                .find(|server| server.kind == kind)
                .map_or(0, |server| server.port)
        };
        Ports {
            mqtt: self.broker.port,
            modbus: port(ServerKind::Modbus),
            opcua: port(ServerKind::OpcUa),
        }
    }

    /// One message: what is published before the gateway has subscribed goes nowhere.
    pub(super) fn probe(&mut self) -> anyhow::Result<()> {
        let publisher = self
            .publisher
            .as_mut()
            .context("the devices are at work already")?;
        publisher.ask(r#"{"topic": "site/probe/cell/volts", "first": 0, "last": 0}"#)?;
        sleep(SECOND);
        Ok(())
    }

    /// Begins to send, each device in its own thread.
    pub(super) fn work(&mut self, length: Duration) -> anyhow::Result<()> {
        let publisher = self
            .publisher
            .take()
            .context("the devices are at work already")?;
        let (stop, publishing) = (self.stop.clone(), self.publishing);
        self.at_work.push((
            "the publisher",
            thread::spawn(move || publish(publisher, publishing, &stop)),
        ));
        let outage_every = (length / OUTAGES).max(OUTAGE_EVERY_MIN);
        for server in self.servers.drain(..) {
            let stop = self.stop.clone();
            self.at_work.push((
                server.kind.name(),
                thread::spawn(move || server.serve(outage_every, &stop)),
            ));
        }
        Ok(())
    }

    /// An error once a device has ended, or the broker.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.broker.process.check()?;
        match self
            .at_work
            .iter()
            .position(|(_, device)| device.is_finished())
        {
            Some(ended) => {
                let (name, device) = self.at_work.swap_remove(ended);
                outcome(name, device).and_then(|_| bail!("{name} stopped unexpectedly"))
            }
            None => Ok(()),
        }
    }

    /// Stops sending; answers how many numbers were sent over MQTT.
    pub(super) fn stop(&mut self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sent = 0;
        for (name, device) in self.at_work.drain(..) {
            sent += outcome(name, device)?;
        }
        Ok(sent)
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn outcome(name: &str, device: JoinHandle<anyhow::Result<u64>>) -> anyhow::Result<u64> {
    device
        .join()
        .map_err(|_| anyhow!("{name} panicked"))?
        .with_context(|| format!("{name} failed"))
}

/// Sends numbers, each once, until told to stop; answers how many.
fn publish(mut publisher: Peer, publishing: Publishing, stop: &AtomicBool) -> anyhow::Result<u64> {
    let Publishing {
        devices,
        numbers_a_second,
    } = publishing;
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let watch = Watch::start();
        let (first, last) = (sent + 1, sent + numbers_a_second);
        let topic = r#""topic": "site/c-{n}/cell/volts""#;
        publisher.ask(&format!(
            r#"{{{topic}, "spread": {devices}, "first": {first}, "last": {last}}}"#
        ))?;
        sent = last;
        sleep(SECOND.saturating_sub(watch.passed()));
    }
    Ok(sent)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServerKind {
    Modbus,
    OpcUa,
}

impl ServerKind {
    fn name(self) -> &'static str {
        match self {
            Self::Modbus => "the Modbus server",
            Self::OpcUa => "the OPC UA server",
        }
    }
}

/// A device that is asked by the gateway.
struct Server {
    kind: ServerKind,
    port: u16,
    peer: Peer,
    python: PathBuf,
    folder: PathBuf,
}

impl Server {
    fn start(python: &Path, kind: ServerKind, folder: &Path) -> anyhow::Result<Self> {
        let peer = started(python, kind, folder, 0)?;
        let port = peer
            .first_line
            .parse()
            .with_context(|| format!("{} says no port", kind.name()))?;
        Ok(Self {
            kind,
            port,
            peer,
            python: python.to_owned(),
            folder: folder.to_owned(),
        })
    }

    /// Is there, and now and then not, until told to stop.
    fn serve(mut self, outage_every: Duration, stop: &AtomicBool) -> anyhow::Result<u64> {
        let mut since = Watch::start();
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            match self.kind {
                ServerKind::Modbus => sleep(SECOND),
                ServerKind::OpcUa => number = self.send(number)?,
            }
            if since.passed() >= outage_every {
                self = self.restarted((outage_every / 10).clamp(AWAY.0, AWAY.1))?;
                since = Watch::start();
            }
        }
        Ok(0)
    }

    /// A second of values, dated now.
    fn send(&mut self, first: u64) -> anyhow::Result<u64> {
        let every = SECOND / u32::try_from(NUMBERS_A_SECOND)?;
        let base = micros_now()? - u128::from(first) * every.as_micros();
        self.peer.ask(&format!(
            r#"{{"sequence": ["Force"], "start": {first}, "count": {NUMBERS_A_SECOND}, "every_ms": {}, "base_us": {base}}}"#,
            every.as_millis()
        ))?;
        Ok(first + NUMBERS_A_SECOND)
    }

    fn restarted(self, away: Duration) -> anyhow::Result<Self> {
        let Self {
            kind,
            port,
            peer,
            python,
            folder,
        } = self;
        drop(peer);
        sleep(away);
        let mut tried = 1;
        let peer = loop {
            match started(&python, kind, &folder, port) {
                Ok(peer) => break peer,
                Err(error) if tried == STARTS_TRIED => return Err(error),
                Err(_) => sleep(SECOND),
            }
            tried += 1;
        };
        Ok(Self {
            kind,
            port,
            peer,
            python,
            folder,
        })
    }
}

fn started(python: &Path, kind: ServerKind, folder: &Path, port: u16) -> anyhow::Result<Peer> {
    match kind {
        ServerKind::Modbus => {
            let register = |n| {
                format!(
                    r#"{{"register": "holding", "address": {n}, "type": "u16", "value": {}}}"#,
                    n + 7
                )
            };
            let values: Vec<String> = (0..REGISTERS).map(register).collect();
            let options = format!(
                r#"{{"port": {port}, "units": [{{"id": 1, "values": [{}]}}]}}"#,
                values.join(", ")
            );
            Peer::start(python, MODBUS, &options)
        }
        ServerKind::OpcUa => {
            let options = format!(
                r#"{{"port": {port}, "folder": "{}", "security": ["NoSecurity"],
                    "nodes": [{{"id": "Force", "type": "Int64", "value": -1, "us": {}}}]}}"#,
                folder.display(),
                micros_now()?
            );
            Peer::start(python, OPCUA, &options.replace('\n', " "))
        }
    }
}
