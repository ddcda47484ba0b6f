//! One connection to the broker, from CONNECT to its end.
//!
//! The broker is pinged at fixed times, also while nothing may be read because the gateway has no room, and after many PUBACKs. A broker that
//! sends nothing at all after a ping is given up. PUBACKs and PUBRECs go out in the order in which their messages came.
//!
//! A message of QoS 2 is answered by PUBREC once it is durable, and its PUBREL by PUBCOMP. What is published here is little and has no
//! queue: a Sparkplug host's STATE and its requests for births.

mod pace;
mod wire;

use std::{io, time::Duration};

use forebay_connectors::Closed;
use forebay_schemas::Clock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf},
    select,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{pace::Pace, wire::Wire};
use crate::{
    client::{ANSWER_TIME, Session, Settings, Stream},
    frame::Framer,
    intake::Intake,
    packet::{Answer, DISCONNECT, Incoming, Outgoing, PINGREQ, SubAck, pubcomp},
    receipts::PacketId,
    sparkplug,
};

/// The packet type of CONNACK (MQTT 5.0, section 2.1.2).
const CONNACK: u8 = 2;
const NO_CONNACK: &str =
    "the broker answers CONNECT with another packet than CONNACK: is this an MQTT port?";
/// Bytes of a PUBLISH besides its payload: a topic of up to 64 KiB, and properties.
const PUBLISH_HEAD_BYTES_MAX: usize = 192 * 1024;
/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;
/// The broker is pinged at the latest after so many PUBACKs: what they acknowledged is kept until they are proven.
const PUBACKS_UNPROVEN_MAX: usize = 512;
/// How long receipts are awaited after a stop.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How long the last packets may take.
const FAREWELL_TIME: Duration = Duration::from_secs(2);
/// The packet id of SUBSCRIBE. Those of published messages count on from it.
const SUBSCRIBE_ID: PacketId = PacketId(1);

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// A stop was asked for before there was a connection.
    Stopped,
    /// A stop was asked for, and receipts were awaited.
    Drained,
    /// The gateway takes no more.
    Closed,
    /// Not as asked for; why, for people.
    Lost(String),
}

/// What the reconnecting side learns while a connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Subscriptions of this process that its session holds.
    pub(crate) subscribed: bool,
    /// Since when readings can come.
    pub(crate) up_since: Option<Instant>,
}

pub(crate) struct Connection<'c, 'r> {
    settings: &'c Settings,
    clock: &'c Clock,
    intake: &'c mut Intake<'r>,
    progress: &'c mut Progress,
    last_id: PacketId,
    reader: ReadHalf<Box<dyn Stream>>,
    wire: Wire,
    framer: Framer,
    ping_every: Duration,
    next_ping: Instant,
    /// When the broker counts as gone; none while it owes nothing.
    silent_at: Option<Instant>,
    /// When the SUBACK must be there; none once it is.
    suback_at: Option<Instant>,
    was_full: bool,
    pace: Pace,
}

enum Event {
    Stop,
    Delivered(Result<Vec<Answer>, Closed>),
    Sent(io::Result<()>),
    Read(io::Result<usize>),
    ReadDue,
    PingDue,
    Silent,
    NoSubAck,
    Drained,
}

impl<'c, 'r> Connection<'c, 'r> {
    /// CONNECT and CONNACK; answers a connection on which messages can come, or why there is none.
    pub(crate) async fn open(
        settings: &'c Settings,
        clock: &'c Clock,
        stream: Box<dyn Stream>,
        intake: &'c mut Intake<'r>,
        progress: &'c mut Progress,
    ) -> Result<Self, String> {
        let (reader, writer) = tokio::io::split(stream);
        let payload_bytes_max = intake.payload_bytes_max();
        let mut connection = Self {
            settings,
            clock,
            intake,
            progress,
            last_id: SUBSCRIBE_ID,
            reader,
            wire: Wire::new(writer),
            framer: Framer::new(payload_bytes_max + PUBLISH_HEAD_BYTES_MAX),
            ping_every: settings.ping_every(),
            next_ping: Instant::now() + settings.ping_every(),
            silent_at: None,
            suback_at: None,
            was_full: false,
            pace: Pace::new(Instant::now()),
        };
        connection.shake_hands().await?;
        Ok(connection)
    }

