//! The life of one connector: connects, polls on schedule, hands over, reports lost links, tries again.
//!
//! Everything happens in one future, one request at a time; only waits for the network and the clock are given up when
//! the connector is stopped, a delivery never.

mod carried;
mod cycle;
mod life;
mod links;
mod reads;

use std::{sync::Arc, time::Duration};

use forebay_connectors::{
    Closed, ConnectorError, IllegalMove, LinkEvent, LinkState, Outlet, Uniform,
};
use tokio::{
    select,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{carried::Carried, life::Signs, links::Links, reads::Reads};
use crate::{
    bus::{Bus, Seat},
    client::{Client, Data, Fault},
    config::Settings,
    exception::Exception,
    plan::Read,
    schedule::Schedule,
};

/// A link that is lost sooner, and before any poll was done, counts on as one that never came up: a server that answers the
/// first request only would else make the link flap without any back-off.
const BRIEF: Duration = Duration::from_secs(10);

/// Skipped polls are reported no more often.
const SKIPS_TOLD_EVERY: Duration = Duration::from_secs(60);

/// Why polling ends, for now or for good.
#[derive(Debug)]
enum End {
    /// The connector is stopped, or nobody takes its samples any more.
    Stopped,
    /// The link to the server is lost.
    Lost(String),
    /// An invariant is broken.
    Fatal(ConnectorError),
}

/// Why there is no reply from a unit.
#[derive(Debug)]
enum Trouble {
    /// It does not answer: the others may.
    Unit(String),
    /// It, and so perhaps the server, does not answer in time; the connection is dropped.
    Silent(String),
    /// As `End`.
    End(End),
}

impl Trouble {
    /// The same where it is known that others answer.
    fn of_the_unit(self) -> Self {
        match self {
            Self::Silent(reason) => Self::Unit(reason),
            other => other,
        }
    }
}

/// What is done when a slot of the schedule is due.
#[derive(Debug, Clone, Copy)]
enum Slot {
    /// Polls a group.
    Poll(usize),
    /// Asks a unit that is polled rarely for a sign of life.
    Probe(usize),
}

/// One run of a connector.
pub(crate) struct Poller<'c> {
    settings: &'c Settings,
    uniform: &'c Uniform,
    stop: CancellationToken,
    bus: Seat,
    links: Links<'c>,
    /// As `settings.groups`.
    reads: Vec<Reads>,
    carried: Carried,
    slots: Vec<Slot>,
    /// As `slots`.
    schedule: Schedule,
    /// As `settings.units`.
    signs: Vec<Signs>,
    /// The unit that is asked first after the next connecting.
    probe_next: usize,
    /// When the server last answered.
    heard: Option<Instant>,
    /// Whether a poll was done over the link as it is.
    is_useful: bool,
    /// Links in a row that were lost within `BRIEF` and of no use.
    brief: u32,
    skipped: u64,
    skips_told: Option<Instant>,
}

impl<'c> Poller<'c> {
    pub(crate) fn new(
        settings: &'c Settings,
        uniform: &'c Uniform,
        bus: Seat,
        outlet: Outlet,
        stop: CancellationToken,
    ) -> Self {
        let mut slots: Vec<(Slot, Duration)> = Vec::new();
        for (place, group) in settings.groups.iter().enumerate() {
            slots.push((Slot::Poll(place), group.every));
        }
        for (place, unit) in settings.units.iter().enumerate() {
            let polls = settings
                .groups
                .iter()
                .filter(|group| group.unit == unit.id)
                .map(|group| group.every);
            if polls.min().is_none_or(|every| every > settings.heartbeat) {
                slots.push((Slot::Probe(place), settings.heartbeat));
            }
        }
        let schedule = Schedule::new(slots.iter().map(|(_, every)| *every), Instant::now());
        Self {
            settings,
            uniform,
            stop,
            bus,
            links: Links::new(settings, outlet),
            reads: settings
                .groups
                .iter()
                .map(|group| Reads::new(&group.reads))
                .collect(),
            carried: Carried::default(),
            slots: slots.into_iter().map(|(slot, _)| slot).collect(),
            schedule,
            signs: settings
                .units
                .iter()
                .map(|unit| Signs::new(&unit.signs))
                .collect(),
            probe_next: 0,
            heard: None,
            is_useful: false,
            brief: 0,
            skipped: 0,
            skips_told: None,
        }
    }

