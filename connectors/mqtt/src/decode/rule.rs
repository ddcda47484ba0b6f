//! One `[[connector.tag]]`: which part of a payload is the value, the time, the quality, and of which series.

use forebay_connectors::{Declared, RuleId, Sample, Told};
use forebay_schemas::{DeviceId, Quality, Status, TagName, Timestamp, Value, ValueType};
use serde_json::Value as Json;
use serde_json_path::{JsonPath, LocatedNode};

use super::{Decoded, Fallback, Fault, Outcomes, Segments, convert::convert};
use crate::{
    json::{Document, Step, steps},
    time::{TimeForm, shown},
    topic::{Captured, Template},
};

/// 2⁶³: no integer nearer to zero is kept as a double.
const BEYOND_64_BITS: f64 = 9_223_372_036_854_775_808.0;

/// How payloads are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    /// A number, true, false, or any other text.
    Raw,
}

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    pub(crate) template: Template,
    /// The device where the topic does not name it.
    pub(crate) device: Option<DeviceId>,
    /// The tag where the topic does not name it.
    pub(crate) tag: Option<TagName>,
    pub(crate) value: JsonPath,
    /// Which names of the payload follow the tag.
    pub(crate) names: Segments,
    /// Values are made this type; none takes them as they are.
    pub(crate) value_type: Option<ValueType>,
    pub(crate) time: Option<TimePath>,
    pub(crate) quality: Option<JsonPath>,
}

/// Where the time stands and how it is written.
#[derive(Debug)]
pub(crate) struct TimePath {
    pub(crate) path: JsonPath,
    pub(crate) form: TimeForm,
}

pub(super) type Outcome = Result<Decoded, Fault>;

/// A payload that could be read.
#[derive(Debug)]
pub(super) enum Content<'p> {
    Json(Document<'p>),
    Raw(&'p str),
}

/// What names the series of a message's samples.
#[derive(Debug)]
pub(super) struct Captures<'m> {
    pub(super) captured: Captured<'m>,
    pub(super) topic: &'m str,
    pub(super) fallback: &'m Fallback,
}

impl<'p> Content<'p> {
    pub(super) fn read(format: Format, payload: &'p [u8]) -> Result<Self, Fault> {
        match format {
            Format::Json => Document::parse(payload).map(Self::Json).map_err(Fault),
            Format::Raw => std::str::from_utf8(payload)
                .map(Self::Raw)
                .map_err(|error| Fault(format!("the payload is not UTF-8: {error}"))),
        }
    }
}

impl Rule {
    /// Its series where neither device nor tag comes out of the topic.
    pub(super) fn declared(&self) -> Option<Declared> {
        if self.template.has_device() || self.template.has_tag() {
            return None;
        }
        Some(Declared {
            rule: self.id,
            device: self.device.clone()?,
            tag: self.tag.clone()?,
        })
    }

    /// What the rule makes of a payload; never empty.
    pub(super) fn decode(&self, content: &Content<'_>) -> Outcomes {
        match content {
            Content::Raw(text) => {
                let (value, status) = typed(raw(text), text, self.value_type, Status::GOOD);
                vec![Ok(Decoded {
                    field: None,
                    time: None,
                    value,
                    status,
                    is_faulty: false,
                })]
            }
            Content::Json(document) => self
                .select(document)
                .unwrap_or_else(|fault| vec![Err(fault)]),
        }
    }

    fn select(&self, document: &Document<'_>) -> Result<Outcomes, Fault> {
        let values = self.value.query_located(&document.root).all();
        if values.is_empty() {
            return Err(Fault(format!(
                "the value path {} finds nothing",
                self.value
            )));
        }
        let nodes = |path: &JsonPath| path.query_located(&document.root).all();
        let times = self.time.as_ref().map(|time| nodes(&time.path));
        if let (Some(time), Some(found)) = (&self.time, &times) {
            fits("time", &time.path, found.len(), values.len())?;
        }
        let qualities = self.quality.as_ref().map(nodes).unwrap_or_default();
        if let (Some(path), false) = (&self.quality, qualities.is_empty()) {
            fits("quality", path, qualities.len(), values.len())?;
        }
        let others: Vec<*const Json> = times
            .iter()
            .flatten()
            .chain(&qualities)
            .map(|node| std::ptr::from_ref(node.node()))
            .collect();

        let mut outcomes = Outcomes::new();
        for (i, value) in values.iter().enumerate() {
            let time = match (&self.time, &times) {
                (Some(rule), Some(found)) => {
                    read_time(document, &rule.form, of(found, i)).map(Some)
                }
                _ => Ok(None),
            };
            let status = if qualities.is_empty() {
                Status::GOOD
            } else {
                quality(of(&qualities, i).node())
            };
            match time {
                Err(fault) => outcomes.push(Err(fault)),
                Ok(time) => {
                    let (value_type, outcomes) = (self.value_type, &mut outcomes);
                    let mut reader = Reader {
                        document,
                        others: &others,
                        value_type,
                        time,
                        status,
                        outcomes,
                    };
                    let mut place = steps(value.location());
                    let mut names = self.names.names(&place);
                    reader.value(value.node(), &mut place, &mut names);
                }
            }
        }
        Ok(outcomes)
    }

