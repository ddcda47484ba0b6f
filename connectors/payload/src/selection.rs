//! Which parts of a payload are values, and the time and quality of each.

use std::{collections::BTreeSet, fmt, sync::Arc};

use forebay_schemas::{Status, Timestamp, Value, ValueType};
use serde_json::Value as Json;
use serde_json_path::LocatedNode;

use crate::{
    document::{Document, Step, steps},
    flat::{Flat, Plain},
    path::PayloadPath,
    payload::{Content, Fault, Payload},
    raw::raw,
    scalar::{kind, number, quality, typed},
    segments::Segments,
    time::{TimeForm, shown},
};

/// Twice the length of the longest tag name.
const FIELD_BYTES_MAX: usize = 1024;

/// The part of a rule that speaks of payloads.
#[derive(Debug)]
pub struct Selection {
    pub(crate) value: PayloadPath,
    /// Which names of the payload name the value.
    pub(crate) names: Segments,
    /// Values are made this type; none takes them as they are.
    pub(crate) value_type: Option<ValueType>,
    pub(crate) time: Option<TimePath>,
    pub(crate) quality: Option<PayloadPath>,
    pub(crate) unit: Option<PayloadPath>,
    pub(crate) arrays: Arrays,
}

/// What the items of an array are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrays {
    /// Readings of one tag.
    #[default]
    Values,
    /// Tags of their own, named by their places from 0.
    Tags,
}

/// Where the time stands and how it is written.
#[derive(Debug)]
pub(crate) struct TimePath {
    pub(crate) path: PayloadPath,
    pub(crate) form: TimeForm,
}

/// One value of a payload, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The names that lead to it and that the value's path leaves open, joined by dots; none for a value of its own.
    pub field: Option<String>,
    /// The event time; none where the rule reads none.
    pub time: Option<Timestamp>,
    /// The value; none where there is none to be had.
    pub value: Option<Value>,
    /// Its unit (UCUM); none where the rule reads none or the payload has none.
    pub unit: Option<Arc<str>>,
    /// How far to trust it.
    pub status: Status,
    /// It cannot be read: the payload is to be kept in its place.
    pub is_faulty: bool,
}

/// One value, or what kept the values from being decoded.
pub type Outcome = Result<Decoded, Fault>;

impl Default for Selection {
    /// The whole payload, at the time of its arrival, of good quality.
    fn default() -> Self {
        Self::of(PayloadPath::default())
    }
}

impl Selection {
    /// The values at a JSONPath (RFC 9535), at the time of their arrival, of good quality.
    ///
    /// # Errors
    /// The text is not a JSONPath.
    pub fn at(value: &str) -> Result<Self, Fault> {
        PayloadPath::parse(value).map(Self::of)
    }

    pub(crate) fn of(value: PayloadPath) -> Self {
        Self {
            names: Segments::of(&value.to_string()),
            value,
            value_type: None,
            time: None,
            quality: None,
            unit: None,
            arrays: Arrays::default(),
        }
    }

    /// Where the values stand, in normal form.
    pub fn value_path(&self) -> impl fmt::Display {
        &self.value
    }

    /// What the items of arrays are.
    pub fn arrays(&self) -> Arrays {
        self.arrays
    }

    /// What it makes of a payload; never empty.
    pub fn decode(&self, payload: &Payload<'_>) -> Vec<Outcome> {
        match &payload.0 {
            Content::Raw(text) => {
                let (value, status) = typed(raw(text), text, self.value_type, Status::GOOD);
                vec![Ok(Decoded {
                    field: None,
                    time: None,
                    value,
                    unit: None,
                    status,
                    is_faulty: false,
                })]
            }
            Content::Tree(document) => {
                let plain = document.flat().and_then(|flat| self.plain(flat));
                match plain {
                    Some(decoded) => vec![Ok(decoded)],
                    None => self
                        .select(document)
                        .unwrap_or_else(|fault| vec![Err(fault)]),
                }
            }
        }
    }

