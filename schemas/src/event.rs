//! What a device's own system of alarms and events says: on its way it is the value of a reading.
//!
//! So it has a seq, a receipt and a place in the ledger as every reading has (ADR 0042), and the table `events` is made of
//! what arrived. Invariants: what was encoded is decoded to the same, but for texts and ids that are cut to a length; a newer
//! version is told apart from damage (E13).

use prost::Message as _;

use crate::{
    TagName, Timestamp,
    wire::{DecodeError, WIRE_VERSION, check_version, proto},
};

/// The tag under which events travel; no device has it for its own.
pub const EVENTS_TAG: &str = "_events";

/// Bytes of a text that are kept.
const TEXT_BYTES_MAX: usize = 4096;
/// Bytes of a name or an id that are kept.
const ID_BYTES_MAX: usize = 1024;

/// What kind of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventForm {
    /// Something that happened and has no state.
    #[default]
    Event,
    /// A change of a condition.
    Condition,
    /// A change of a condition that is active or not.
    Alarm,
}

/// The states of a condition; `None` where the source does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventStates {
    /// Whether it is watched at all.
    pub enabled: Option<bool>,
    /// Whether the alarm holds now.
    pub active: Option<bool>,
    /// Whether somebody has seen it.
    pub acknowledged: Option<bool>,
    /// Whether somebody has confirmed what was done.
    pub confirmed: Option<bool>,
    /// Whether it is suppressed or shelved.
    pub suppressed: Option<bool>,
    /// Whether the source still tells of it when it is asked.
    pub retained: Option<bool>,
}

/// One event, or one change of a condition. A text is empty where the source gave none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceEvent {
    /// The connector that heard it.
    pub connector: String,
    /// What kind of event it is.
    pub form: EventForm,
    /// The source's own name of it; the same when it is told again.
    pub event_id: Vec<u8>,
    /// Its type, as the source names it.
    pub event_type: String,
    /// Where it comes from, as a node.
    pub source_node: String,
    /// Where it comes from, for people.
    pub source_name: String,
    /// The condition, as a node.
    pub condition_node: String,
    /// The condition, for people.
    pub condition_name: String,
    /// The branch of the condition: an earlier state that still waits for somebody.
    pub branch: String,
    /// When it happened, by the source's clock.
    pub time: Option<Timestamp>,
    /// When the source's server heard of it.
    pub received: Option<Timestamp>,
    /// How urgent it is, 1 to 1000.
    pub severity: Option<u16>,
    /// For people.
    pub message: String,
    /// What a person noted of it.
    pub comment: String,
    /// Who noted it.
    pub user: String,
    /// The tag that it is about.
    pub tag: Option<TagName>,
    /// The condition's states.
    pub states: EventStates,
}

impl SourceEvent {
    /// Empties every text in which a source may name a device or a person: for a device that has a pseudonym.
    pub fn clear_names(&mut self) {
        for text in [
            &mut self.source_node,
            &mut self.source_name,
            &mut self.condition_node,
            &mut self.message,
            &mut self.comment,
            &mut self.user,
        ] {
            text.clear();
        }
    }

    /// The bytes that travel. Texts beyond 4,096 bytes are cut and end with `…`; ids and names are cut at 1,024 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let form = match self.form {
            EventForm::Event => proto::EventForm::Event,
            EventForm::Condition => proto::EventForm::Condition,
            EventForm::Alarm => proto::EventForm::Alarm,
        };
        let EventStates {
            enabled,
            active,
            acknowledged,
            confirmed,
            suppressed,
            retained,
        } = self.states;
        proto::SourceEvent {
            version: WIRE_VERSION,
            connector: name(&self.connector),
            form: form.into(),
            event_id: self.event_id.iter().take(ID_BYTES_MAX).copied().collect(),
            event_type: name(&self.event_type),
            source_node: name(&self.source_node),
            source_name: name(&self.source_name),
            condition_node: name(&self.condition_node),
            condition_name: name(&self.condition_name),
            branch: name(&self.branch),
            time: self.time.map(Timestamp::nanos),
            received: self.received.map(Timestamp::nanos),
            severity: self.severity.map(u32::from),
            message: text(&self.message),
            comment: text(&self.comment),
            user: name(&self.user),
            tag: self
                .tag
                .as_ref()
                .map_or_else(String::new, TagName::to_string),
            enabled,
            active,
            acknowledged,
            confirmed,
            suppressed,
            retained,
        }
        .encode_to_vec()
    }

    /// The event in these bytes.
    ///
    /// # Errors
    /// [`DecodeError::NewerVersion`] for an event of a later release (`Fatal`); anything else means that the bytes are no
    /// event (`Corrupt`).
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire = proto::SourceEvent::decode(bytes)?;
        check_version(wire.version)?;
        let form = match wire.form() {
            proto::EventForm::Alarm => EventForm::Alarm,
            proto::EventForm::Condition => EventForm::Condition,
            // A form of a later release happened all the same.
            proto::EventForm::Event | proto::EventForm::Unspecified => EventForm::Event,
        };
        let tag = Some(wire.tag).filter(|tag| !tag.is_empty());
        Ok(Self {
            connector: wire.connector,
            form,
            event_id: wire.event_id,
            event_type: wire.event_type,
            source_node: wire.source_node,
            source_name: wire.source_name,
            condition_node: wire.condition_node,
            condition_name: wire.condition_name,
            branch: wire.branch,
            time: wire.time.map(Timestamp::from_nanos),
            received: wire.received.map(Timestamp::from_nanos),
            severity: wire
                .severity
                .map(|severity| u16::try_from(severity).unwrap_or(u16::MAX)),
            message: wire.message,
            comment: wire.comment,
            user: wire.user,
            tag: tag.map(|tag| TagName::new(&tag)).transpose()?,
            states: EventStates {
                enabled: wire.enabled,
                active: wire.active,
                acknowledged: wire.acknowledged,
                confirmed: wire.confirmed,
                suppressed: wire.suppressed,
                retained: wire.retained,
            },
        })
    }

    /// Bytes that are the same whenever the source tells the same again, under whatever id and whenever its server heard it.
    pub fn content(&self) -> Vec<u8> {
        let bare = Self {
            event_id: Vec::new(),
            received: None,
            ..self.clone()
        };
        bare.encode()
    }

    /// What tells it from every other event of its device: its condition, branch and id; all that it says where it has no id,
    /// or one so long that it was cut.
    pub fn identity(&self) -> Vec<u8> {
        if self.event_id.is_empty() || self.event_id.len() >= ID_BYTES_MAX {
            return self.content();
        }
        let mut identity = Vec::new();
        let (condition, branch) = (name(&self.condition_node), name(&self.branch));
        for part in [condition.as_bytes(), branch.as_bytes(), &self.event_id] {
            identity.extend((part.len() as u64).to_le_bytes());
            identity.extend(part);
        }
        identity
    }
}

