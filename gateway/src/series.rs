//! What the steps remember of one series: what was sent last, and what the device said last.
//!
//! A long text is remembered by its length and digest, so that what a series keeps does not grow with what it says, and a good
//! status by nothing at all: a gateway may have 100,000 series. What the device said last, and whether the series is bad, outlives
//! the process ([`Kept`]).

use std::time::Duration;

use forebay_connectors::SampleKind;
use forebay_schemas::{Quality, Reading, Status, Timestamp, Value, ValueType};
use ring::digest::{Context, SHA256};

use crate::gate::{Gate, Judgement};

/// Longer texts and bytes are remembered by their digest.
const SHORT_BYTES_MAX: usize = 32;

/// The first 16 bytes of a SHA-256.
pub(crate) type Digest = [u8; 16];

/// A value, as far as it has to be told from another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    Nothing,
    F64(f64),
    I64(i64),
    U64(u64),
    Bool(bool),
    Short(ValueType, Box<[u8]>),
    Long(ValueType, Box<LongContent>),
}

/// A text or bytes of this length and digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LongContent {
    bytes: usize,
    digest: Digest,
}

/// A status; nothing where it is the plain good one, as nearly all are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeptStatus(Option<Box<Status>>);

static GOOD: Status = Status::GOOD;

/// What the device said last, whether it was sent or lay within the dead-band.
#[derive(Debug, Clone)]
struct Said {
    /// Its own time; none where the device gave none.
    time: Option<Timestamp>,
    what: Words,
}

#[derive(Debug, Clone)]
enum Words {
    Heard {
        content: Content,
        status: KeptStatus,
    },
    /// By an earlier process.
    Kept(Digest),
}

/// What outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The device's own time of what it said last, and the digest of that; none where it has said nothing.
    pub(crate) said: Option<(Option<Timestamp>, Digest)>,
    /// Event time of the reading by which the series is bad and without a value; none where it is not.
    pub(crate) bad: Option<Timestamp>,
}

/// One series' state.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeriesState {
    gate: Gate,
    said: Option<Said>,
    bad: Option<Timestamp>,
}

impl SeriesState {
    /// The state in which an earlier process left the series.
    pub(crate) fn restored(kept: Kept) -> Self {
        let said = kept.said.map(|(time, digest)| Said {
            time,
            what: Words::Kept(digest),
        });
        Self {
            gate: Gate::default(),
            said,
            bad: kept.bad,
        }
    }

    /// What is to outlive the process.
    pub(crate) fn kept(&self) -> Kept {
        let said = self
            .said
            .as_ref()
            .map(|said| (said.time, said.what.digest()));
        Kept {
            said,
            bad: self.bad,
        }
    }

    /// Whether a reading goes on: it does unless it is bad as the last one was. If so it is the last one from now on.
    pub(crate) fn is_news(&mut self, reading: &Reading) -> bool {
        let is_news = self.gate.judge(reading, None) == Judgement::Passes;
        if is_news {
            self.note_bad(reading);
        }
        is_news
    }

    /// Whether it was sent lately that there is no value, with this status.
    pub(crate) fn is_bad_as(&self, status: &Status, at: Timestamp) -> bool {
        self.gate.is_bad_as(status, at)
    }

    /// A reading goes on, whatever it says.
    pub(crate) fn send(&mut self, reading: &Reading) {
        self.gate.open(reading);
        self.note_bad(reading);
    }

    fn note_bad(&mut self, reading: &Reading) {
        let is_bad = reading.status.quality == Quality::Bad && reading.value.is_none();
        self.bad = is_bad.then_some(reading.event_time);
    }

    /// The device says what the reading says, under this time of its own.
    pub(crate) fn hear(&mut self, time: Option<Timestamp>, reading: &Reading) {
        let content = Content::of(reading.value.as_ref());
        self.said = Some(Said {
            time,
            what: Words::Heard {
                content,
                status: KeptStatus::of(&reading.status),
            },
        });
    }

    /// Whether the device said just that last, under this time of its own.
    pub(crate) fn has_said(&self, time: Option<Timestamp>, reading: &Reading) -> bool {
        let Some(said) = self.said.as_ref().filter(|said| said.time == time) else {
            return false;
        };
        said.what.digest() == digest(&Content::of(reading.value.as_ref()), &reading.status)
    }

    /// Whether the device has said nothing since the start, but to an earlier process.
    pub(crate) fn is_recalled(&self) -> bool {
        self.said
            .as_ref()
            .is_some_and(|said| matches!(said.what, Words::Kept(_)))
    }

    /// Whether what the device says has a time of its own.
    pub(crate) fn is_timed(&self) -> bool {
        self.said.as_ref().is_some_and(|said| said.time.is_some())
    }

    /// Whether nothing was sent or said yet, or that there is no value to be had.
    pub(crate) fn is_bad(&self) -> bool {
        self.bad.is_some() || (self.gate.is_new() && self.said.is_none())
    }

    /// Whether the device is not known to have said any value.
    pub(crate) fn has_no_value(&self) -> bool {
        self.said.as_ref().is_none_or(|said| {
            let Words::Heard { content, .. } = &said.what else {
                return false;
            };
            *content == Content::Nothing
        })
    }

