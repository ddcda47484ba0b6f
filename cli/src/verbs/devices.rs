//! `forebay devices`: how each device of a running gateway does, and each connector of which no device is known yet.

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::Value as Json;

use crate::{
    config::Config,
    control::{self, Request},
    out,
    place::Place,
};

/// Tags that are not good and stand in a line for people.
const SHOWN_MAX: usize = 3;
/// Letters of a reason in a line for people; whole reasons stand in JSON.
const REASON_CHARS_MAX: usize = 60;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One object a line, with every tag that is not good and whole reasons.
    Json,
}

pub(crate) async fn run(place: &Place, args: &Args) -> anyhow::Result<ExitCode> {
    let mut answers = control::ask(&Config::data_dir(place)?, &Request::Devices).await?;
    let mut devices = Vec::new();
    while let Some(device) = answers.next().await? {
        devices.push(device);
    }
    let told: String = match args.format {
        Format::Json => devices.iter().map(|device| format!("{device}\n")).collect(),
        Format::Table => table(&devices),
    };
    out::print(told)?;
    Ok(ExitCode::SUCCESS)
}

fn table(devices: &[Json]) -> String {
    let header = [
        "device",
        "connector",
        "link",
        "last reading",
        "latency",
        "samples/s",
        "tags",
        "not good",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(devices.iter().map(row));
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        })
        .collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn row(device: &Json) -> [String; 8] {
    let text = |key: &str| device[key].as_str().unwrap_or("-").to_owned();
    let not_good = device["not_good"].as_array().map_or(&[][..], Vec::as_slice);
    let named: Vec<String> = not_good.iter().take(SHOWN_MAX).map(tag).collect();
    let more = match not_good.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    [
        text("device"),
        text("connector"),
        cut(&text("link")),
        text("last"),
        device["latency_ms"]
            .as_f64()
            .map_or("-".to_owned(), latency),
        device["connector_samples_per_s"]
            .as_f64()
            .map_or("-".to_owned(), |rate| format!("{rate:.1}")),
        device["tags"].to_string(),
        format!("{}{more}", named.join("; ")),
    ]
}

/// A time for people.
fn latency(millis: f64) -> String {
    match millis.abs() {
        ..10.0 => format!("{millis:.1} ms"),
        ..10_000.0 => format!("{millis:.0} ms"),
        ..600_000.0 => format!("{:.0} s", millis / 1e3),
        ..36_000_000.0 => format!("{:.0} min", millis / 6e4),
        _ => format!("{:.0} h", millis / 3.6e6),
    }
}

fn tag(of: &Json) -> String {
    let text = |key: &str| of[key].as_str().unwrap_or_default();
    let reason = cut(text("reason"));
    format!("{} {}: {reason}", text("tag"), text("quality"))
}

/// A reason as it fits into a line.
fn cut(reason: &str) -> String {
    match reason.char_indices().nth(REASON_CHARS_MAX) {
        Some((at, _)) => format!("{}…", reason[..at].trim_end()),
        None => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_reasons_are_cut_and_a_connector_without_a_device_is_a_line() {
        let long = "é".repeat(REASON_CHARS_MAX + 1);
        let devices = [
            json!({"connector": "cells", "device": null, "link": long, "tags": 0, "last": null, "latency_ms": null,
                   "connector_samples_per_s": null, "not_good": []}),
            json!({"connector": "press", "device": "press-3", "link": "up", "tags": 4, "last": "2026-11-29T16:02:11.412Z",
                   "latency_ms": 14.2, "connector_samples_per_s": 4.0,
                   "not_good": [{"tag": "force", "quality": "bad", "reason": long}]}),
        ];
        let told = table(&devices);
        let cells: Vec<Vec<&str>> = told
            .lines()
            .skip(1)
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        let shown = format!("{}…", "é".repeat(REASON_CHARS_MAX));
        let bad = format!("force bad: {shown}");
        assert_eq!(
            cells,
            [
                vec!["-", "cells", &shown, "-", "-", "-", "0"],
                vec![
                    "press-3",
                    "press",
                    "up",
                    "2026-11-29T16:02:11.412Z",
                    "14 ms",
                    "4.0",
                    "4",
                    &bad
                ],
            ]
        );
    }
}
