//! What the steps remember of one series.

use std::time::Duration;

use forebay_schemas::{Quality, Reading, Status, Timestamp, Value, ValueType};

use crate::rule::{Deadband, Rule};

/// A series that stays bad says so at least this often.
pub(crate) const BAD_REPEAT: Duration = Duration::from_secs(60);

/// The reading that was sent last.
#[derive(Debug, Clone)]
struct Sent {
    at: Timestamp,
    value: Option<f64>,
    value_type: Option<ValueType>,
    text: Option<Value>,
    status: Status,
}

/// One series' state.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeriesState {
    sent: Option<Sent>,
}

impl SeriesState {
    /// Whether a reading is to be sent; if so it is the last one sent from now on.
    pub(crate) fn is_news(&mut self, reading: &Reading, rule: &Rule) -> bool {
        let news = self.sent.as_ref().is_none_or(|sent| sent.differs(reading, rule));
        if news {
            self.sent = Some(Sent::of(reading));
        }
        news
    }

    /// Whether nothing was sent yet, or that there is no value to be had.
    pub(crate) fn is_bad(&self) -> bool {
        self.sent.as_ref().is_none_or(|sent| sent.status.quality == Quality::Bad && sent.value_type.is_none())
    }

    /// Whether a bad reading has to be repeated.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.sent.as_ref().is_none_or(|sent| elapsed(sent.at, now) >= BAD_REPEAT)
    }
}

impl Sent {
    fn of(reading: &Reading) -> Self {
        let value = reading.value.as_ref();
        let number = value.and_then(Value::as_f64);
        Self {
            at: reading.observed_time,
            value: number,
            value_type: value.map(Value::value_type),
            text: value.filter(|_| number.is_none()).cloned(),
            status: reading.status.clone(),
        }
    }

    fn differs(&self, reading: &Reading, rule: &Rule) -> bool {
        let silence = elapsed(self.at, reading.observed_time);
        if reading.status.quality == Quality::Bad && reading.value.is_none() {
            return self.status != reading.status || silence >= BAD_REPEAT;
        }
        let Some(deadband) = rule.deadband else { return true };
        if self.status != reading.status || silence >= rule.max_silence {
            return true;
        }
        let value = reading.value.as_ref();
        if self.value_type != value.map(Value::value_type) {
            return true;
        }
        match (self.value, value.and_then(Value::as_f64)) {
            (Some(before), Some(after)) => moved(before, after, deadband),
            _ => self.text.as_ref() != value,
        }
    }
}

/// A value that is no number is always news: it can be in no band.
fn moved(before: f64, after: f64, deadband: Deadband) -> bool {
    let width = match deadband {
        Deadband::Absolute(width) => width,
        Deadband::Percent(share) => before.abs() * share / 100.0,
    };
    let distance = (after - before).abs();
    !(distance <= width || before == after)
}

/// The time between; for ever where the clock was set back, so that nothing stays silent until it has caught up.
pub(crate) fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    u64::try_from(to.nanos().saturating_sub(from.nanos())).map_or(Duration::MAX, Duration::from_nanos)
}
