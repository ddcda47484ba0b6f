//! Report by exception: what of a series is worth sending, given what was sent last.

use std::time::Duration;

use forebay_schemas::{Quality, Reading, Status, Timestamp};

use crate::{
    deadband::Deadband,
    series::{Content, KeptStatus, elapsed},
};

/// A series that stays bad says so at least this often.
pub(crate) const BAD_REPEAT: Duration = Duration::from_secs(60);

/// What a series remembers of the reading that was sent last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Option<Sent>);

/// How far a value must move, and how long it may be silent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Band {
    pub(crate) deadband: Deadband,
    pub(crate) max_silence: Duration,
}

/// What becomes of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    Passes,
    Unchanged,
}

#[derive(Debug, Clone)]
struct Sent {
    at: Timestamp,
    content: Content,
    status: KeptStatus,
}

impl Gate {
    /// Whether a reading passes; if so it is the last one sent from now on. Without a band all pass but what is bad as before.
    pub(crate) fn judge(&mut self, reading: &Reading, band: Option<Band>) -> Judgement {
        let sent = self.0.as_ref();
        if sent.is_some_and(|sent| !sent.differs(reading, band)) {
            return Judgement::Unchanged;
        }
        self.open(reading);
        Judgement::Passes
    }

    /// A reading is sent.
    pub(crate) fn open(&mut self, reading: &Reading) {
        self.0 = Some(Sent {
            at: reading.observed_time,
            content: Content::of(reading.value.as_ref()),
            status: KeptStatus::of(&reading.status),
        });
    }

    /// When a reading was sent last.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.0.as_ref().map(|sent| sent.at)
    }

    /// Whether it was sent lately that there is no value, with this status, so that it is not worth saying again at this time.
    pub(crate) fn is_bad_as(&self, status: &Status, at: Timestamp) -> bool {
        self.0
            .as_ref()
            .is_some_and(|sent| sent.is_bad_as(status, at))
    }

    /// Whether nothing was sent yet.
    pub(crate) fn is_new(&self) -> bool {
        self.0.is_none()
    }
}

impl Sent {
    fn is_bad_as(&self, status: &Status, at: Timestamp) -> bool {
        self.status.get() == status && elapsed(self.at, at) < BAD_REPEAT
    }

    fn differs(&self, reading: &Reading, band: Option<Band>) -> bool {
        if reading.status.quality == Quality::Bad && reading.value.is_none() {
            return !self.is_bad_as(&reading.status, reading.observed_time);
        }
        let Some(Band {
            deadband,
            max_silence,
        }) = band
        else {
            return true;
        };
        let silence = elapsed(self.at, reading.observed_time);
        if *self.status.get() != reading.status || silence >= max_silence {
            return true;
        }
        let content = Content::of(reading.value.as_ref());
        if self.content.value_type() != content.value_type() {
            return true;
        }
        match (self.content.as_f64(), content.as_f64()) {
            (Some(before), Some(after)) => moved(before, after, deadband),
            _ => self.content != content,
        }
    }
}

/// A value that is no finite number is always news: it can be in no band, and have none.
fn moved(before: f64, after: f64, deadband: Deadband) -> bool {
    let width = match deadband {
        Deadband::Absolute(width) => width,
        Deadband::Percent(share) => before.abs() * share / 100.0,
    };
    let distance = (after - before).abs();
    !before.is_finite() || !(distance <= width || before == after)
}
