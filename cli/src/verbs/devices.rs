//! `forebay devices`: how each device of a running gateway does.

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
    /// One object a line, with every tag that is not good.
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
        text("link"),
        text("last"),
        device["latency_ms"]
            .as_f64()
            .map_or("-".to_owned(), latency),
        device["connector_samples_per_s"].to_string(),
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
    format!("{} {}: {}", text("tag"), text("quality"), text("reason"))
}