    /// Whether a value that holds now is older than the row that made the series bad: that row would stay its last by event time,
    /// for ever where the value does not change (D11).
    pub(crate) fn holds_again(&self, reading: &Reading, kind: SampleKind) -> bool {
        let is_value = reading.value.is_some() && reading.status.quality != Quality::Bad;
        let is_older = self.bad.is_some_and(|bad| reading.event_time <= bad);
        kind == SampleKind::Snapshot && is_value && is_older
    }

    /// When a reading was sent last; none where none was sent since the start.
    pub(crate) fn last_sent(&self) -> Option<Timestamp> {
        self.gate.last()
    }
}

impl Words {
    fn digest(&self) -> Digest {
        match self {
            Self::Heard { content, status } => digest(content, status.get()),
            Self::Kept(digest) => *digest,
        }
    }
}

impl KeptStatus {
    pub(crate) fn of(status: &Status) -> Self {
        Self((*status != GOOD).then(|| Box::new(status.clone())))
    }

    pub(crate) fn get(&self) -> &Status {
        self.0.as_deref().unwrap_or(&GOOD)
    }
}

impl Content {
    pub(crate) fn of(value: Option<&Value>) -> Self {
        let Some(value) = value else {
            return Self::Nothing;
        };
        let bytes = match value {
            Value::F64(number) => return Self::F64(*number),
            Value::I64(number) => return Self::I64(*number),
            Value::U64(number) => return Self::U64(*number),
            Value::Bool(truth) => return Self::Bool(*truth),
            Value::Text(text) => text.as_bytes(),
            Value::Bytes(bytes) => bytes,
        };
        let of = value.value_type();
        if bytes.len() <= SHORT_BYTES_MAX {
            return Self::Short(of, bytes.into());
        }
        let long = LongContent {
            bytes: bytes.len(),
            digest: first_half(&ring::digest::digest(&SHA256, bytes)),
        };
        Self::Long(of, Box::new(long))
    }

    pub(crate) fn value_type(&self) -> Option<ValueType> {
        match self {
            Self::Nothing => None,
            Self::F64(_) => Some(ValueType::F64),
            Self::I64(_) => Some(ValueType::I64),
            Self::U64(_) => Some(ValueType::U64),
            Self::Bool(_) => Some(ValueType::Bool),
            Self::Short(of, _) | Self::Long(of, _) => Some(*of),
        }
    }

    /// As [`Value::as_f64`].
    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::F64(number) => Value::F64(*number).as_f64(),
            Self::I64(number) => Value::I64(*number).as_f64(),
            Self::U64(number) => Value::U64(*number).as_f64(),
            Self::Bool(truth) => Value::Bool(*truth).as_f64(),
            Self::Nothing | Self::Short(..) | Self::Long(..) => None,
        }
    }
}

/// Stable between releases: it is kept. Type's name, value, quality, code and reason, each behind its length.
fn digest(content: &Content, status: &Status) -> Digest {
    let mut digest = Context::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        digest.update(&(bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    part(
        content
            .value_type()
            .map_or("none", ValueType::name)
            .as_bytes(),
    );
    match content {
        Content::Nothing => part(b""),
        Content::F64(number) => part(&number.to_bits().to_le_bytes()),
        Content::I64(number) => part(&number.to_le_bytes()),
        Content::U64(number) => part(&number.to_le_bytes()),
        Content::Bool(_) => part(&content.as_f64().unwrap_or_default().to_bits().to_le_bytes()),
        Content::Short(_, bytes) => part(bytes),
        Content::Long(_, long) => {
            part(&[&(long.bytes as u64).to_le_bytes()[..], &long.digest].concat());
        }
    }
    part(&[status.quality.code()]);
    part(&status.code.map(i64::to_le_bytes).unwrap_or_default());
    part(status.reason.as_deref().unwrap_or_default().as_bytes());
    first_half(&digest.finish())
}

fn first_half(whole: &ring::digest::Digest) -> Digest {
    let mut half = Digest::default();
    half.copy_from_slice(&whole.as_ref()[..16]);
    half
}

/// The time between; for ever where the clock was set back, so that nothing stays silent until it has caught up.
pub(crate) fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    u64::try_from(to.nanos().saturating_sub(from.nanos()))
        .map_or(Duration::MAX, Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_does_not_grow_with_what_is_said() {
        let long = |last: char| Value::Text(format!("{}{last}", "x".repeat(64 * 1024)));
        let (one, other) = (Content::of(Some(&long('1'))), Content::of(Some(&long('2'))));
        assert!(
            matches!(&one, Content::Long(ValueType::Text, long) if long.bytes == 65_537),
            "{one:?}"
        );
        assert_eq!(
            (one.clone(), one == other),
            (Content::of(Some(&long('1'))), false)
        );
        assert_ne!(
            Content::of(Some(&Value::Text("a".into()))),
            Content::of(Some(&Value::Bytes(b"a".to_vec())))
        );
    }
}
