//! What a running gateway answers.

use std::{collections::BTreeSet, sync::Arc};

use forebay_gateway::{
    Changes, DeviceReport, Fate, SourceStatus, Stage, Tapped, TappedRaw, TappedValue,
};
use forebay_schemas::{Quality, Status, Value};
use serde_json::{Value as Json, json};

use crate::{clock::rfc3339_millis, hex::hex};

/// Each device of each connector, and each connector of which no device is known yet, in the order of the connectors' names.
pub(super) fn of_devices(
    reports: &[DeviceReport],
    sources: &[(String, Arc<SourceStatus>)],
    rate: impl Fn(&str) -> Option<f64>,
) -> Vec<Json> {
    let with_devices: BTreeSet<&str> = reports
        .iter()
        .map(|report| report.connector.as_str())
        .collect();
    let mut shown: Vec<(&str, Json)> = reports
        .iter()
        .map(|report| {
            let connector = report.connector.as_str();
            (connector, of_device(report, rate(connector)))
        })
        .collect();
    for (name, status) in sources {
        if !with_devices.contains(name.as_str()) {
            shown.push((name.as_str(), of_connector(name, status, rate(name))));
        }
    }
    // Stable: the devices of one connector stay in their order.
    shown.sort_by_key(|(name, _)| *name);
    shown.into_iter().map(|(_, shown)| shown).collect()
}

fn of_device(report: &DeviceReport, rate: Option<f64>) -> Json {
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

/// A connector of which no device is known yet.
fn of_connector(name: &str, status: &SourceStatus, rate: Option<f64>) -> Json {
    let link = match status.down() {
        Some(reason) => reason,
        None if status.link_is_known() => "up".to_owned(),
        None => "not up yet".to_owned(),
    };
    json!({
        "connector": name,
        "device": null,
        "link": link,
        "tags": 0,
        "last": status.last().map(rfc3339_millis),
        "latency_ms": null,
        "connector_samples_per_s": rate,
        "not_good": [],
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

#[cfg(test)]
mod tests {
    use forebay_schemas::DeviceId;

    use super::*;

    #[test]
    fn a_connector_without_a_device_stands_among_the_devices() {
        let report = |connector: &str, device: &str| DeviceReport {
            connector: connector.to_owned(),
            device: DeviceId::new(device).unwrap(),
            link: None,
            tags: 1,
            last: None,
            latency_micros: None,
            not_good: Vec::new(),
        };
        let reports = [report("a", "d2"), report("c", "d1"), report("c", "d3")];
        let source = |name: &str| (name.to_owned(), Arc::<SourceStatus>::default());
        let sources = ["a", "b", "c", "d"].map(source);
        let shown = of_devices(&reports, &sources, |name| (name == "b").then_some(0.0));
        let lines: Vec<[&Json; 4]> = shown
            .iter()
            .map(|line| {
                ["connector", "device", "link", "connector_samples_per_s"].map(|key| &line[key])
            })
            .collect();
        let expected = json!([
            ["a", "d2", "up", null],
            ["b", null, "not up yet", 0.0],
            ["c", "d1", "up", null],
            ["c", "d3", "up", null],
            ["d", null, "not up yet", null],
        ]);
        assert_eq!(json!(lines), expected);
    }
}