    async fn shake_hands(&mut self) -> Result<(), String> {
        let text = |error: crate::packet::PacketError| error.to_string();
        let now_millis = self.now_millis();
        let state = self.intake.host().and_then(|host| host.will(now_millis));
        let hello = self
            .settings
            .hello(state.or_else(|| self.settings.will.clone()));
        let written = self.settings.version.connect(&hello, &mut self.wire.out);
        written.map_err(text)?;
        self.wire.send().await.map_err(|error| lost(&error))?;
        let connack = loop {
            match self.next_packet()? {
                Some(Incoming::ConnAck(connack)) => break connack,
                Some(_) => return Err(NO_CONNACK.to_owned()),
                // Another server's text may look like the beginning of a packet that never ends.
                None if self
                    .framer
                    .arrived
                    .first()
                    .is_some_and(|first| first >> 4 != CONNACK) =>
                {
                    return Err(NO_CONNACK.to_owned());
                }
                None => read(&mut self.reader, &mut self.framer)
                    .await
                    .map_err(|error| lost(&error))
                    .map(drop)?,
            }
        };
        if let Some(reason) = connack.refused {
            return Err(reason);
        }
        if let Some(seconds) = connack.keep_alive_seconds.filter(|seconds| *seconds > 0) {
            let half = Duration::from_millis(u64::from(seconds) * 500);
            self.ping_every = self.ping_every.min(half);
        }
        if let (
            Session::Kept {
                expiry_seconds: asked,
            },
            Some(granted),
        ) = (self.settings.session, connack.session_expiry_seconds)
            && granted < asked
        {
            warn!(
                connector = self.settings.name,
                granted, asked, "the broker keeps the session for fewer seconds than asked for"
            );
        }
        info!(
            connector = self.settings.name,
            session_present = connack.session_present,
            "connected to the broker"
        );
        self.intake.connected(connack.session_present);
        // With 3.1.1 every SUBSCRIBE brings the retained messages again.
        let known = connack.session_present && self.progress.subscribed;
        if known && self.settings.version == crate::packet::Version::V311 {
            self.is_up()?;
        } else {
            let Settings {
                version,
                topics,
                qos,
                ..
            } = self.settings;
            version
                .subscribe(SUBSCRIBE_ID, topics, *qos, &mut self.wire.out)
                .map_err(text)?;
            self.suback_at = Some(Instant::now() + ANSWER_TIME);
        }
        self.next_ping = Instant::now() + self.ping_every;
        Ok(())
    }

    /// Takes messages and acknowledges them until the connection ends or a stop is asked for and done.
    pub(crate) async fn serve(mut self, stop: &CancellationToken) -> End {
        let end = self.run(stop).await;
        self.intake.disconnected();
        match end {
            End::Drained | End::Closed => self.say_good_bye().await,
            End::Stopped | End::Lost(_) => {}
        }
        end
    }

    async fn run(&mut self, stop: &CancellationToken) -> End {
        let mut drained_at = None;
        loop {
            if drained_at.is_none() {
                if let Err(reason) = self.take_packets() {
                    return End::Lost(reason);
                }
            } else if !self.intake.is_busy() {
                return End::Drained;
            }
            let event = self.event(stop, drained_at).await;
            let is_ping = matches!(event, Event::PingDue);
            let ended = match event {
                Event::Stop => {
                    drained_at = Some(Instant::now() + DRAIN_TIME);
                    self.silent_at = None;
                    self.intake.forget_repeatable();
                    None
                }
                Event::Drained => {
                    warn!(
                        connector = self.settings.name,
                        "timed out waiting for the gateway's receipt after the stop, its messages stay unacknowledged"
                    );
                    Some(End::Drained)
                }
                Event::Delivered(Err(Closed)) => Some(End::Closed),
                other => self.step(other).err().map(End::Lost),
            };
            if let Some(end) = ended {
                return end;
            }
            // Births are rare, and a ping's interval is soon enough for their files.
            if is_ping {
                self.save_births().await;
            }
        }
    }

