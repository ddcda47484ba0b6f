//! `forebay metrics`: every metric that a running Forebay has, for dashboards and alerts.

use std::{fmt::Write as _, process::ExitCode};

use clap::ValueEnum;
use forebay_telemetry::{Metric, names::ALL};

use crate::out;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for each metric: its name for Prometheus, its type, its labels, and what it means.
    Text,
    /// The reference page.
    Markdown,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    out::print(match args.format {
        Format::Text => text(),
        Format::Markdown => markdown(),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn text() -> String {
    let named = |metric: &Metric| {
        format!(
            "{}{{{}}}",
            metric.prometheus_name(),
            metric.labels.join(",")
        )
    };
    let width = ALL
        .iter()
        .map(|metric| named(metric).len())
        .max()
        .unwrap_or(0);
    let mut lines = String::new();
    for metric in ALL {
        let (name, kind) = (named(metric), metric.kind.name());
        // Writing to a text cannot fail.
        let _infallible = writeln!(lines, "{name:<width$}  {kind:<7}  {}", metric.help);
    }
    lines
}

fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Printed by `forebay metrics --format markdown`. They are exported by OTLP under their OpenTelemetry names, and shown for\n\
         Prometheus under the others ([configuration](configuration.md), `[telemetry]`). Counters count from the start of the process.\n\
         Metrics of a role that does not run here are 0 or not there.\n\n\
         | OpenTelemetry | Prometheus | Type | Labels | What it is |\n|---|---|---|---|---|\n",
    );
    for metric in ALL {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let _infallible = writeln!(
            page,
            "| `{}` | `{}` | {} | {} | {} |",
            metric.name,
            metric.prometheus_name(),
            metric.kind.name(),
            labels.join(", "),
            metric.help
        );
    }
    page
}