fn name(name: &str) -> String {
    name[..name.floor_char_boundary(ID_BYTES_MAX)].to_owned()
}

fn text(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(TEXT_BYTES_MAX - '…'.len_utf8());
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn alarm() -> SourceEvent {
        SourceEvent {
            connector: "press".into(),
            form: EventForm::Alarm,
            event_id: vec![0, 1, 0xfe, 0xff],
            event_type: "i=9341".into(),
            source_node: "ns=2;s=Press".into(),
            source_name: "Presse 3".into(),
            condition_node: "ns=2;s=Press.TooHot".into(),
            condition_name: "TooHot".into(),
            branch: String::new(),
            time: Some(Timestamp::from_nanos(1_795_000_000_123_456_700)),
            received: Some(Timestamp::from_nanos(1_795_000_000_223_456_700)),
            severity: Some(700),
            message: "über 90 °C".into(),
            comment: "seen".into(),
            user: "anna".into(),
            tag: Some(TagName::new("temperature").unwrap()),
            states: EventStates {
                enabled: Some(true),
                active: Some(true),
                acknowledged: Some(false),
                confirmed: None,
                suppressed: Some(false),
                retained: Some(true),
            },
        }
    }

    /// A change of these bytes is a change of a stored format: it takes an ADR.
    #[test]
    fn version_1_keeps_its_bytes() {
        let hex =
            |bytes: Vec<u8>| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        let golden = include_str!("../golden/source_event.v1.hex").trim();
        assert_eq!(hex(alarm().encode()), golden);
        let nothing = SourceEvent::default();
        for event in [alarm(), nothing] {
            assert_eq!(SourceEvent::decode(&event.encode()), Ok(event));
        }
    }

    #[test]
    fn what_is_no_event_is_told_from_what_a_later_release_sent() {
        let later = proto::SourceEvent {
            version: WIRE_VERSION + 1,
            ..proto::SourceEvent::default()
        };
        let check = |bytes: &[u8], kind: ErrorKind| {
            let found = SourceEvent::decode(bytes).unwrap_err();
            assert_eq!(found.kind(), kind, "{found}");
        };
        check(&later.encode_to_vec(), ErrorKind::Fatal);
        check(&[], ErrorKind::Corrupt);
        check(b"{\"message\":1}", ErrorKind::Corrupt);
        let mut cut = alarm().encode();
        cut.truncate(cut.len() - 1);
        check(&cut, ErrorKind::Corrupt);
    }

    #[test]
    fn whatever_a_server_says_an_event_stays_small() {
        let huge = "ü".repeat(1 << 20);
        let event = SourceEvent {
            event_id: vec![7; 1 << 20],
            message: huge.clone(),
            comment: huge.clone(),
            condition_name: huge.clone(),
            source_node: huge,
            ..alarm()
        };
        let bytes = event.encode();
        assert!(bytes.len() < 16 * 1024, "{}", bytes.len());
        let kept = SourceEvent::decode(&bytes).unwrap();
        assert!(kept.message.ends_with("ü…"), "{}", kept.message.len());
        // Two long ids that begin alike are two, if the events say different things.
        let other = SourceEvent {
            message: "another".into(),
            ..kept.clone()
        };
        assert_ne!(kept.identity(), other.identity());
    }

    #[test]
    fn an_event_that_is_told_again_has_the_same_identity_and_another_one_has_not() {
        let again = SourceEvent {
            received: None,
            message: "in another language".into(),
            ..alarm()
        };
        assert_eq!(again.identity(), alarm().identity());
        let others = [
            SourceEvent {
                event_id: vec![0, 1, 0xfe],
                ..alarm()
            },
            SourceEvent {
                branch: "ns=0;g=1".into(),
                ..alarm()
            },
            SourceEvent {
                condition_node: "ns=2;s=Press.TooLoud".into(),
                ..alarm()
            },
        ];
        for other in others {
            assert_ne!(other.identity(), alarm().identity(), "{other:?}");
        }
        let nameless = |message: &str, received: i64| {
            let event = SourceEvent {
                event_id: Vec::new(),
                message: message.into(),
                received: Some(Timestamp::from_nanos(received)),
                ..alarm()
            };
            event.identity()
        };
        assert_eq!(nameless("a", 1), nameless("a", 2));
        assert_ne!(nameless("a", 1), nameless("b", 1));
    }
}
