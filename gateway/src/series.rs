//! What the steps remember of one series: what was sent last, and what the device said last.
//!
//! A long text is remembered by its length and digest, so that what a series keeps does not grow with what it says. What the
//! device said last, and whether the series is bad, outlives the process ([`Kept`]).

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
    Number(Value),
    Short(ValueType, Box<[u8]>),
    Long(ValueType, usize, Digest),
}

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
        status: Status,
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
                status: reading.status.clone(),
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

    /// When a reading was sent last, and how far it is to be trusted; none where none was sent since the start.
    pub(crate) fn last_sent(&self) -> Option<(Timestamp, &Status)> {
        self.gate.last()
    }
}

impl Words {
    fn digest(&self) -> Digest {
        match self {
            Self::Heard { content, status } => digest(content, status),
            Self::Kept(digest) => *digest,
        }
    }
}

impl Content {
    pub(crate) fn of(value: Option<&Value>) -> Self {
        let Some(value) = value else {
            return Self::Nothing;
        };
        let bytes = match value {
            Value::Text(text) => text.as_bytes(),
            Value::Bytes(bytes) => bytes,
            number => return Self::Number(number.clone()),
        };
        match bytes.len() {
            0..=SHORT_BYTES_MAX => Self::Short(value.value_type(), bytes.into()),
            long => Self::Long(
                value.value_type(),
                long,
                first_half(&ring::digest::digest(&SHA256, bytes)),
            ),
        }
    }

    pub(crate) fn value_type(&self) -> Option<ValueType> {
        match self {
            Self::Nothing => None,
            Self::Number(value) => Some(value.value_type()),
            Self::Short(of, _) | Self::Long(of, ..) => Some(*of),
        }
    }

    pub(crate) fn as_f64(&self) -> Option<f64> {
        if let Self::Number(value) = self {
            value.as_f64()
        } else {
            None
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
        Content::Number(Value::F64(number)) => part(&number.to_bits().to_le_bytes()),
        Content::Number(Value::I64(number)) => part(&number.to_le_bytes()),
        Content::Number(Value::U64(number)) => part(&number.to_le_bytes()),
        Content::Number(other) => part(&other.as_f64().unwrap_or_default().to_bits().to_le_bytes()),
        Content::Short(_, bytes) => part(bytes),
        Content::Long(_, length, of) => part(&[&(*length as u64).to_le_bytes()[..], of].concat()),
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
            matches!(one, Content::Long(ValueType::Text, 65_537, _)),
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
