//! A value of any shape as a tree, and the tree as series or as one text.
//!
//! The rule for series, documented in docs/reference/connectors/opcua.md: a scalar is the tag; an element of an array is
//! `tag[0]`, of a matrix `tag[1,2]`; a field of a structure is `tag.field`; deeper ones follow each other, as in
//! `tag[0].axis.force[2]`. An enumeration's name is `tag.text` where it is asked for. Optional fields that a value does
//! not have, and the fields of a union that are not chosen, have no series in it. Pure.

use std::{fmt::Write, sync::Arc};

use forebay_connectors::finite;
use forebay_schemas::{Quality, Status, Value};
use opcua::types::{ByteString, StatusCode, UaNullable, Variant};

use crate::{settings::EnumerationForm, types::Types, value};

/// Larger values are refused: one notification must stay one bounded delivery.
pub(crate) const LEAVES_MAX: usize = 1000;
/// Structures, arrays and variants within each other.
pub(crate) const DEPTH_MAX: usize = 16;
/// Parts that take no bytes: structures, and fields without content.
const EMPTY_PARTS_MAX: usize = 4 * LEAVES_MAX;
/// Parts that the bytes of a value may stand for, which `compound = "json"` takes.
const PARTS_MAX: usize = 100 * LEAVES_MAX;

/// How many parts the structures of one value may still have: a definition of some levels can stand for any number of parts
/// without a single byte of them.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    growth_left: usize,
}

impl Budget {
    pub(crate) fn new() -> Self {
        Self {
            left: EMPTY_PARTS_MAX,
            growth_left: PARTS_MAX,
        }
    }

    /// Each byte of a structure may be a part.
    pub(crate) fn grow(&mut self, bytes: usize) {
        let growth = bytes.min(self.growth_left);
        self.growth_left -= growth;
        self.left += growth;
    }

    /// Takes one part; false where there is none left.
    #[must_use]
    pub(crate) fn take(&mut self) -> bool {
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    /// One value, or why there is none.
    Leaf(Result<Value, Status>),
    /// A number that has a name.
    Named(i64, Arc<str>),
    /// Elements, row by row; one length for each dimension.
    Array(Vec<usize>, Vec<Tree>),
    /// Fields in the order of their structure.
    Fields(Vec<(Arc<str>, Tree)>),
}

/// A part of a value that becomes a series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leaf {
    /// What follows the tag's name.
    pub(crate) suffix: String,
    pub(crate) value: Result<Value, Status>,
}

impl Tree {
    /// The tree of what a server sent.
    pub(crate) fn of(value: &Variant, types: &Types, depth: usize, budget: &mut Budget) -> Self {
        if depth > DEPTH_MAX {
            return Self::Leaf(Err(unsupported("value of more than 16 levels")));
        }
        match value {
            Variant::Array(array) => {
                let count = array.values.len();
                if count > LEAVES_MAX {
                    return Self::Leaf(Err(Status::bad(
                        None,
                        format!("array of {count} elements: at most {LEAVES_MAX} are taken"),
                    )));
                }
                let dimensions = array.dimensions.as_ref().filter(|known| known.len() > 1);
                let dimensions = match dimensions {
                    Some(known) => known.iter().map(|length| *length as usize).collect(),
                    None => vec![count],
                };
                let element = |value: &Variant| Self::of(value, types, depth + 1, budget);
                Self::Array(dimensions, array.values.iter().map(element).collect())
            }
            Variant::Variant(inner) => Self::of(inner, types, depth + 1, budget),
            Variant::ExtensionObject(object) => types.open(object, depth + 1, budget),
            Variant::DataValue(data) => {
                let status = value::status(data.status.unwrap_or(StatusCode::Good));
                match &data.value {
                    _ if status.quality == Quality::Bad => Self::Leaf(Err(status)),
                    Some(inner) => Self::of(inner, types, depth + 1, budget),
                    None => Self::Leaf(Err(absent())),
                }
            }
            scalar => Self::Leaf(convert(scalar)),
        }
    }

    /// The tree with the numbers of an enumeration named.
    #[must_use]
    pub(crate) fn named(self, name: &impl Fn(i64) -> Option<Arc<str>>) -> Self {
        match self {
            Self::Leaf(Ok(Value::I64(number))) => match name(number) {
                Some(name) => Self::Named(number, name),
                None => Self::Leaf(Ok(Value::I64(number))),
            },
            Self::Leaf(Ok(Value::U64(number))) => {
                match i64::try_from(number)
                    .ok()
                    .and_then(|known| Some((known, name(known)?)))
                {
                    Some((number, name)) => Self::Named(number, name),
                    None => Self::Leaf(Ok(Value::U64(number))),
                }
            }
            Self::Array(dimensions, items) => Self::Array(
                dimensions,
                items.into_iter().map(|item| item.named(name)).collect(),
            ),
            other => other,
        }
    }

    /// The parts that become series, in order.
    ///
    /// # Errors
    /// There are too many.
    pub(crate) fn leaves(self, form: EnumerationForm) -> Result<Vec<Leaf>, String> {
        let mut leaves = Vec::new();
        self.collect(&mut String::new(), form, &mut leaves)?;
        Ok(leaves)
    }