    /// The sample of what was decoded; a fault where its series has no valid name.
    pub(super) fn sample(&self, series: &Captures<'_>, decoded: Outcome) -> Result<Sample, Fault> {
        let Decoded {
            field,
            time,
            value,
            status,
            is_faulty: _,
        } = decoded?;
        let tag = match (self.tag(series)?, field) {
            (Some(tag), None) => tag,
            (Some(tag), Some(field)) => tag_name(&format!("{tag}.{field}"))?,
            (None, Some(field)) => tag_name(&field)?,
            (None, None) => {
                return Err(Fault(
                    "the value is no object, and neither the topic nor the rule's name tells the tag".to_owned(),
                ));
            }
        };
        Ok(Sample {
            rule: self.id,
            device: self.device(series)?,
            tag,
            event_time: time,
            value,
            unit: None,
            status,
            told: Told::Anew,
        })
    }

    /// The sample of a fault.
    pub(super) fn bad_sample(
        &self,
        series: &Captures<'_>,
        value: Option<Value>,
        reason: String,
    ) -> Sample {
        let device = self
            .device(series)
            .unwrap_or_else(|_| series.fallback.device.clone());
        let tag = self
            .tag(series)
            .ok()
            .flatten()
            .or_else(|| TagName::new(series.topic).ok());
        let tag = tag.unwrap_or_else(|| series.fallback.tag.clone());
        let status = Status::bad(None, reason);
        Sample {
            rule: self.id,
            device,
            tag,
            event_time: None,
            value,
            unit: None,
            status,
            told: Told::Anew,
        }
    }

    /// Device and tag of what the rule makes of a topic, before any name of the payload; none where a name is not valid.
    pub(super) fn place(&self, series: &Captures<'_>) -> Option<(DeviceId, Option<TagName>)> {
        Some((self.device(series).ok()?, self.tag(series).ok()?))
    }

    fn device(&self, series: &Captures<'_>) -> Result<DeviceId, Fault> {
        match (series.captured.device, &self.device) {
            (Some(name), _) => {
                DeviceId::new(name).map_err(|error| Fault(format!("in the topic: {error}")))
            }
            (None, Some(device)) => Ok(device.clone()),
            (None, None) => Ok(series.fallback.device.clone()),
        }
    }

    fn tag(&self, series: &Captures<'_>) -> Result<Option<TagName>, Fault> {
        match series.captured.tag {
            Some(name) => TagName::new(name)
                .map(Some)
                .map_err(|error| Fault(format!("in the topic: {error}"))),
            None => Ok(self.tag.clone()),
        }
    }
}

fn tag_name(name: &str) -> Result<TagName, Fault> {
    TagName::new(name).map_err(|error| Fault(format!("in the payload: {error}")))
}

/// One time (or quality) serves all values, or each value has its own.
fn fits(what: &str, path: &JsonPath, found: usize, values: usize) -> Result<(), Fault> {
    match found {
        0 => Err(Fault(format!("the {what} path {path} finds nothing"))),
        1 => Ok(()),
        n if n == values => Ok(()),
        n => Err(Fault(format!(
            "the {what} path {path} finds {n} nodes for {values} values"
        ))),
    }
}

fn of<'n, 'd>(nodes: &'n [LocatedNode<'d>], i: usize) -> &'n LocatedNode<'d> {
    if nodes.len() == 1 {
        &nodes[0]
    } else {
        &nodes[i]
    }
}

fn read_time(
    document: &Document<'_>,
    form: &TimeForm,
    node: &LocatedNode<'_>,
) -> Result<Timestamp, Fault> {
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
    read.map_err(|error| Fault(error.to_string()))
}

/// A device's own word for quality. A word that is not known makes a reading uncertain, not bad: the value is there.
fn quality(word: &Json) -> Status {
    let known = match word {
        Json::Bool(good) => Some(if *good { Quality::Good } else { Quality::Bad }),
        Json::String(text) => match text.to_ascii_lowercase().as_str() {
            "good" => Some(Quality::Good),
            "uncertain" => Some(Quality::Uncertain),
            "bad" => Some(Quality::Bad),
            _ => None,
        },
        Json::Number(number) => number
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
            .and_then(|n| Quality::try_from(n).ok()),
        _ => None,
    };
    match known {
        Some(Quality::Good) => Status::GOOD,
        Some(quality) => Status {
            quality,
            code: word.as_i64(),
            reason: Some("the device says so".to_owned()),
        },
        None => Status {
            quality: Quality::Uncertain,
            code: word.as_i64(),
            reason: Some(format!("unknown quality {}", shown(&word.to_string()))),
        },
    }
}

fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

/// The reader of one selected value and, where it is an object, of its fields.
struct Reader<'r, 'p> {
    document: &'r Document<'p>,
    /// Nodes that are times or qualities and therefore no fields.
    others: &'r [*const Json],
    value_type: Option<ValueType>,
    time: Option<Timestamp>,
    status: Status,
    outcomes: &'r mut Outcomes,
}

