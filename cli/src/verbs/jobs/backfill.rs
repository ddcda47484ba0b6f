//! `forebay jobs backfill NAME`: the times or windows of a job that have passed.

use std::{io, process::ExitCode, sync::Arc, time::Duration};

use anyhow::bail;
use forebay_jobs::{BackfillSpec, BackfillStart, BackfillWatch, Fire, Results, Sink, backfill};
use tokio::time::Instant;

use super::{exit_code, json_lines, time_of};
use crate::{clock::clock, config::Config, out, store::Store};

/// How often the progress is said.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// So many fires that are held back are named.
const HELD_BACK_NAMED: usize = 3;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its name in the configuration.
    name: String,
    /// From this time on: RFC 3339, or a date or time on the clock of the job's time zone.
    #[arg(long, value_name = "T", required_unless_present = "missing")]
    from: Option<String>,
    /// Before this time; now unless given.
    #[arg(long, value_name = "T")]
    to: Option<String>,
    /// From the job's first run on: what has no run, was amended since, or failed.
    #[arg(long)]
    missing: bool,
    /// Print what is found and write nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(config: Config, args: Args) -> anyhow::Result<ExitCode> {
    let job = &config.jobs.named(&args.name)?.spec;
    let time = |text: &Option<String>| text.as_deref().map(|text| time_of(text, job)).transpose();
    let to = time(&args.to)?;
    let start = match time(&args.from)? {
        Some(from) if to.is_some_and(|to| to <= from) => bail!("--to is not after --from"),
        Some(from) => BackfillStart::At(from),
        None => BackfillStart::FirstRun,
    };
    let sink = if args.dry_run {
        Sink::Caller
    } else {
        Sink::Lake
    };
    let path = config.jobs_path();
    let lake = Arc::new(Store::of(&config).writer().await?);
    let spec = BackfillSpec {
        name: args.name.clone(),
        start,
        to,
        sink,
    };
    let mut lines = Lines {
        job: args.name,
        sink,
        total: 0,
        rows: 0,
        held_back: 0,
        said: Instant::now(),
        printed: Ok(()),
    };
    let report = backfill(
        Arc::new(config.jobs),
        lake,
        &path,
        clock(),
        &spec,
        &mut lines,
    );
    let report = report.await?;
    std::mem::replace(&mut lines.printed, Ok(()))?;
    eprintln!(
        "{} fires succeeded, {} failed{}, {} rows{}",
        report.succeeded,
        report.failed,
        lines.held_back_in_words(),
        report.rows,
        if report.is_cancelled {
            ", cancelled"
        } else {
            ""
        }
    );
    let is_incomplete = report.failed > 0 || report.held_back > 0 || report.is_cancelled;
    Ok(exit_code(is_incomplete))
}

/// Progress on stderr, results of a dry run on stdout.
struct Lines {
    job: String,
    sink: Sink,
    total: usize,
    rows: usize,
    held_back: usize,
    said: Instant,
    /// The first error of printing.
    printed: io::Result<()>,
}

impl Lines {
    fn held_back_in_words(&self) -> String {
        match self.held_back {
            0 => String::new(),
            fires => format!(", {fires} held back"),
        }
    }
}

impl BackfillWatch for Lines {
    fn begins(&mut self, total: usize, done_before: usize) {
        self.total = total;
        eprintln!("{}: {total} fires to run", self.job);
        if done_before > 0 {
            eprintln!("{}: {done_before} fires have run before", self.job);
        }
    }

    fn ran(&mut self, fire: &Fire, results: &Results, done: usize) {
        self.rows += results.rows();
        if self.sink == Sink::Caller && self.printed.is_ok() {
            self.printed = json_lines(&self.job, results)
                .map_err(io::Error::other)
                .and_then(out::print);
        }
        if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            let (job, total, rows) = (&self.job, self.total, self.rows);
            eprintln!(
                "{job}: {done} of {total} fires, {rows} rows, at {}",
                fire.key
            );
        }
    }

    fn failed(&mut self, fire: &Fire, why: &str) {
        eprintln!("{}: {} failed: {why}", self.job, fire.key);
    }

    fn held_back(&mut self, fire: &Fire, why: &str) {
        // Those after it are held back for the same reason, most of the time.
        if self.held_back < HELD_BACK_NAMED {
            eprintln!("{}: {} is held back: {why}", self.job, fire.key);
        }
        self.held_back += 1;
    }
}
