//! Which links are up, and what the gateway has been told of them.
//!
//! The link to the server is the connector's own; a unit's is that of the devices behind it. A change is reported once. A
//! device with tags on several units has no link of its own: the tags of a unit that is down are reported one by one, as
//! bad samples at each attempt.

use forebay_connectors::{LinkChange, LinkEvent, LinkState, Outlet, RuleId, Sample};
use forebay_runtime::Backoff;
use forebay_schemas::Status;
use tokio::time::Instant;

use super::{End, settled};
use crate::{
    client::Data,
    config::{Settings, Tag},
    plan::Read,
};

/// The links of one connector.
pub(super) struct Links<'c> {
    settings: &'c Settings,
    outlet: Outlet,
    pub(super) backoff: Backoff,
    server: LinkState,
    server_reported: LinkReport,
    /// As `settings.units`.
    units: Vec<UnitLink>,
}

/// What was last reported to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkReport {
    Nothing,
    Up,
    Down,
}

#[derive(Debug, Clone)]
struct UnitLink {
    state: LinkState,
    reported: LinkReport,
    /// When a unit that is down is asked again.
    rests_until: Option<Instant>,
}

impl<'c> Links<'c> {
    pub(super) fn new(settings: &'c Settings, outlet: Outlet) -> Self {
        let unit = UnitLink {
            state: LinkState::Idle,
            reported: LinkReport::Nothing,
            rests_until: None,
        };
        Self {
            settings,
            outlet,
            backoff: Backoff::default(),
            server: LinkState::Idle,
            server_reported: LinkReport::Nothing,
            units: vec![unit; settings.units.len()],
        }
    }

    /// Counts polls that were due and not made.
    pub(super) fn note_skipped(&self, polls: u64) {
        self.outlet.note_skipped(polls);
    }

    /// An attempt to reach the server begins.
    pub(super) fn trying(&mut self) -> Result<(), End> {
        self.server = self.server.clone().next(LinkEvent::Try)?;
        Ok(())
    }

    /// Whether the link is up.
    pub(super) fn is_up(&self) -> bool {
        self.server == LinkState::Up
    }

    /// Whether the link was lost since it was up last, or never came up.
    pub(super) fn was_lost(&self) -> bool {
        self.server.failures() > 0
    }

    /// The server has answered.
    pub(super) async fn established(&mut self) -> Result<(), End> {
        self.server = self.server.clone().next(LinkEvent::Established)?;
        if self.server_reported != LinkReport::Up {
            self.outlet
                .link(LinkChange {
                    device: None,
                    down: None,
                })
                .await?;
            self.server_reported = LinkReport::Up;
        }
        Ok(())
    }

    /// The link to the server is lost, or could not be set up; answers how often in a row.
    pub(super) async fn lost(&mut self, reason: &str) -> Result<u32, End> {
        self.server = self
            .server
            .clone()
            .next(LinkEvent::Lost(reason.to_owned()))?;
        for unit in &mut self.units {
            // What is known of units is as old as the link; what was reported of them still stands.
            (unit.state, unit.rests_until) = (LinkState::Idle, None);
        }
        if self.server_reported != LinkReport::Down {
            self.outlet
                .link(LinkChange {
                    device: None,
                    down: Some(reason.to_owned()),
                })
                .await?;
            self.server_reported = LinkReport::Down;
        }
        Ok(self.server.failures())
    }

    /// Whether a unit that is down is not to be asked yet.
    pub(super) fn rests(&self, unit: usize, now: Instant) -> bool {
        self.units
            .get(unit)
            .and_then(|unit| unit.rests_until)
            .is_some_and(|until| now < until)
    }

    /// Whether a unit is known not to answer.
    pub(super) fn is_down(&self, unit: usize) -> bool {
        let link = self.units.get(unit);
        link.is_some_and(|unit| matches!(unit.state, LinkState::Down { .. }))
    }

    /// Whether a unit that is down is the one whose retry is due longest.
    pub(super) fn is_due_first(&self, unit: usize) -> bool {
        let due = |unit: &UnitLink| match unit.state {
            LinkState::Down { .. } => unit.rests_until,
            _ => None,
        };
        let first = self.units.iter().filter_map(due).min();
        self.units.get(unit).and_then(due) == first
    }

