//! The connector: makes what is due, hands it over, waits for what is due next.

use std::{convert::Infallible, time::Duration};

use async_trait::async_trait;
use forebay_connectors::{
    Closed, Connector, ConnectorError, Declared, LinkChange, Outlet, RuleId, Sample, SampleKind,
    Uniform,
};
use forebay_runtime::Backoff;
use forebay_schemas::{Clock, DeviceId, Status, TagName, Timestamp};
use tokio::{
    select,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    fault::{FaultRule, Faulty},
    pass::{DueRow, Player, Replay},
    random::Random,
    replay::Cell,
    signal::{Run, Signal},
};

/// Samples that one delivery holds, but for those of its last row.
const DELIVERY_SAMPLES_MAX: usize = 10_000;

/// One configured simulation.
pub(super) struct Simulated {
    pub(super) name: String,
    pub(super) tags: Vec<Tag>,
    /// The file of tags that are columns; its columns are in the order of their tags.
    pub(super) replay: Option<Replay>,
    /// Above zero.
    pub(super) every: Duration,
    pub(super) seed: u64,
    pub(super) clock: Clock,
    pub(super) uniform: Uniform,
}

/// One `[[connector.tag]]`.
#[derive(Debug, Clone)]
pub(super) struct Tag {
    pub(super) rule: RuleId,
    pub(super) device: DeviceId,
    pub(super) name: TagName,
    /// None for a column of the file.
    pub(super) signal: Option<Signal>,
    pub(super) faults: Option<FaultRule>,
}

/// A tag under way.
struct Series<'c> {
    tag: &'c Tag,
    faulty: Option<Faulty>,
}

/// Everything under way. Times are counted from the start.
struct Playing<'c> {
    of: &'c Simulated,
    start: Instant,
    signals: Vec<(Series<'c>, Run)>,
    /// The next value of all signals.
    tick: u64,
    columns: Vec<Series<'c>>,
    player: Option<Player<'c>>,
    is_up: bool,
    failures: u32,
}

/// Why a simulation ends.
enum End {
    Stopped,
    Closed,
}

impl From<Closed> for End {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

#[async_trait]
impl Connector for Simulated {
    fn declared(&self) -> Vec<Declared> {
        let declared = self.tags.iter().map(|tag| Declared {
            rule: tag.rule,
            device: tag.device.clone(),
            tag: tag.name.clone(),
        });
        declared.collect()
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        let mut playing = Playing::new(self);
        let Err(end) = playing.play(&outlet, &stop).await;
        if matches!(end, End::Stopped) {
            // The outlet may close meanwhile: that is an end as well.
            playing.release(&outlet).await.unwrap_or(());
        }
        Ok(())
    }
}

impl<'c> Playing<'c> {
    fn new(of: &'c Simulated) -> Self {
        let mut signals = Vec::new();
        let mut columns = Vec::new();
        for tag in &of.tags {
            // A stream each for values and faults, so that a fault changes no value.
            let random = |part: usize| Random::new(of.seed, tag.rule.0 * 2 + part);
            let faulty = tag.faults.clone().map(|rule| Faulty::new(rule, random(1)));
            let series = Series { tag, faulty };
            match &tag.signal {
                Some(signal) => signals.push((series, Run::new(signal.clone(), random(0)))),
                None => columns.push(series),
            }
        }
        Self {
            of,
            start: Instant::now(),
            signals,
            tick: 0,
            columns,
            player: of.replay.as_ref().map(Player::new),
            is_up: false,
            failures: 0,
        }
    }

    async fn play(&mut self, outlet: &Outlet, stop: &CancellationToken) -> Result<Infallible, End> {
        loop {
            self.ready(outlet, stop).await?;
            let tick = (!self.signals.is_empty()).then(|| self.tick_at(self.tick));
            let row = self.player.as_ref().and_then(Player::due);
            let due = tick.into_iter().chain(row).min();
            until(due.and_then(|due| self.start.checked_add(due)), stop).await?;
            let passed = self.start.elapsed();
            let mut samples = Vec::new();
            if tick.is_some_and(|tick| tick <= passed) {
                self.make(passed, outlet, &mut samples);
            }
            self.replay(passed, &mut samples);
            if !samples.is_empty() {
                outlet.deliver(samples).await?;
            }
        }
    }

