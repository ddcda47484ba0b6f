//! The fields of an event: those that are asked for (Part 4, 7.22.3), and what becomes of their values.

use forebay_schemas::{EventForm, EventStates, SourceEvent, Timestamp};
use opcua::types::{
    AttributeId, ContentFilter, ContentFilterBuilder, EventFilter, NodeId, NumericRange,
    ObjectTypeId, Operand, QualifiedName, SimpleAttributeOperand, Variant,
};

use crate::value;

/// How much of a filter a server is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilterForm {
    /// All fields, and only of the type that is wanted.
    Whole,
    /// All fields of all events.
    AllEvents,
    /// The fields that every event has, of all events.
    BaseFields,
}

impl FilterForm {
    /// In the order in which they are tried.
    pub(crate) const ALL: [Self; 3] = [Self::Whole, Self::AllEvents, Self::BaseFields];
}

/// What a server says by an event.
pub(super) enum Notice {
    /// Its conditions follow.
    RefreshBegins,
    /// Its conditions have been reported.
    RefreshEnds,
    /// It wants to be asked for its conditions.
    RefreshRequired,
    /// It has lost events.
    Overflow,
    /// The node that it comes from, and what happened.
    Event(Option<NodeId>, Box<SourceEvent>),
}

/// The type that has a field, and the names of its path; [`read`] takes them in this order.
const FIELDS: [(ObjectTypeId, &[&str]); 19] = [
    (ObjectTypeId::BaseEventType, &["EventId"]),
    (ObjectTypeId::BaseEventType, &["EventType"]),
    (ObjectTypeId::BaseEventType, &["SourceNode"]),
    (ObjectTypeId::BaseEventType, &["SourceName"]),
    (ObjectTypeId::BaseEventType, &["Time"]),
    (ObjectTypeId::BaseEventType, &["ReceiveTime"]),
    (ObjectTypeId::BaseEventType, &["Message"]),
    (ObjectTypeId::BaseEventType, &["Severity"]),
    // The node of the condition itself (Part 9, 5.5.2).
    (ObjectTypeId::ConditionType, &[]),
    (ObjectTypeId::ConditionType, &["ConditionName"]),
    (ObjectTypeId::ConditionType, &["BranchId"]),
    (ObjectTypeId::ConditionType, &["Retain"]),
    (ObjectTypeId::ConditionType, &["EnabledState", "Id"]),
    (ObjectTypeId::ConditionType, &["Comment"]),
    (ObjectTypeId::ConditionType, &["ClientUserId"]),
    (
        ObjectTypeId::AcknowledgeableConditionType,
        &["AckedState", "Id"],
    ),
    (
        ObjectTypeId::AcknowledgeableConditionType,
        &["ConfirmedState", "Id"],
    ),
    (ObjectTypeId::AlarmConditionType, &["ActiveState", "Id"]),
    (ObjectTypeId::AlarmConditionType, &["SuppressedOrShelved"]),
];

/// The first of them, which every event has.
const BASE_FIELDS: usize = 8;
/// Severities go up to here.
const SEVERITY_MAX: u16 = 1000;

/// What a server is to tell of a source; `event_type` is the type's node on this server. Severities are not its affair: a server may
/// tell the end of a severe alarm under a low one.
pub(crate) fn filter(event_type: Option<NodeId>, form: FilterForm) -> EventFilter {
    let fields = match form {
        FilterForm::Whole | FilterForm::AllEvents => FIELDS.len(),
        FilterForm::BaseFields => BASE_FIELDS,
    };
    let select = FIELDS.iter().take(fields);
    let where_clause = match form {
        FilterForm::Whole => of_type(event_type),
        FilterForm::AllEvents | FilterForm::BaseFields => ContentFilter::default(),
    };
    EventFilter {
        select_clauses: Some(select.map(|(of, path)| operand(*of, path)).collect()),
        where_clause,
    }
}

fn operand(of: ObjectTypeId, path: &[&str]) -> SimpleAttributeOperand {
    let attribute = if path.is_empty() {
        AttributeId::NodeId
    } else {
        AttributeId::Value
    };
    let names = path.iter().map(|name| QualifiedName::new(0, *name));
    SimpleAttributeOperand {
        type_definition_id: of.into(),
        browse_path: Some(names.collect()),
        attribute_id: attribute as u32,
        index_range: NumericRange::None,
    }
}