    /// A unit that is up, other than this one.
    pub(super) fn another_up(&self, unit: usize) -> Option<usize> {
        let mut others = self
            .units
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != unit);
        others
            .find(|(_, other)| other.state == LinkState::Up)
            .map(|(place, _)| place)
    }

    /// A unit has answered.
    pub(super) async fn unit_answers(&mut self, unit: usize) -> Result<(), End> {
        let (Some(link), Some(configured)) =
            (self.units.get_mut(unit), self.settings.units.get(unit))
        else {
            return Ok(());
        };
        if link.state == LinkState::Up {
            return Ok(());
        }
        link.state = settled(&link.state, LinkEvent::Established)?;
        link.rests_until = None;
        if link.reported == LinkReport::Down {
            let Settings { name, endpoint, .. } = self.settings;
            tracing::info!(connector = name, server = %endpoint, unit = %configured.id, "unit recovered");
            for device in &configured.devices {
                self.outlet
                    .link(LinkChange {
                        device: Some(device.clone()),
                        down: None,
                    })
                    .await?;
            }
            link.reported = LinkReport::Up;
        }
        Ok(())
    }

    /// A unit does not answer, although its server does. `uniform` is drawn from 0 to 1.
    pub(super) async fn unit_fails(
        &mut self,
        unit: usize,
        reason: &str,
        uniform: f64,
    ) -> Result<(), End> {
        let (Some(link), Some(configured)) =
            (self.units.get_mut(unit), self.settings.units.get(unit))
        else {
            return Ok(());
        };
        let was_down = matches!(link.state, LinkState::Down { .. });
        link.state = settled(&link.state, LinkEvent::Lost(reason.to_owned()))?;
        link.rests_until = Some(Instant::now() + self.backoff.wait(link.state.failures(), uniform));
        link.reported = LinkReport::Down;
        if !was_down {
            let Settings { name, endpoint, .. } = self.settings;
            tracing::warn!(connector = name, server = %endpoint, unit = %configured.id, reason, "unit is down, retrying");
            for device in &configured.devices {
                let down = Some(reason.to_owned());
                self.outlet
                    .link(LinkChange {
                        device: Some(device.clone()),
                        down,
                    })
                    .await?;
            }
        }
        let shared = configured
            .shared
            .iter()
            .filter_map(|place| Some((*place, self.settings.tags.get(*place)?)));
        let samples = shared
            .map(|(place, tag)| bad(place, tag, Status::bad(None, reason)))
            .collect();
        self.deliver(samples).await
    }

    /// Hands samples over, and waits until they are durable.
    pub(super) async fn deliver(&self, samples: Vec<Sample>) -> Result<(), End> {
        self.deliver_begun(samples, Instant::now()).await
    }

    /// The same for samples of a poll that `began` then.
    pub(super) async fn deliver_begun(
        &self,
        samples: Vec<Sample>,
        began: Instant,
    ) -> Result<(), End> {
        if !samples.is_empty() {
            self.outlet.deliver_begun(samples, began).await?;
        }
        Ok(())
    }

    /// Shows what a read gave to who looks, as it stands on the wire.
    pub(super) fn show_raw(&self, unit: usize, read: &Read, data: &Data, samples: &[Sample]) {
        let unit = self.settings.units.get(unit).map(|unit| unit.id);
        let from = || match unit {
            Some(unit) => format!("unit {unit}: {read}"),
            None => read.to_string(),
        };
        match data {
            Data::Words(words) => {
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
                self.outlet.show_raw(from, &bytes, samples);
            }
            Data::Bits(bits) => {
                let bytes: Vec<u8> = bits.iter().map(|bit| u8::from(*bit)).collect();
                self.outlet.show_raw(from, &bytes, samples);
            }
        }
    }
}

/// A sample without a value.
pub(super) fn bad(place: usize, tag: &Tag, status: Status) -> Sample {
    Sample {
        rule: RuleId(place),
        device: tag.device.clone(),
        tag: tag.name.clone(),
        event_time: None,
        value: None,
        unit: None,
        status,
        kind: forebay_connectors::SampleKind::Update,
    }
}
