//! What a running gateway answers.

use forebay_gateway::{Changes, DeviceReport, Fate, Stage, Tapped, TappedRaw, TappedValue};
use forebay_schemas::{Quality, Status, Value};
use serde_json::{Value as Json, json};

use crate::{clock::rfc3339_millis, hex::hex};

pub(super) fn of_device(report: &DeviceReport, rate: Option<f64>) -> Json {
    let not_good: Vec<Json> = report
        .not_good
        .iter()
        .map(|of| {
            let mut shown = of_status(&of.status);
            shown["tag"] = json!(of.tag.as_str());
            shown
        })
        .collect();
    json!({
        "connector": report.connector,
        "device": report.device.as_str(),
        "link": report.link.as_deref().unwrap_or("up"),
        "tags": report.tags,
        "last": report.last.map(rfc3339_millis),
        "latency_ms": report.latency_micros.map(|micros| micros as f64 / 1e3),
        "connector_samples_per_s": rate,
        "not_good": not_good,
    })
}

pub(super) fn of_tapped(tapped: &Tapped) -> Json {
    match tapped {
        Tapped::Raw(tapped) => of_payload(tapped),
        Tapped::Value(tapped) => of_passing(tapped),
    }
}

fn of_payload(tapped: &TappedRaw) -> Json {
    let raw = &tapped.raw;
    let mut shown = json!({
        "stage": "raw",
        "connector": &*tapped.connector,
        "from": raw.from,
        "bytes": raw.payload_bytes,
    });
    match std::str::from_utf8(&raw.payload) {
        Ok(text) if !text.contains(char::is_control) => shown["text"] = json!(text),
        _ => shown["hex"] = json!(hex(&raw.payload)),
    }
    shown
}

fn of_passing(tapped: &TappedValue) -> Json {
    let mut shown = of_status(&tapped.status);
    shown["stage"] = json!(stage_name(tapped.stage));
    shown["connector"] = json!(&*tapped.connector);
    shown["device"] = json!(tapped.device.as_str());
    shown["tag"] = json!(tapped.tag.as_str());
    shown["event_time"] = json!(tapped.event_time.map(rfc3339_millis));
    shown["value"] = tapped.value.as_ref().map_or(Json::Null, of_value);
    shown["unit"] = json!(tapped.unit);
    let fate = match tapped.fate {
        Fate::GoesOn => None,
        Fate::LeftOut => Some("left out"),
        Fate::Held => Some("held back"),
    };
    if let Some(fate) = fate {
        shown["fate"] = json!(fate);
    }
    shown
}

/// `scale` of the tag's own steps, `2.scale` of the second `[[step]]`.
fn stage_name(stage: Stage) -> String {
    match stage {
        Stage::Decoded => "decoded".to_owned(),
        Stage::Reading => "reading".to_owned(),
        Stage::Step(place) if place.table == 0 => place.step.to_owned(),
        Stage::Step(place) => format!("{}.{}", place.table, place.step),
    }
}

pub(super) fn of_changes(changes: &Changes, later: &[String]) -> Json {
    json!({
        "added": changes.added,
        "changed": changes.changed,
        "removed": changes.removed,
        "draining": changes.draining,
        "unchanged": changes.unchanged,
        "at_next_start": later,
    })
}

pub(super) fn of_error(error: &str) -> Json {
    json!({"error": error})
}

fn of_status(status: &Status) -> Json {
    json!({
        "quality": match status.quality {
            Quality::Good => "good",
            Quality::Uncertain => "uncertain",
            Quality::Bad => "bad",
        },
        "code": status.code,
        "reason": status.reason,
    })
}

fn of_value(value: &Value) -> Json {
    match value {
        Value::F64(value) => json!(value),
        Value::I64(value) => json!(value),
        Value::U64(value) => json!(value),
        Value::Bool(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!(hex(bytes)),
    }
}