    /// The value of a payload of plain members; none where it takes the tree to say what it is, or what is wrong.
    pub(crate) fn plain(&self, flat: &Flat<'_>) -> Option<Decoded> {
        // A payload that says its quality or unit is rarer, and has more to be told.
        for path in [&self.quality, &self.unit].into_iter().flatten() {
            if flat.get(path.member()?).is_some() {
                return None;
            }
        }
        let time = match &self.time {
            None => None,
            Some(TimePath { path, form }) => Some(match flat.get(path.member()?)? {
                Plain::Text(text) => form.text(text).ok()?,
                Plain::Number(digits) => form.number(digits).ok()?,
                Plain::Null | Plain::Truth(_) => return None,
            }),
        };
        let (value, written) = match flat.get(self.value.member()?)? {
            Plain::Null => return None,
            Plain::Truth(truth) => (Value::Bool(truth), ""),
            Plain::Text(text) => (Value::Text(text.to_owned()), text),
            Plain::Number(digits) => (plain_number(digits)?, digits),
        };
        let (value, status) = typed(value, written, self.value_type, Status::GOOD);
        Some(Decoded {
            field: None,
            time,
            value,
            unit: None,
            status,
            is_faulty: false,
        })
    }

    pub(crate) fn select(&self, document: &Document<'_>) -> Result<Vec<Outcome>, Fault> {
        let root = document.root();
        let nodes = |path: &PayloadPath| path.nodes(root);
        let values = nodes(&self.value);
        if values.is_empty() {
            return Err(Fault(format!(
                "the value path {} finds nothing",
                self.value
            )));
        }
        let times = self.time.as_ref().map(|time| nodes(&time.path));
        if let (Some(time), Some(found)) = (&self.time, &times) {
            fits("time", &time.path, found.len(), values.len())?;
        }
        let qualities = self.quality.as_ref().map(nodes).unwrap_or_default();
        // A payload without the quality is good: many devices send one only when something is wrong.
        if let (Some(path), false) = (&self.quality, qualities.is_empty()) {
            fits("quality", path, qualities.len(), values.len())?;
        }
        let units = self.unit.as_ref().map(nodes).unwrap_or_default();
        if let (Some(path), false) = (&self.unit, units.is_empty()) {
            fits("unit", path, units.len(), values.len())?;
        }
        let others: BTreeSet<*const Json> = times
            .iter()
            .flatten()
            .chain(&qualities)
            .chain(&units)
            .map(|node| std::ptr::from_ref(node.node()))
            .collect();

        let mut outcomes = Vec::new();
        for (i, value) in values.iter().enumerate() {
            // A path such as `$.*` finds the time too.
            if values.len() > 1 && others.contains(&std::ptr::from_ref(value.node())) {
                continue;
            }
            let time = match (&self.time, &times) {
                (Some(rule), Some(found)) => read_time(document, &rule.form, nth(found, i)),
                _ => Ok(None),
            };
            let time = match time {
                Ok(time) => time,
                Err(fault) => {
                    outcomes.push(Err(fault));
                    continue;
                }
            };
            let status = if qualities.is_empty() {
                Status::GOOD
            } else {
                quality(nth(&qualities, i).node())
            };
            let unit = (!units.is_empty()).then(|| nth(&units, i).node());
            let mut reader = Reader {
                document,
                others: &others,
                value_type: self.value_type,
                arrays: self.arrays,
                time,
                unit: unit.and_then(unit_of),
                status,
                outcomes: &mut outcomes,
            };
            let mut place = steps(value.location());
            let mut names = self.names.names(&place, self.arrays);
            reader.value(value.node(), &mut place, &mut names);
        }
        if outcomes.is_empty() {
            return Err(Fault(format!(
                "the value path {} finds no value beside times, qualities and units",
                self.value
            )));
        }
        Ok(outcomes)
    }
}

/// A number that 64 bits or a double hold as it is written.
fn plain_number(digits: &str) -> Option<Value> {
    if digits.contains('.') {
        return digits.parse().ok().map(Value::F64);
    }
    let signed = digits.parse().ok().map(Value::I64);
    signed.or_else(|| digits.parse().ok().map(Value::U64))
}

/// One time (or quality) serves all values, or each value has its own.
fn fits(what: &str, path: &PayloadPath, found: usize, values: usize) -> Result<(), Fault> {
    match found {
        0 => Err(Fault(format!("the {what} path {path} finds nothing"))),
        1 => Ok(()),
        n if n == values => Ok(()),
        n => Err(Fault(format!(
            "the {what} path {path} finds {n} nodes for {values} values"
        ))),
    }
}

fn nth<'n, 'd>(nodes: &'n [LocatedNode<'d>], i: usize) -> &'n LocatedNode<'d> {
    if nodes.len() == 1 {
        &nodes[0]
    } else {
        &nodes[i]
    }
}

/// Names joined by dots, cut where they are longer than any tag's name may be: each value of a payload has its own copy.
fn joined(names: &[String]) -> String {
    let mut whole = String::new();
    for (place, name) in names.iter().enumerate() {
        if place > 0 {
            whole.push('.');
        }
        let room = FIELD_BYTES_MAX.saturating_sub(whole.len());
        whole.push_str(&name[..name.floor_char_boundary(room)]);
        if whole.len() >= FIELD_BYTES_MAX {
            break;
        }
    }
    whole
}