fn of_type(event_type: Option<NodeId>) -> ContentFilter {
    let builder = ContentFilterBuilder::new();
    event_type.map_or_else(ContentFilter::default, |of| {
        builder.of_type(Operand::literal(of)).build()
    })
}

/// What the fields of an event say; those that are missing say nothing.
pub(super) fn read(fields: Vec<Variant>) -> Notice {
    let mut fields = fields.into_iter();
    let mut next = || fields.next().unwrap_or(Variant::Empty);
    let event_id = bytes(next());
    let event_type = node(next());
    if let Some(notice) = event_type.as_ref().and_then(notice) {
        return notice;
    }
    let source_node = node(next());
    let mut event = SourceEvent {
        event_id,
        event_type: shown(event_type.as_ref()),
        source_node: shown(source_node.as_ref()),
        source_name: text(next()),
        time: time(next()),
        received: time(next()),
        message: text(next()),
        severity: severity(next()),
        condition_node: shown(node(next()).as_ref()),
        condition_name: text(next()),
        branch: shown(node(next()).as_ref()),
        ..SourceEvent::default()
    };
    let retained = truth(next());
    let enabled = truth(next());
    event.comment = text(next());
    event.user = text(next());
    let acknowledged = truth(next());
    let confirmed = truth(next());
    let active = truth(next());
    event.states = EventStates {
        enabled,
        active,
        acknowledged,
        confirmed,
        suppressed: truth(next()),
        retained,
    };
    let is_condition = !event.condition_node.is_empty() || retained.or(acknowledged).is_some();
    event.form = match active {
        Some(_) => EventForm::Alarm,
        None if is_condition => EventForm::Condition,
        None => EventForm::Event,
    };
    Notice::Event(source_node, Box::new(event))
}

/// What a server says of its events themselves (Part 9, 5.11; Part 4, 7.22.3).
fn notice(event_type: &NodeId) -> Option<Notice> {
    let is = |of: ObjectTypeId| {
        let of: NodeId = of.into();
        *event_type == of
    };
    if is(ObjectTypeId::RefreshStartEventType) {
        Some(Notice::RefreshBegins)
    } else if is(ObjectTypeId::RefreshEndEventType) {
        Some(Notice::RefreshEnds)
    } else if is(ObjectTypeId::RefreshRequiredEventType) {
        Some(Notice::RefreshRequired)
    } else if is(ObjectTypeId::EventQueueOverflowEventType) {
        Some(Notice::Overflow)
    } else {
        None
    }
}

fn bytes(value: Variant) -> Vec<u8> {
    match value {
        Variant::ByteString(bytes) => bytes.value.unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn node(value: Variant) -> Option<NodeId> {
    match value {
        Variant::NodeId(node) => Some(*node).filter(|node| !node.is_null()),
        Variant::ExpandedNodeId(node) => Some(node.node_id).filter(|node| !node.is_null()),
        _ => None,
    }
}

fn shown(node: Option<&NodeId>) -> String {
    node.map_or_else(String::new, NodeId::to_string)
}

fn text(value: Variant) -> String {
    let text = match value {
        Variant::String(text) => text,
        Variant::LocalizedText(text) => text.text,
        Variant::QualifiedName(name) => name.name,
        _ => return String::new(),
    };
    // As a value's: some servers fill up with NULs.
    let text: &str = text.as_ref();
    text.split('\0').next().unwrap_or_default().to_owned()
}

fn truth(value: Variant) -> Option<bool> {
    match value {
        Variant::Boolean(truth) => Some(truth),
        _ => None,
    }
}

fn time(value: Variant) -> Option<Timestamp> {
    match value {
        Variant::DateTime(time) if !time.is_null() => value::timestamp(&time),
        _ => None,
    }
}

fn severity(value: Variant) -> Option<u16> {
    let severity = match value {
        Variant::UInt16(severity) => severity,
        Variant::Byte(severity) => u16::from(severity),
        Variant::Int16(severity) => u16::try_from(severity).ok()?,
        Variant::Int32(severity) => u16::try_from(severity).ok()?,
        Variant::UInt32(severity) => u16::try_from(severity).ok()?,
        _ => return None,
    };
    Some(severity.min(SEVERITY_MAX))
}