    /// Runs until stopped.
    pub(crate) async fn run(mut self) -> Result<(), ConnectorError> {
        let settings = self.settings;
        let (connector, server) = (&settings.name, &settings.endpoint);
        let requests: usize = settings.groups.iter().map(|group| group.reads.len()).sum();
        tracing::info!(connector, %server, tags = settings.tags.len(), requests, "poll plan ready");
        loop {
            let began = Instant::now();
            match self.session().await {
                End::Stopped => break,
                End::Fatal(error) => return Err(error),
                End::Lost(reason) => {
                    let is_brief = began.elapsed() < BRIEF && !self.is_useful;
                    let flaps = is_brief && self.links.is_up();
                    self.hang_up().await;
                    let failures = match self.links.lost(&reason).await {
                        Ok(failures) => failures,
                        Err(End::Fatal(error)) => return Err(error),
                        Err(_) => break,
                    };
                    self.brief = if is_brief {
                        self.brief.saturating_add(1)
                    } else {
                        0
                    };
                    let failures = failures.max(self.brief);
                    if self.back_off(failures, flaps, &reason).await.is_none() {
                        break;
                    }
                }
            }
        }
        self.bus.leave(self.settings.timeout).await;
        Ok(())
    }

    /// Waits until the link is tried again; none where the connector is stopped first.
    ///
    /// All who share a link to which no connection can be made wait for the same moment, or until it is up for one of them. A unit that does not
    /// answer where others do has a back-off of its own; so has a link that came up and was of no use, as it does so for all.
    async fn back_off(&self, failures: u32, flaps: bool, reason: &str) -> Option<()> {
        let bus = &self.bus;
        let is_up_again = bus.is_up_again();
        let now = Instant::now();
        let wait = |failures| self.links.backoff.wait(failures, (self.uniform)());
        let flaps = flaps && bus.rests(now).is_none();
        let (failures, until) = if flaps || bus.is_shared_and_alive(now) {
            (failures, now + wait(failures))
        } else {
            bus.fail(failures, now, wait)
        };
        let Settings { name, endpoint, .. } = self.settings;
        let wait = until.duration_since(now);
        tracing::warn!(connector = name, server = %endpoint, failures, ?wait, reason, "link is down, retrying");
        let rested = async {
            if flaps {
                return sleep_until(until).await;
            }
            select! {
                () = sleep_until(until) => {}
                () = is_up_again => {}
            }
        };
        self.stop.run_until_cancelled(rested).await
    }

