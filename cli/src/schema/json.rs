//! The sections as JSON Schema, draft 2020-12.
//!
//! What is checked here is what an editor can check: names, types, words and units, which keys must be there. Ranges, and
//! what two keys mean together, are `forebay validate`'s. A text may hold `${…}` wherever a text is taken, so that patterns
//! and lists of words let it pass.

use forebay_config::{Expanded, KeyInfo, Presence, Shape, TableForm};
use serde_json::{Map, Value, json};

use super::{KIND, Kind, Section};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A text in which something is replaced.
const REPLACED: &str = r"\$\{";
/// As `forebay_config` reads them.
const DURATION: &str = r"\s*([0-9.]+\s*(ns|us|µs|ms|s|m|h|d)\s*)+";
const SIZE: &str = r"\s*[0-9.]+\s*(B|kB|KB|MB|GB|KiB|MiB|GiB|TiB)\s*";

/// The schema of the whole file.
pub(crate) fn json(sections: &[Section]) -> Value {
    let tables = sections
        .iter()
        .map(|section| (section.table.name.to_owned(), of_section(section)));
    json!({
        "$schema": DIALECT,
        "title": "forebay.toml",
        "description": "The configuration of Forebay.",
        "type": "object",
        "additionalProperties": false,
        "properties": tables.collect::<Map<String, Value>>(),
    })
}

fn of_section(section: &Section) -> Value {
    if section.kinds.is_empty() {
        return of_key(&section.table);
    }
    let kinds: Vec<Value> = section
        .kinds
        .iter()
        .map(|kind| of_kind(section, kind))
        .collect();
    json!({
        "description": section.table.meaning,
        "type": "array",
        "items": { "type": "object", "required": [KIND], "oneOf": kinds },
    })
}

/// The tables of one kind.
fn of_kind(section: &Section, kind: &Kind) -> Value {
    let mut table = of_keys(&section.keys_of(kind));
    table["title"] = json!(kind.name);
    table["description"] = json!(kind.table.meaning);
    table["properties"][KIND] = json!({ "description": kind.table.meaning, "const": kind.name });
    table
}

fn of_keys(keys: &[KeyInfo]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| (key.name.to_owned(), of_key(key)))
        .collect();
    let required = keys.iter().filter(|key| key.presence == Presence::Required);
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required.map(|key| key.name).collect::<Vec<_>>(),
        "properties": properties,
    })
}

fn of_key(key: &KeyInfo) -> Value {
    let mut schema = of_shape(&key.shape);
    schema["description"] = json!(description(key));
    if let Presence::Default(default) = &key.presence {
        schema["default"] = of_default(default);
    }
    schema
}

fn description(key: &KeyInfo) -> String {
    let mut text = key.meaning.to_owned();
    if let Some(unit) = key.unit {
        text.push_str(&format!(" Unit: {unit}."));
    }
    if let Presence::Optional(Some(absent)) = key.presence {
        text.push_str(&format!(" If the key is missing: {absent}."));
    }
    text
}

fn of_shape(shape: &Shape) -> Value {
    match shape {
        Shape::Text | Shape::Secret => json!({ "type": "string" }),
        Shape::Path => json!({ "type": "string", "minLength": 1 }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Integer { min, max } => {
            let mut schema = json!({ "type": "integer" });
            if let Some(min) = min {
                schema["minimum"] = json!(min);
            }
            if let Some(max) = max {
                schema["maximum"] = json!(max);
            }
            schema
        }
        Shape::Number => json!({ "type": "number" }),
        Shape::Duration => of_pattern(DURATION),
        Shape::Size => of_pattern(SIZE),
        Shape::Pattern { pattern, .. } => of_pattern(pattern),
        Shape::Words(words) => {
            json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": REPLACED }] })
        }
        Shape::AnyOf(shapes) => json!({ "anyOf": shapes.iter().map(of_shape).collect::<Vec<_>>() }),
        Shape::Array(item) => json!({ "type": "array", "items": of_shape(item) }),
        Shape::Mapping(value) => {
            json!({ "type": "object", "additionalProperties": of_shape(value) })
        }
        Shape::Table {
            form: TableForm::One,
            keys,
        } => of_keys(keys),
        Shape::Table {
            form: TableForm::Many,
            keys,
        } => json!({ "type": "array", "items": of_keys(keys) }),
    }
}

fn of_pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^{pattern}$|{REPLACED}") })
}

fn of_default(default: &Expanded) -> Value {
    match default {
        Expanded::Text(text) | Expanded::Time(text) => json!(text),
        Expanded::Integer(integer) => {
            i64::try_from(*integer).map_or_else(|_| json!(*integer as f64), Value::from)
        }
        Expanded::Float(number) => json!(number),
        Expanded::Bool(truth) => json!(truth),
        Expanded::Array(items) => Value::Array(items.iter().map(of_default).collect()),
        Expanded::Table => json!({}),
    }
}