    fn collect(
        self,
        path: &mut String,
        form: EnumerationForm,
        leaves: &mut Vec<Leaf>,
    ) -> Result<(), String> {
        if leaves.len() > LEAVES_MAX {
            return Err(format!(
                "value of more than {LEAVES_MAX} parts: at most {LEAVES_MAX} are taken, compound = \"json\" takes it whole"
            ));
        }
        let len = path.len();
        match self {
            Self::Leaf(value) => leaves.push(Leaf {
                suffix: path.clone(),
                value,
            }),
            Self::Named(number, name) => {
                leaves.push(Leaf {
                    suffix: path.clone(),
                    value: Ok(Value::I64(number)),
                });
                if form == EnumerationForm::NumberAndText {
                    leaves.push(Leaf {
                        suffix: format!("{path}.text"),
                        value: Ok(Value::Text(name.as_ref().to_owned())),
                    });
                }
            }
            Self::Array(dimensions, items) => {
                for (place, item) in items.into_iter().enumerate() {
                    push_index(path, place, &dimensions);
                    item.collect(path, form, leaves)?;
                    path.truncate(len);
                }
            }
            Self::Fields(fields) => {
                for (name, field) in fields {
                    path.push('.');
                    path.push_str(&name);
                    field.collect(path, form, leaves)?;
                    path.truncate(len);
                }
            }
        }
        Ok(())
    }

    /// The whole as one JSON text (RFC 8259). Bytes are base64; what has no value is null.
    pub(crate) fn json(&self, text: &mut String) {
        match self {
            Self::Leaf(Ok(value)) => json_value(value, text),
            Self::Leaf(Err(_)) => text.push_str("null"),
            Self::Named(number, _) => json_value(&Value::I64(*number), text),
            Self::Array(dimensions, items) => json_rows(dimensions, items, text),
            Self::Fields(fields) => {
                text.push('{');
                for (place, (name, field)) in fields.iter().enumerate() {
                    if place > 0 {
                        text.push(',');
                    }
                    json_text(name, text);
                    text.push(':');
                    field.json(text);
                }
                text.push('}');
            }
        }
    }
}

/// `[1,2]` for the element at a place, the last dimension running fastest (Part 6, 5.2.2.16).
fn push_index(path: &mut String, place: usize, dimensions: &[usize]) {
    let mut indices = vec![place; dimensions.len()];
    let mut rest = place;
    for (index, length) in indices.iter_mut().zip(dimensions).rev() {
        let length = (*length).max(1);
        (*index, rest) = (rest % length, rest / length);
    }
    path.push('[');
    for (dimension, index) in indices.iter().enumerate() {
        if dimension > 0 {
            path.push(',');
        }
        path.push_str(&index.to_string());
    }
    path.push(']');
}

fn json_rows(dimensions: &[usize], items: &[Tree], text: &mut String) {
    let inner = dimensions.get(1..).unwrap_or_default();
    let size: usize = inner.iter().product();
    text.push('[');
    if inner.is_empty() || size == 0 {
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            item.json(text);
        }
    } else {
        for (place, row) in items.chunks(size).enumerate() {
            if place > 0 {
                text.push(',');
            }
            json_rows(inner, row, text);
        }
    }
    text.push(']');
}

fn json_value(value: &Value, text: &mut String) {
    match value {
        Value::F64(number) => text.push_str(&format!("{number:?}")),
        Value::I64(number) => text.push_str(&number.to_string()),
        Value::U64(number) => text.push_str(&number.to_string()),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Text(words) => json_text(words, text),
        Value::Bytes(bytes) => json_text(&ByteString::from(bytes.as_slice()).as_base64(), text),
    }
}

fn json_text(words: &str, text: &mut String) {
    text.push('"');
    for letter in words.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            control if control < ' ' => {
                // Writing to a text cannot fail.
                write!(text, "\\u{:04x}", control as u32).ok();
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

fn convert(value: &Variant) -> Result<Value, Status> {
    Ok(match value {
        Variant::Boolean(v) => Value::Bool(*v),
        Variant::SByte(v) => Value::I64(i64::from(*v)),
        Variant::Int16(v) => Value::I64(i64::from(*v)),
        Variant::Int32(v) => Value::I64(i64::from(*v)),
        Variant::Int64(v) => Value::I64(*v),
        Variant::Byte(v) => Value::U64(u64::from(*v)),
        Variant::UInt16(v) => Value::U64(u64::from(*v)),
        Variant::UInt32(v) => Value::U64(u64::from(*v)),
        Variant::UInt64(v) => Value::U64(*v),
        Variant::Float(v) => return finite(f64::from(*v), u64::from(v.to_bits())),
        Variant::Double(v) => return finite(*v, v.to_bits()),
        // A null text or byte string is reported as an empty one: the model has no typed null.
        Variant::String(v) => text(v.as_ref()),
        Variant::XmlElement(v) if v.is_ua_null() => text(""),
        Variant::XmlElement(v) => text(&v.to_string()),
        Variant::ByteString(v) => Value::Bytes(v.as_ref().to_vec()),
        Variant::DateTime(v) => Value::Text(v.as_chrono().to_rfc3339().replace("+00:00", "Z")),
        Variant::LocalizedText(v) => text(v.text.as_ref()),
        Variant::QualifiedName(v) => text(v.name.as_ref()),
        Variant::Guid(v) => Value::Text(v.to_string()),
        Variant::NodeId(v) => text(&v.to_string()),
        Variant::ExpandedNodeId(v) => text(&v.to_string()),
        Variant::StatusCode(v) => Value::U64(u64::from(v.bits())),
        Variant::DiagnosticInfo(_) => return Err(unsupported("DiagnosticInfo")),
        // Those with parts of their own are taken apart before.
        Variant::Empty
        | Variant::Array(_)
        | Variant::Variant(_)
        | Variant::DataValue(_)
        | Variant::ExtensionObject(_) => return Err(absent()),
    })
}

/// Up to the first NUL: what lies behind one is left over from a longer text.
fn text(text: &str) -> Value {
    Value::Text(text.split('\0').next().unwrap_or_default().to_owned())
}

fn absent() -> Status {
    Status::bad(None, "the server sent no value")
}

pub(crate) fn unsupported(what: &str) -> Status {
    Status::bad(None, format!("unsupported type {what}"))
}
