//! Protobuf messages to a tree, by a descriptor.
//!
//! Fields have the names of the `.proto`. A field without presence is there with its default, so a sensor that reads 0 is not silent; one
//! with presence, and each of a oneof, is there only if it was sent. Enumerations are the names of their values, byte strings stand
//! apart, a google.protobuf.Timestamp is a text of RFC 3339. Fields that the descriptor does not know are skipped.

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage, Value as Field,
};
use serde_json::{Map, Value as Json};

use crate::{Fault, Layout, binary::TreeBuilder, document::Document};

const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// The type of a connector's messages.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageType(MessageDescriptor);

impl From<&MessageType> for Layout {
    fn from(_: &MessageType) -> Self {
        Self::Tree
    }
}

impl MessageType {
    /// A message of a FileDescriptorSet, as `protoc --include_imports --descriptor_set_out` writes it; `name` is its full name, with the
    /// package.
    ///
    /// # Errors
    /// The bytes are no such set, or it has no such message.
    pub fn of(descriptor_set: &[u8], name: &str) -> Result<Self, Fault> {
        let pool = DescriptorPool::decode(descriptor_set).map_err(|error| {
            Fault(format!(
                "it is no descriptor set, as protoc --include_imports --descriptor_set_out writes it: {error}"
            ))
        })?;
        let found = pool.get_message_by_name(name.trim_start_matches('.'));
        found.map(Self).ok_or_else(|| {
            let known: Vec<_> = pool
                .all_messages()
                .filter(|message| !message.is_map_entry())
                .map(|message| message.full_name().to_owned())
                .take(20)
                .collect();
            Fault(format!(
                "there is no message {name:?} in it; it has {}",
                known.join(", ")
            ))
        })
    }

    pub(crate) fn parse<'p>(&self, payload: &[u8]) -> Result<Document<'p>, String> {
        let name = self.0.full_name().to_owned();
        let message = DynamicMessage::decode(self.0.clone(), payload)
            .map_err(|error| format!("the payload is no Protobuf message {name}: {error}"))?;
        let mut tree = TreeBuilder::default();
        let root = message_of(&message, &mut tree)?;
        Ok(tree.finish(root))
    }
}

fn message_of(message: &DynamicMessage, tree: &mut TreeBuilder) -> Result<Json, String> {
    let mut fields = Map::new();
    if message.descriptor().full_name() == TIMESTAMP
        && let Some(time) = time(message)
    {
        return Ok(time.into());
    }
    for descriptor in message.descriptor().fields() {
        if descriptor.supports_presence() && !message.has_field(&descriptor) {
            continue;
        }
        let field = message.get_field(&descriptor);
        let name = descriptor.name().to_owned();
        fields.insert(name, tree.within(|tree| value(&descriptor, &field, tree))?);
    }
    Ok(Json::Object(fields))
}

fn time(message: &DynamicMessage) -> Option<String> {
    let seconds = message.get_field_by_name("seconds")?.as_i64()?;
    let nanos = message.get_field_by_name("nanos")?.as_i32()?;
    let time = jiff::Timestamp::new(seconds, nanos).ok()?;
    Some(time.to_string())
}

fn value(
    descriptor: &FieldDescriptor,
    field: &Field,
    tree: &mut TreeBuilder,
) -> Result<Json, String> {
    Ok(match field {
        Field::Bool(truth) => (*truth).into(),
        Field::I32(number) => (*number).into(),
        Field::I64(number) => (*number).into(),
        Field::U32(number) => (*number).into(),
        Field::U64(number) => (*number).into(),
        Field::F32(number) => tree.float(f64::from(*number)),
        Field::F64(number) => tree.float(*number),
        Field::String(text) => tree.text(text),
        Field::Bytes(bytes) => tree.bytes(bytes.to_vec()),
        Field::EnumNumber(number) => match descriptor.kind() {
            Kind::Enum(names) => match names.get_value(*number) {
                Some(value) => value.name().into(),
                None => (*number).into(),
            },
            _ => (*number).into(),
        },
        Field::Message(message) => message_of(message, tree)?,
        Field::List(items) => {
            let mut list = Vec::new();
            for item in items {
                list.push(tree.within(|tree| value(descriptor, item, tree))?);
            }
            Json::Array(list)
        }
        Field::Map(entries) => {
            let mut fields = Map::new();
            let of_values = match descriptor.kind() {
                Kind::Message(entry) => Some(entry.map_entry_value_field()),
                _ => None,
            };
            let of_values = of_values.as_ref().unwrap_or(descriptor);
            for (key, entry) in entries {
                let name = key_name(key);
                fields.insert(name, tree.within(|tree| value(of_values, entry, tree))?);
            }
            Json::Object(fields)
        }
    })
}

fn key_name(key: &MapKey) -> String {
    match key {
        MapKey::Bool(truth) => truth.to_string(),
        MapKey::I32(number) => number.to_string(),
        MapKey::I64(number) => number.to_string(),
        MapKey::U32(number) => number.to_string(),
        MapKey::U64(number) => number.to_string(),
        MapKey::String(text) => text.clone(),
    }
}