/// A unit is a text; one with a character that no text column takes is none.
fn unit_of(node: &Json) -> Option<Arc<str>> {
    let text = node.as_str()?;
    (!text.contains('\0')).then(|| Arc::from(text))
}

fn read_time(
    document: &Document<'_>,
    form: &TimeForm,
    node: &LocatedNode<'_>,
) -> Result<Option<Timestamp>, Fault> {
    let read = match node.node() {
        Json::String(text) => form.text(text),
        Json::Number(number) => form.number(&document.digits(number, &steps(node.location()))),
        other => {
            return Err(Fault(format!(
                "the time is {}, neither a text nor a number",
                kind(other)
            )));
        }
    };
    read.map(Some).map_err(|error| Fault(error.to_string()))
}

/// The reader of one selected value and, where it is an object, of its fields.
struct Reader<'r, 'p> {
    document: &'r Document<'p>,
    /// Nodes that are times, qualities or units and therefore no fields.
    others: &'r BTreeSet<*const Json>,
    value_type: Option<ValueType>,
    arrays: Arrays,
    time: Option<Timestamp>,
    unit: Option<Arc<str>>,
    status: Status,
    outcomes: &'r mut Vec<Outcome>,
}

impl Reader<'_, '_> {
    fn value(&mut self, json: &Json, place: &mut Vec<Step>, names: &mut Vec<String>) {
        let before = self.outcomes.len();
        let kind = match (json, self.arrays) {
            (Json::Object(fields), _) => {
                for (name, inner) in fields {
                    self.part(inner, Step::Name(name.clone()), name.clone(), place, names);
                }
                "an object without fields"
            }
            (Json::Array(items), Arrays::Tags) => {
                for (index, inner) in items.iter().enumerate() {
                    self.part(inner, Step::Index(index), index.to_string(), place, names);
                }
                "an array without items"
            }
            _ => {
                let outcome = self.scalar(json, place, names);
                return self.outcomes.push(outcome);
            }
        };
        if self.outcomes.len() == before {
            self.outcomes
                .push(Err(Fault(format!("the value is {kind}"))));
        }
    }

    /// A field of an object or an item of an array.
    fn part(
        &mut self,
        inner: &Json,
        step: Step,
        name: String,
        place: &mut Vec<Step>,
        names: &mut Vec<String>,
    ) {
        if self.others.contains(&std::ptr::from_ref(inner)) {
            return;
        }
        place.push(step);
        names.push(name);
        self.value(inner, place, names);
        names.pop();
        place.pop();
    }

    fn scalar(&self, json: &Json, place: &[Step], names: &[String]) -> Outcome {
        let field = (!names.is_empty()).then(|| joined(names));
        let (value, status) = match json {
            Json::Null => (None, Status::bad(None, "null value")),
            Json::Bool(truth) => self.typed(Value::Bool(*truth), "", self.status.clone()),
            Json::String(text) => {
                let value = self.document.apart(text).cloned();
                let value = value.unwrap_or_else(|| Value::Text(text.clone()));
                self.typed(value, text, self.status.clone())
            }
            Json::Number(found) => {
                let written = self.document.digits(found, place);
                match number(found, &written, self.value_type, &self.status) {
                    (Some(value), status) => self.typed(value, &written, status),
                    (None, status) => (None, status),
                }
            }
            Json::Array(_) | Json::Object(_) => return self.unreadable(json, field),
        };
        Ok(Decoded {
            field,
            time: self.time,
            value,
            unit: self.unit.clone(),
            status,
            is_faulty: false,
        })
    }

    fn typed(&self, value: Value, written: &str, status: Status) -> (Option<Value>, Status) {
        typed(value, written, self.value_type, status)
    }

    /// A fault for a value of its own; for a field a decoded value without one, so that its neighbours stay good.
    fn unreadable(&self, json: &Json, field: Option<String>) -> Outcome {
        let what = match &field {
            Some(field) => format!("field {}", shown(field)),
            None => "value".to_owned(),
        };
        let kind = kind(json);
        let reason = format!("the {what} is {kind}: select its items with a path such as $.v[*]");
        if field.is_none() {
            return Err(Fault(reason));
        }
        Ok(Decoded {
            field,
            time: self.time,
            value: None,
            unit: self.unit.clone(),
            status: Status::bad(None, reason),
            is_faulty: true,
        })
    }
}
