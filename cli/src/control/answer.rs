//! What a running gateway answers.

use forebay_gateway::{Changes, DeviceReport, Tapped};
use forebay_schemas::{Quality, Status, Value};
use serde_json::{Value as Json, json};

use super::request::stage_name;
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
        "connector_samples_per_s": rate,
        "not_good": not_good,
    })
}

pub(super) fn of_tapped(tapped: &Tapped) -> Json {
    let mut shown = of_status(&tapped.status);
    shown["stage"] = json!(stage_name(tapped.stage));
    shown["connector"] = json!(&*tapped.connector);
    shown["device"] = json!(tapped.device.as_str());
    shown["tag"] = json!(tapped.tag.as_str());
    shown["event_time"] = json!(tapped.event_time.map(rfc3339_millis));
    shown["value"] = tapped.value.as_ref().map_or(Json::Null, of_value);
    shown["unit"] = json!(tapped.unit);
    shown
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
