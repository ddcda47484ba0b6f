//! Ignition's JSON export of tags (Inductive Automation, *Exporting and Importing Tags*): folders of tags, of which those that come
//! over OPC are taken over as nodes of an OPC UA server.

use serde_json::Value as Json;

use crate::{Row, Tag, TagsError, Value};

/// Folders that lie in one another.
const DEPTH_MAX: usize = 64;

pub(crate) fn read(text: &str) -> Result<Vec<Row>, TagsError> {
    let json: Json =
        serde_json::from_str(text).map_err(|error| TagsError::Json(error.to_string()))?;
    if json.get("tags").is_none() && json.get("tagType").is_none() {
        return Err(TagsError::Json(
            "there is neither \"tags\" nor \"tagType\" in it".to_owned(),
        ));
    }
    let mut rows = Vec::new();
    walk(&json, "", 0, &mut rows);
    Ok(rows)
}

fn walk(json: &Json, folder: &str, depth: usize, rows: &mut Vec<Row>) {
    let name = json["name"].as_str().unwrap_or_default();
    let path = match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    };
    if depth > DEPTH_MAX {
        rows.push(Row::new(path, Err("its folders lie too deep".to_owned())));
        return;
    }
    match json["tagType"].as_str() {
        Some("AtomicTag") => {
            let outcome = tag(json, &path);
            rows.push(Row::new(path.clone(), outcome));
        }
        Some("UdtType") => {
            let why = "a definition of a type, not a tag".to_owned();
            rows.push(Row::new(path, Err(why)));
            return;
        }
        _ => {}
    }
    for inner in json["tags"].as_array().into_iter().flatten() {
        walk(inner, &path, depth + 1, rows);
    }
}

fn tag(json: &Json, path: &str) -> Result<Tag, String> {
    match json["valueSource"].as_str() {
        Some("opc") => {}
        Some(other) => return Err(format!("its value comes from {other:?}, not over OPC")),
        None => return Err("it does not say where its value comes from".to_owned()),
    }
    let item = match &json["opcItemPath"] {
        Json::String(item) => item.as_str(),
        // In a type's instance it is bound to the instance's parameters.
        bound => bound["binding"].as_str().unwrap_or_default(),
    };
    if item.contains('{') {
        return Err(format!(
            "its path {item:?} has parameters of a type: export the tags with their paths resolved"
        ));
    }
    if !(item.starts_with("ns=") || item.starts_with("nsu=")) {
        return Err(format!("its path {item:?} is not an OPC UA node id"));
    }
    let mut tag = Tag::default();
    for key in ["documentation", "tooltip"] {
        if let Some(note) = json[key].as_str().filter(|note| !note.is_empty()) {
            tag.note(note);
        }
    }
    tag.text("name", path);
    tag.text("node", item);
    if let Some(unit) = json["engUnit"].as_str().filter(|unit| !unit.is_empty()) {
        tag.text("unit", unit);
    }
    scaling(json, &mut tag)?;
    // Without a mode it is absolute.
    let is_absolute = matches!(json["deadbandMode"].as_str(), None | Some("Absolute"));
    if let Some(deadband) = json["deadband"].as_f64().filter(|band| *band > 0.0) {
        match is_absolute {
            true => tag.set("deadband", Value::Float(deadband)),
            false => tag.note(format!("dead-band there: {deadband} % of its range")),
        }
    }
    Ok(tag)
}

fn scaling(json: &Json, tag: &mut Tag) -> Result<(), String> {
    match json["scaleMode"].as_str() {
        None | Some("Off") => return Ok(()),
        Some("Linear") => {}
        Some(other) => return Err(format!("scaling {other:?} is not taken over")),
    }
    let number = |key: &str, default: f64| json[key].as_f64().unwrap_or(default);
    let (raw_low, raw_high) = (number("rawLow", 0.0), number("rawHigh", 10.0));
    let (low, high) = (number("scaledLow", 0.0), number("scaledHigh", 10.0));
    if raw_low == raw_high {
        return Err("linear scaling over an empty range".to_owned());
    }
    let scale = (high - low) / (raw_high - raw_low);
    tag.set("scale", Value::Float(scale));
    let offset = low - scale * raw_low;
    if offset != 0.0 {
        tag.set("offset", Value::Float(offset));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    #[test]
    fn atomic_tags_over_opc_are_taken_over_and_the_others_are_named() {
        let list = r#"{"name": "", "tagType": "Provider", "tags": [
            {"name": "Pumps", "tagType": "Folder", "tags": [
                {"name": "Speed", "tagType": "AtomicTag", "valueSource": "opc", "dataType": "Float4",
                 "opcItemPath": "ns=1;s=[Pump1]HR100", "engUnit": "rpm", "deadband": 0.5,
                 "scaleMode": "Linear", "rawLow": 0, "rawHigh": 1000, "scaledLow": 10, "scaledHigh": 60,
                 "documentation": "of the shaft"},
                {"name": "Sum", "tagType": "AtomicTag", "valueSource": "expr", "expression": "1"},
                {"name": "Temp", "tagType": "AtomicTag", "valueSource": "opc", "deadbandMode": "Percent", "deadband": 2,
                 "opcItemPath": {"bindType": "parameter", "binding": "ns=1;s=[{Device}]T"}},
                {"name": "Old", "tagType": "AtomicTag", "valueSource": "opc", "opcItemPath": "[Pump1]HR100"}
            ]},
            {"name": "Motor", "tagType": "UdtType", "tags": [{"name": "X", "tagType": "AtomicTag"}]}
        ]}"#;
        let rows = read(list).unwrap();
        let text = |row: &Row| match &row.outcome {
            Outcome::Tag(tag) => format!("{}: {}", row.place, tag.toml().replace('\n', ";")),
            Outcome::LeftOut(why) => format!("{}: {why}", row.place),
        };
        assert_eq!(
            rows.iter().map(text).collect::<Vec<_>>(),
            [
                "Pumps/Speed: [[connector.tag]];# of the shaft;name = \"Pumps/Speed\";node = \"ns=1;s=[Pump1]HR100\";unit = \"rpm\";scale = 0.05;offset = 10.0;deadband = 0.5;",
                "Pumps/Sum: its value comes from \"expr\", not over OPC",
                "Pumps/Temp: its path \"ns=1;s=[{Device}]T\" has parameters of a type: export the tags with their paths resolved",
                "Pumps/Old: its path \"[Pump1]HR100\" is not an OPC UA node id",
                "Motor: a definition of a type, not a tag",
            ]
        );
        for bad in ["[]", "{}", "x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