impl Reader<'_, '_> {
    fn value(&mut self, json: &Json, place: &mut Vec<Step>, names: &mut Vec<String>) {
        let Json::Object(fields) = json else {
            return self.scalar(json, place, names);
        };
        let before = self.outcomes.len();
        for (name, inner) in fields {
            if self.others.contains(&std::ptr::from_ref(inner)) {
                continue;
            }
            place.push(Step::Name(name.clone()));
            names.push(name.clone());
            self.value(inner, place, names);
            names.pop();
            place.pop();
        }
        if self.outcomes.len() == before {
            self.outcomes.push(Err(Fault(
                "the value is an object without fields".to_owned(),
            )));
        }
    }

    fn scalar(&mut self, json: &Json, place: &[Step], names: &[String]) {
        let field = (!names.is_empty()).then(|| names.join("."));
        let time = self.time;
        let (value, status) = match json {
            Json::Null => (None, Status::bad(None, "null value")),
            Json::Bool(truth) => self.typed(Value::Bool(*truth), "", self.status.clone()),
            Json::String(text) => self.typed(Value::Text(text.clone()), text, self.status.clone()),
            Json::Number(number) => {
                let written = self.document.digits(number, place);
                let (value, status) = self.number(number, &written);
                value.map_or((None, status.clone()), |value| {
                    self.typed(value, &written, status)
                })
            }
            Json::Array(_) | Json::Object(_) => {
                let what = field.as_deref().map_or("value".to_owned(), |field| {
                    format!("field {}", shown(field))
                });
                let reason = format!(
                    "the {what} is {}: select its items with a path such as $.v[*]",
                    kind(json)
                );
                return self.outcomes.push(match field {
                    None => Err(Fault(reason)),
                    field => Ok(Decoded {
                        field,
                        time,
                        value: None,
                        status: Status::bad(None, reason),
                        is_faulty: true,
                    }),
                });
            }
        };
        self.outcomes.push(Ok(Decoded {
            field,
            time,
            value,
            status,
            is_faulty: false,
        }));
    }

    fn typed(&self, value: Value, written: &str, status: Status) -> (Option<Value>, Status) {
        typed(value, written, self.value_type, status)
    }

    fn number(&self, number: &serde_json::Number, digits: &str) -> (Option<Value>, Status) {
        if let Some(integer) = number.as_i64() {
            return (Some(Value::I64(integer)), self.status.clone());
        }
        if let Some(integer) = number.as_u64() {
            return (Some(Value::U64(integer)), self.status.clone());
        }
        // serde_json may miss a double's last bit: the digits are read again, to the nearest double.
        let double = digits.parse::<f64>().ok().or_else(|| number.as_f64());
        let value = double.map(Value::F64);
        if double.is_none_or(|double| double.abs() < BEYOND_64_BITS) {
            return (value, self.status.clone());
        }
        let long_integer = digits.chars().all(|c| c.is_ascii_digit() || c == '-');
        if long_integer && self.status == Status::GOOD && self.value_type != Some(ValueType::Text) {
            let reason = format!(
                "the integer {} has more than 64 bits and is rounded",
                shown(digits)
            );
            return (
                value,
                Status {
                    quality: Quality::Uncertain,
                    code: None,
                    reason: Some(reason),
                },
            );
        }
        (value, self.status.clone())
    }
}

/// The value as the type that the rule asks for; bad where it is none, or a text that no text column takes.
fn typed(
    value: Value,
    written: &str,
    to: Option<ValueType>,
    status: Status,
) -> (Option<Value>, Status) {
    let value = match to.map_or(Ok(value.clone()), |to| convert(value, written, to)) {
        Ok(value) => value,
        Err(reason) => return (None, Status::bad(None, reason)),
    };
    match value {
        Value::Text(text) if text.contains('\0') => {
            let reason = "the text holds the character U+0000 and is kept as bytes";
            (
                Some(Value::Bytes(text.into_bytes())),
                Status::bad(None, reason),
            )
        }
        value => (Some(value), status),
    }
}

/// The value of a raw payload.
fn raw(text: &str) -> Value {
    let word = text.trim();
    match serde_json::from_str::<Json>(word) {
        Ok(Json::Bool(truth)) => Value::Bool(truth),
        Ok(Json::Number(number)) => {
            match (number.as_i64(), number.as_u64(), word.parse::<f64>().ok()) {
                (Some(integer), ..) => Value::I64(integer),
                (None, Some(integer), _) => Value::U64(integer),
                // A longer integer stays a text: raw payloads are often identifiers, and a double would round it.
                (None, None, Some(double)) if word.contains(['.', 'e', 'E']) || word == "-0" => {
                    Value::F64(double)
                }
                _ => Value::Text(text.to_owned()),
            }
        }
        _ => match word.to_ascii_lowercase().as_str() {
            "nan" => Value::F64(f64::NAN),
            "inf" | "infinity" => Value::F64(f64::INFINITY),
            "-inf" | "-infinity" => Value::F64(f64::NEG_INFINITY),
            _ => Value::Text(text.to_owned()),
        },
    }
}