    async fn event(&mut self, stop: &CancellationToken, drained_at: Option<Instant>) -> Event {
        let stopping = drained_at.is_some();
        let reading = !stopping && self.intake.has_room();
        if reading && self.was_full {
            // While nothing was read, the broker's answers could not be seen.
            self.silent_at = self
                .silent_at
                .map(|_| Instant::now() + self.settings.silence_max());
        }
        self.was_full = !reading;
        let at = |instant: Option<Instant>| sleep_until(instant.unwrap_or_else(Instant::now));
        let read_at = self.pace.read_at();
        select! {
            () = stop.cancelled(), if !stopping => Event::Stop,
            delivered = self.intake.deliver() => Event::Delivered(delivered),
            sent = self.wire.send(), if self.wire.has_more() => Event::Sent(sent),
            arrived = read(&mut self.reader, &mut self.framer), if reading && read_at.is_none() => Event::Read(arrived),
            () = at(read_at), if read_at.is_some() => Event::ReadDue,
            () = sleep_until(self.next_ping) => Event::PingDue,
            () = at(self.silent_at), if reading && self.silent_at.is_some() => Event::Silent,
            () = at(self.suback_at), if reading && self.suback_at.is_some() => Event::NoSubAck,
            () = at(drained_at), if stopping => Event::Drained,
        }
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Delivered(Ok(answers)) => {
                self.pace.delivered(answers.len(), Instant::now());
                for answer in answers {
                    self.wire.out.extend_from_slice(&answer.packet());
                }
                self.publish_due()?;
                if self.intake.receipts.pubacks_since_ping() >= PUBACKS_UNPROVEN_MAX {
                    self.ping();
                }
            }
            Event::Sent(sent) => sent.map_err(|error| lost(&error))?,
            Event::Read(arrived) => {
                arrived.map_err(|error| lost(&error))?;
                self.silent_at = None;
                if self.intake.is_under_way() {
                    self.pace.has_read_ahead(Instant::now());
                }
            }
            Event::ReadDue => self.pace.is_due(),
            Event::PingDue => {
                self.ping();
                self.publish_due()?;
            }
            Event::Silent => {
                let millis = self.settings.silence_max().as_millis();
                return Err(format!(
                    "the broker answers no ping, it was silent for {millis} ms"
                ));
            }
            Event::NoSubAck => {
                return Err(format!(
                    "the broker did not answer SUBSCRIBE within {ANSWER_TIME:?}"
                ));
            }
            Event::Stop | Event::Drained | Event::Delivered(Err(Closed)) => {}
        }
        Ok(())
    }

    fn ping(&mut self) {
        self.wire.out.extend_from_slice(&PINGREQ);
        self.intake.receipts.ping_sent();
        let now = Instant::now();
        self.next_ping = now + self.ping_every;
        self.silent_at
            .get_or_insert(now + self.settings.silence_max());
    }

    /// Takes what has arrived, as far as there is room.
    fn take_packets(&mut self) -> Result<(), String> {
        while self.intake.has_room() {
            match self.next_packet()? {
                None => break,
                Some(Incoming::Publish(publish)) => self.intake.arrived(publish),
                Some(Incoming::PubRel(packet)) => {
                    self.intake.receipts.released(packet);
                    self.wire.out.extend_from_slice(&pubcomp(packet));
                }
                Some(Incoming::PubAck) => {}
                Some(Incoming::PingResp) => self.intake.ping_answered(),
                Some(Incoming::SubAck(suback)) => self.subscribed(&suback)?,
                Some(Incoming::Disconnect(reason)) => return Err(reason),
                Some(Incoming::ConnAck(_)) => {
                    return Err("the broker sent a second CONNACK".to_owned());
                }
            }
        }
        Ok(())
    }

    fn next_packet(&mut self) -> Result<Option<Incoming>, String> {
        let Some(frame) = self.framer.next().map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        self.settings
            .version
            .read(&frame)
            .map(Some)
            .map_err(|error| error.to_string())
    }

    fn subscribed(&mut self, suback: &SubAck) -> Result<(), String> {
        if self.suback_at.take().is_none() || suback.codes.len() != self.settings.topics.len() {
            return Err("the broker sent a SUBACK that fits no SUBSCRIBE".to_owned());
        }
        for (topic, code) in self.settings.topics.iter().zip(&suback.codes) {
            if *code >= 0x80 {
                let why = crate::reason::reason(*code);
                return Err(format!(
                    "the broker refused the subscription to {topic:?}: {why} (code {code})"
                ));
            }
            if *code < self.settings.qos {
                warn!(
                    connector = self.settings.name,
                    topic,
                    granted = code,
                    "the broker grants a lower QoS: what comes while the link is down is lost"
                );
            }
        }
        self.progress.subscribed = true;
        self.is_up()
    }

    fn is_up(&mut self) -> Result<(), String> {
        self.progress.up_since = Some(Instant::now());
        self.intake.link(None);
        match self.intake.host().and_then(sparkplug::Host::online) {
            Some(online) => self.publish(online),
            None => Ok(()),
        }
    }

    /// What a Sparkplug host has to say now.
    fn publish_due(&mut self) -> Result<(), String> {
        if self.progress.up_since.is_none() {
            return Ok(());
        }
        let now_millis = self.now_millis();
        let Some(host) = self.intake.host() else {
            return Ok(());
        };
        let due = host.take_outgoing(Instant::now(), now_millis);
        due.into_iter()
            .try_for_each(|message| self.publish(message))
    }

    fn publish(&mut self, message: Outgoing) -> Result<(), String> {
        let PacketId(last) = self.last_id;
        // 0 is no packet id, and 1 belongs to SUBSCRIBE.
        self.last_id = PacketId(last.checked_add(1).unwrap_or(2));
        let packet = match message.qos {
            0 => PacketId(0),
            _ => self.last_id,
        };
        let out = &mut self.wire.out;
        let written = self.settings.version.publish_to(message, packet, out);
        written.map_err(|error| error.to_string())
    }

    async fn save_births(&mut self) {
        let settings = self.settings;
        if let Some(host) = self.intake.host() {
            let files = host.take_changed();
            sparkplug::save(&settings.name, host.folder(), files).await;
        }
    }

    fn now_millis(&self) -> u64 {
        u64::try_from((self.clock)().micros() / 1_000).unwrap_or_default()
    }

    /// Sends the last PUBACKs, a host's STATE and DISCONNECT, and waits for the broker to close: closing first, with bytes unread,
    /// would reset the connection and could take the PUBACKs with it.
    async fn say_good_bye(&mut self) {
        let now_millis = self.now_millis();
        let offline = self.intake.host().and_then(|host| host.offline(now_millis));
        if let Some(offline) = offline
            && let Err(error) = self.publish(offline)
        {
            warn!(
                connector = self.settings.name,
                error, "publishing STATE failed"
            );
        }
        self.wire.out.extend_from_slice(&DISCONNECT);
        let farewell = async {
            self.wire.send().await?;
            self.wire.writer.shutdown().await?;
            let mut rest = [0; 4096];
            while self.reader.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        if let Ok(Err(error)) = timeout(FAREWELL_TIME, farewell).await {
            warn!(connector = self.settings.name, %error, "sending DISCONNECT to the broker failed");
        }
    }
}

async fn read(reader: &mut ReadHalf<Box<dyn Stream>>, framer: &mut Framer) -> io::Result<usize> {
    framer.arrived.reserve(READ_BYTES);
    match reader.read_buf(&mut framer.arrived).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        bytes => Ok(bytes),
    }
}

fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the broker closed the connection".to_owned(),
        _ => format!("the connection to the broker failed: {error}"),
    }
}
