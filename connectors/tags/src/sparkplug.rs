//! A birth of a Sparkplug B edge node or device, as its payload was captured (Sparkplug 3.0.0, section 6.4): each metric is a row.
//!
//! `mosquitto_sub -C 1 -N -t 'spBv1.0/plant/DBIRTH/n1/press' > birth.bin` captures one.

use prost::Message;

use crate::{Row, Tag, TagsError};

/// What a payload says of its metrics; what else it says is skipped.
#[derive(Clone, PartialEq, Message)]
struct Payload {
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
    #[prost(bytes = "vec", optional, tag = "5")]
    body: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    alias: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    datatype: Option<u32>,
    #[prost(message, optional, tag = "9")]
    properties: Option<Properties>,
    #[prost(message, optional, tag = "18")]
    template: Option<Template>,
}

/// Keys and values are two lists of one length.
#[derive(Clone, PartialEq, Message)]
struct Properties {
    #[prost(string, repeated, tag = "1")]
    keys: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    values: Vec<Property>,
}

#[derive(Clone, PartialEq, Message)]
struct Property {
    #[prost(string, optional, tag = "8")]
    text: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Template {
    #[prost(bool, optional, tag = "5")]
    is_definition: Option<bool>,
}

/// Data types by their numbers (section 6.4.16).
const TYPES: [&str; 35] = [
    "",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Float",
    "Double",
    "Boolean",
    "String",
    "DateTime",
    "Text",
    "UUID",
    "DataSet",
    "Bytes",
    "File",
    "Template",
    "",
    "",
    "Int8Array",
    "Int16Array",
    "Int32Array",
    "Int64Array",
    "UInt8Array",
    "UInt16Array",
    "UInt32Array",
    "UInt64Array",
    "FloatArray",
    "DoubleArray",
    "BooleanArray",
    "StringArray",
    "DateTimeArray",
];

pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Row>, TagsError> {
    // mosquitto_sub ends its output with a line feed unless told otherwise.
    let payload = Payload::decode(bytes).or_else(|error| match bytes.strip_suffix(b"\n") {
        Some(without) => Payload::decode(without).map_err(|_| error),
        None => Err(error),
    });
    let payload = payload.map_err(|error| TagsError::Sparkplug(error.to_string()))?;
    if payload.metrics.is_empty() {
        let what = match payload.body {
            Some(_) => "it is compressed: capture one that is not",
            None => "it has no metrics",
        };
        return Err(TagsError::Sparkplug(what.to_owned()));
    }
    let metrics = payload.metrics.into_iter().enumerate();
    Ok(metrics.map(|(place, metric)| row(place, metric)).collect())
}

fn row(place: usize, metric: Metric) -> Row {
    let name = metric.name.clone().filter(|name| !name.is_empty());
    let Some(name) = name else {
        let why = match metric.alias {
            Some(alias) => {
                format!("it has the alias {alias} and no name: is this data, not a birth?")
            }
            None => "it has no name".to_owned(),
        };
        return Row::new(format!("metric {}", place + 1), Err(why));
    };
    let tag = tag(&name, &metric);
    Row::new(name, tag)
}

fn tag(name: &str, metric: &Metric) -> Result<Tag, String> {
    let is_command = name.starts_with("Node Control/") || name.starts_with("Device Control/");
    if is_command || name == "bdSeq" {
        return Err("it is no reading, Sparkplug uses it itself".to_owned());
    }
    let template = metric.template.as_ref();
    if template.is_some_and(|template| template.is_definition == Some(true)) {
        return Err("the definition of a template has no values".to_owned());
    }
    let number = metric
        .datatype
        .and_then(|number| usize::try_from(number).ok());
    let datatype = number.and_then(|number| TYPES.get(number)).copied();
    let mut tag = Tag::default();
    let unit = metric.properties.as_ref().and_then(Properties::unit);
    match (datatype.filter(|name| !name.is_empty()), unit) {
        (Some(datatype), Some(unit)) => tag.note(format!(
            "{datatype} in {unit}, as the node says with each birth"
        )),
        (Some(datatype), None) => tag.note(datatype),
        (None, _) => return Err("it has no data type: is this data, not a birth?".to_owned()),
    }
    tag.text("metric", literally(name));
    Ok(tag)
}

impl Properties {
    /// The property `engUnit`, which Ignition and others send.
    fn unit(&self) -> Option<&str> {
        let mut properties = self.keys.iter().zip(&self.values);
        let (_, value) = properties.find(|(key, _)| *key == "engUnit")?;
        value.text.as_deref().filter(|unit| !unit.is_empty())
    }
}

/// The pattern that only this name fits.
fn literally(name: &str) -> String {
    let mut pattern = String::new();
    for c in name.chars() {
        match c {
            '*' | '?' | '[' | ']' | '{' | '}' | '\\' => {
                pattern.push('[');
                pattern.push(c);
                pattern.push(']');
            }
            c => pattern.push(c),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    fn metric(name: &str, datatype: u32) -> Metric {
        Metric {
            name: Some(name.to_owned()),
            datatype: Some(datatype),
            ..Metric::default()
        }
    }

    fn birth() -> Vec<u8> {
        let unit = Properties {
            keys: vec!["engUnit".to_owned()],
            values: vec![Property {
                text: Some("Cel".to_owned()),
            }],
        };
        let definition = Template {
            is_definition: Some(true),
        };
        let metrics = vec![
            metric("bdSeq", 4),
            metric("Node Control/Rebirth", 11),
            Metric {
                properties: Some(unit),
                ..metric("Line 1/temp", 10)
            },
            metric("odd [1]*", 2),
            Metric {
                template: Some(definition),
                ..metric("_types_/Motor", 19)
            },
            metric("motor", 19),
            Metric {
                alias: Some(7),
                ..Metric::default()
            },
            metric("new", 99),
        ];
        let body = None;
        Payload { metrics, body }.encode_to_vec()
    }

    #[test]
    fn each_metric_of_a_birth_is_a_row() {
        let rows = read(&birth()).unwrap();
        let text = |row: &Row| match &row.outcome {
            Outcome::Tag(tag) => tag.toml().replace('\n', ";"),
            Outcome::LeftOut(why) => format!("{}: {why}", row.place),
        };
        assert_eq!(
            rows.iter().map(text).collect::<Vec<_>>(),
            [
                "bdSeq: it is no reading, Sparkplug uses it itself",
                "Node Control/Rebirth: it is no reading, Sparkplug uses it itself",
                "[[connector.tag]];# Double in Cel, as the node says with each birth;metric = \"Line 1/temp\";",
                "[[connector.tag]];# Int16;metric = \"odd [[]1[]][*]\";",
                "_types_/Motor: the definition of a template has no values",
                "[[connector.tag]];# Template;metric = \"motor\";",
                "metric 7: it has the alias 7 and no name: is this data, not a birth?",
                "new: it has no data type: is this data, not a birth?",
            ]
        );
        let mut with_line_feed = birth();
        with_line_feed.push(b'\n');
        assert_eq!(read(&with_line_feed).unwrap(), rows);
    }

    #[test]
    fn what_is_no_birth_is_said() {
        let reason = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert!(reason(b"{\"v\": 1}").contains("cannot be read as a Sparkplug B birth"));
        assert!(reason(b"").contains("it has no metrics"));
        let body = Some(vec![1]);
        let compressed = Payload {
            metrics: Vec::new(),
            body,
        };
        assert!(reason(&compressed.encode_to_vec()).contains("it is compressed"));
    }
}