    /// Comes back once the file's next row is ready, if there is a file and a row, and the link is reported.
    async fn ready(&mut self, outlet: &Outlet, stop: &CancellationToken) -> Result<(), End> {
        while let Some(player) = &mut self.player {
            let Err(reason) = player.fill().await else {
                break;
            };
            self.is_up = false;
            self.failures = self.failures.saturating_add(1);
            let failures = self.failures;
            let connector = &self.of.name;
            warn!(%connector, failures, reason, "replay failed, retrying");
            outlet.link(change(Some(reason))).await?;
            let wait = Backoff::default().wait(failures, (self.of.uniform)());
            select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => return Err(End::Stopped),
            }
            player.begin(self.start.elapsed());
        }
        if !self.is_up {
            outlet.link(change(None)).await?;
            self.is_up = true;
            self.failures = 0;
        }
        Ok(())
    }

    fn tick_at(&self, tick: u64) -> Duration {
        Duration::from_nanos(self.every_nanos().saturating_mul(tick))
    }

    fn every_nanos(&self) -> u64 {
        u64::try_from(self.of.every.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The signals' values of now; those that should have come since the last ones are skipped.
    fn make(&mut self, passed: Duration, outlet: &Outlet, samples: &mut Vec<Sample>) {
        let passed = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        let last = (passed / self.every_nanos().max(1)).max(self.tick);
        outlet.note_skipped(last - self.tick);
        let at = self.tick_at(last);
        let now = (self.of.clock)();
        for (series, run) in &mut self.signals {
            let value = run.next(at);
            series.say(at, Some(now), Ok(value), samples);
        }
        self.tick = last.saturating_add(1);
    }

    /// The rows that are due.
    fn replay(&mut self, passed: Duration, samples: &mut Vec<Sample>) {
        let Some(player) = &mut self.player else {
            return;
        };
        let now = (self.of.clock)();
        while samples.len() < DELIVERY_SAMPLES_MAX
            && let Some(DueRow {
                row,
                due,
                event_time,
            }) = player.take(passed, now)
        {
            for (series, cell) in self.columns.iter_mut().zip(row.cells) {
                let cell = match &row.at {
                    Ok(_) => cell,
                    Err(reason) => Err(Status::bad(None, reason.clone())),
                };
                series.say(due, event_time, cell, samples);
            }
        }
    }

    /// Hands over what late faults hold back.
    async fn release(&mut self, outlet: &Outlet) -> Result<(), Closed> {
        let mut samples = Vec::new();
        let signals = self.signals.iter_mut().map(|(series, _)| series);
        for series in signals.chain(&mut self.columns) {
            if let Some(faulty) = &mut series.faulty {
                faulty.release(&mut samples);
            }
        }
        if samples.is_empty() {
            return Ok(());
        }
        outlet.deliver(samples).await
    }
}

impl Series<'_> {
    fn say(
        &mut self,
        at: Duration,
        event_time: Option<Timestamp>,
        cell: Cell,
        samples: &mut Vec<Sample>,
    ) {
        let (value, status) = match cell {
            Ok(value) => (Some(value), Status::GOOD),
            Err(status) => (None, status),
        };
        let sample = Sample {
            rule: self.tag.rule,
            device: self.tag.device.clone(),
            tag: self.tag.name.clone(),
            event_time,
            value,
            unit: None,
            status,
            kind: SampleKind::Update,
        };
        match &mut self.faulty {
            Some(faulty) => faulty.pass(at, sample, samples),
            None => samples.push(sample),
        }
    }
}

/// The connector has one link, to its file.
fn change(down: Option<String>) -> LinkChange {
    LinkChange { device: None, down }
}

/// Waits until something is due; for a stop alone where nothing ever is.
async fn until(due: Option<Instant>, stop: &CancellationToken) -> Result<(), End> {
    let sleeping = async {
        match due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    };
    // A stop goes before what is due, which there may always be.
    select! {
        biased;
        () = stop.cancelled() => Err(End::Stopped),
        () = sleeping => Ok(()),
    }
}