    /// From connecting to the end of the link.
    async fn session(&mut self) -> End {
        self.is_useful = false;
        let ended = async {
            let lost_at = self.heard;
            let probed = self.establish().await?;
            self.links.established().await?;
            if let Some(unit) = probed {
                self.links.unit_answers(unit).await?;
            }
            let Settings { name, endpoint, .. } = self.settings;
            tracing::info!(connector = name, server = %endpoint, "link is up");
            // After a while out of sight it may be another device, or mended.
            if lost_at.is_none_or(|at| at.elapsed() >= BRIEF) {
                self.reads.iter_mut().for_each(Reads::restart);
            }
            self.carried.restart();
            self.schedule.restart(Instant::now());
            loop {
                self.turn().await?;
            }
        };
        let ended: Result<std::convert::Infallible, End> = ended.await;
        match ended {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    /// Waits for the slot that is due next, and does it.
    async fn turn(&mut self) -> Result<(), End> {
        let Some((place, due)) = self.schedule.next() else {
            return Err(End::Stopped);
        };
        self.stop
            .run_until_cancelled(sleep_until(due))
            .await
            .ok_or(End::Stopped)?;
        let done = match self.slots.get(place) {
            Some(Slot::Poll(group)) => self.poll(*group).await,
            Some(Slot::Probe(unit)) => self.probe(*unit).await,
            None => Ok(()),
        };
        let now = Instant::now();
        let skipped = self.schedule.take(place, now);
        self.links.note_skipped(skipped);
        self.skipped = self.skipped.saturating_add(skipped);
        let quiet = self
            .skips_told
            .is_some_and(|told| now.duration_since(told) < SKIPS_TOLD_EVERY);
        if self.skipped > 0 && !quiet {
            tracing::warn!(
                connector = self.settings.name,
                server = %self.settings.endpoint,
                skipped = self.skipped,
                "polls were skipped: the device, the link or the gateway is slower than their period"
            );
            (self.skipped, self.skips_told) = (0, Some(now));
        }
        done
    }

    /// One request; its answer or exception. A connection that the server has closed since its last answer is replaced
    /// once: many devices close idle connections.
    async fn ask(&mut self, unit: usize, read: &Read) -> Result<Result<Data, Exception>, Trouble> {
        let settings = self.settings;
        let Some(configured) = settings.units.get(unit) else {
            return Err(Trouble::Unit("no such unit".into()));
        };
        let bus = Arc::clone(&self.bus);
        let Some(mut line) = self.stop.run_until_cancelled(bus.turn()).await else {
            return Err(Trouble::End(End::Stopped));
        };
        loop {
            let mut client = match line.take() {
                Some(client) => client,
                None => self.connect(&bus).await?,
            };
            self.rest().await?;
            let had_answered = client.has_answered;
            let answer = client
                .read(configured.id, read, settings.timeout, &self.stop)
                .await;
            let now = Instant::now();
            if answer
                .as_ref()
                .err()
                .is_none_or(|fault| client.outlives(fault))
            {
                *line = Some(client);
            }
            match answer {
                Ok(data) => {
                    self.note_heard(now);
                    return Ok(Ok(data));
                }
                Err(Fault::Exception(exception)) => {
                    self.note_heard(now);
                    return Ok(Err(exception));
                }
                Err(Fault::Closed(reason)) if had_answered => {
                    tracing::debug!(connector = settings.name, server = %bus.endpoint, reason, "reconnecting");
                }
                // Some devices hang up where others are silent.
                Err(
                    fault @ (Fault::Silent(..)
                    | Fault::Noise(..)
                    | Fault::Stray(..)
                    | Fault::Closed(_)),
                ) => {
                    return Err(Trouble::Silent(fault.to_string()));
                }
                Err(Fault::Stopped) => return Err(Trouble::End(End::Stopped)),
                Err(fault) => return Err(Trouble::End(End::Lost(fault.to_string()))),
            }
        }
    }

    /// A new connection, unless one that failed for another connector a moment ago is to be tried later.
    async fn connect(&self, bus: &Bus) -> Result<Client, Trouble> {
        if let Some(reason) = bus.rests(Instant::now()) {
            return Err(Trouble::End(End::Lost(reason)));
        }
        let limit = self.settings.timeout;
        match Client::connect(&bus.endpoint, limit, &self.stop).await {
            Ok(client) => {
                bus.note_connected();
                Ok(client)
            }
            Err(Fault::Stopped) => Err(Trouble::End(End::Stopped)),
            Err(fault) => {
                let reason = fault.to_string();
                bus.note_unreachable(&reason, Instant::now());
                Err(Trouble::End(End::Lost(reason)))
            }
        }
    }

    fn note_heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.bus.note_heard(now);
    }

    /// Ends the connection, so that the next request makes a new one; not where others use it with success.
    async fn hang_up(&mut self) {
        if self.bus.is_shared_and_alive(Instant::now()) {
            return;
        }
        let mut line = self.bus.turn().await;
        // Another may have connected while one waited for one's turn.
        if !self.bus.is_shared_and_alive(Instant::now()) {
            *line = None;
        }
    }

    async fn rest(&mut self) -> Result<(), Trouble> {
        let pause = self.settings.pause;
        if pause > Duration::ZERO && self.stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return Err(Trouble::End(End::Stopped));
        }
        Ok(())
    }
}

impl From<Closed> for End {
    fn from(_: Closed) -> Self {
        Self::Stopped
    }
}

impl From<IllegalMove> for End {
    fn from(illegal: IllegalMove) -> Self {
        let what = "the modbus connector lost track of a link; please report it".to_owned();
        Self::Fatal(ConnectorError {
            what,
            source: Some(Box::new(illegal)),
        })
    }
}

/// The state after an event, an attempt being counted in between where the link was not up.
fn settled(state: &LinkState, event: LinkEvent) -> Result<LinkState, IllegalMove> {
    match state {
        LinkState::Up | LinkState::Connecting { .. } => state.clone().next(event),
        LinkState::Idle | LinkState::Down { .. } => state.clone().next(LinkEvent::Try)?.next(event),
    }
}
