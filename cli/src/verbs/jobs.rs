//! `forebay jobs`: what is scheduled, what ran, runs by hand, and runs of times that have passed.

mod backfill;
mod graph;
mod models;
mod show;

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};
use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
    json,
};
use forebay_jobs::{JobSpec, Results, RunState, run_dry, run_now};
use forebay_schemas::Timestamp;

use crate::{clock::clock, config::Config, out, place::Place, store::Store};

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Every job, when it runs next and how its latest runs ended.
    List,
    /// A job's configuration, its next times and its latest runs.
    Show {
        /// Its name in the configuration.
        name: String,
    },
    /// A job's runs with what they noted, the newest last.
    Logs {
        /// Its name in the configuration.
        name: String,
        /// How many runs.
        #[arg(long, default_value_t = 20, value_name = "N")]
        last: u32,
    },
    /// Which job hands on to which, and the windows and times that are done, late, failed or missing.
    Graph(graph::Args),
    /// Run a job now and wait for its end.
    Run {
        /// Its name in the configuration.
        name: String,
        /// Run it as of this time: readings from it on are not seen.
        #[arg(long, value_name = "T")]
        at: Option<String>,
        /// Print what it finds and write nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Run the times or windows of a job that have passed, each as of its own time.
    Backfill(backfill::Args),
    /// Cancel what waits or runs of a job, or one run of it.
    Cancel {
        /// A job's name, or a run's id as `jobs logs` prints it.
        what: String,
    },
    /// Trained models.
    #[command(subcommand)]
    Models(models::Verb),
}

pub(crate) async fn run(place: &Place, verb: Verb) -> anyhow::Result<ExitCode> {
    let config = Config::load(place)?;
    match verb {
        Verb::List => show::list(&config).await,
        Verb::Show { name } => show::show(&config, &name).await,
        Verb::Logs { name, last } => show::logs(&config, &name, last).await,
        Verb::Graph(args) => graph::run(&config, &args).await,
        Verb::Run { name, at, dry_run } => by_hand(config, &name, at.as_deref(), dry_run).await,
        Verb::Backfill(args) => backfill::run(config, args).await,
        Verb::Cancel { what } => show::cancel(&config, &what).await,
        Verb::Models(verb) => models::run(&config, verb).await,
    }
}

async fn by_hand(
    config: Config,
    name: &str,
    at: Option<&str>,
    dry_run: bool,
) -> anyhow::Result<ExitCode> {
    // Nothing is made for a job that is not there.
    let spec = &config.jobs.named(name)?.spec;
    let at = at.map(|at| time_of(at, spec)).transpose()?;
    let path = config.jobs_path();
    let lake = Arc::new(Store::of(&config).writer().await?);
    let jobs = Arc::new(config.jobs);
    if dry_run {
        for (_, outcome) in run_dry(jobs, lake, clock(), name, at).await? {
            out::print(json_lines(name, &outcome.results)?)?;
            if let Some(note) = outcome.note {
                eprintln!("{note}");
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let runs = run_now(jobs, lake, &path, clock(), name, at).await?;
    out::print(show::run_lines(&runs))?;
    let failed = runs.iter().any(|run| run.state != RunState::Succeeded);
    Ok(exit_code(failed))
}

fn exit_code(failed: bool) -> ExitCode {
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// An instant, or a date or time on the clock of the job's time zone.
fn time_of(text: &str, job: &JobSpec) -> anyhow::Result<Timestamp> {
    in_zone(text, job.zone_name())
}

/// An instant, or a date or time in UTC.
fn instant(text: &str) -> anyhow::Result<Timestamp> {
    in_zone(text, "UTC")
}

fn in_zone(text: &str, zone: &str) -> anyhow::Result<Timestamp> {
    let at = match text.parse::<jiff::Timestamp>() {
        Ok(at) => at,
        Err(_) => local_time(text, zone)?,
    };
    let nanos = i64::try_from(at.as_nanosecond()).context("the time is after the year 2262")?;
    Ok(Timestamp::from_nanos(nanos))
}

fn local_time(text: &str, zone: &str) -> anyhow::Result<jiff::Timestamp> {
    let zone = jiff::tz::TimeZone::get(zone)?;
    let local = match text.parse::<jiff::civil::DateTime>() {
        Ok(local) => local,
        Err(_) => match text.parse::<jiff::civil::Date>() {
            Ok(day) => day.at(0, 0, 0, 0),
            Err(_) => bail!(
                "{text:?} is no time: 2026-07-01T00:00:00Z, 2026-07-01T00:00 or 2026-07-01 is expected"
            ),
        },
    };
    Ok(local.to_zoned(zone)?.timestamp())
}

/// Rows that are not written, one object a line, each with its table.
fn json_lines(job: &str, results: &Results) -> anyhow::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for (table, rows) in results.batches(job, "dry-run")? {
        let named = StringArray::from_iter_values(std::iter::repeat_n(table.name, rows.num_rows()));
        let mut fields = vec![Arc::new(Field::new("table", DataType::Utf8, false))];
        fields.extend(rows.schema().fields().iter().cloned());
        let mut columns: Vec<ArrayRef> = vec![Arc::new(named)];
        columns.extend(rows.columns().iter().cloned());
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let mut writer = json::LineDelimitedWriter::new(&mut lines);
        writer.write(&rows)?;
        writer.finish()?;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_an_offset_is_the_clock_of_the_jobs_zone() {
        for (text, expected) in [
            ("2013-07-01", "2013-06-30T14:00:00Z"),
            ("2013-12-31T00:30", "2013-12-30T13:30:00Z"),
            ("2013-07-01T00:00:00Z", "2013-07-01T00:00:00Z"),
            ("2013-07-01T00:00:00+02:00", "2013-06-30T22:00:00Z"),
        ] {
            let found = in_zone(text, "Australia/Melbourne").unwrap();
            assert_eq!(found, instant(expected).unwrap(), "{text}");
        }
        assert!(instant("yesterday").is_err());
    }
}
