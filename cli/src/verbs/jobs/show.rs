//! `forebay jobs list|show|logs|cancel`: what is scheduled and what ran.

use std::process::ExitCode;

use forebay_jobs::{JobStatus, RunSummary, Trigger};

use super::exit_code;
use crate::{
    clock::{clock, rfc3339},
    config::Config,
    out,
};

/// Times of a schedule that `show` names.
const NEXT_TIMES: usize = 5;

pub(super) async fn list(config: &Config) -> anyhow::Result<ExitCode> {
    for job in forebay_jobs::list(&config.jobs, &config.jobs_path(), &clock()).await? {
        out::print(job_lines(&job))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(config: &Config, name: &str) -> anyhow::Result<ExitCode> {
    let spec = &config.jobs.named(name)?.spec;
    let clock = clock();
    let statuses = forebay_jobs::list(&config.jobs, &config.jobs_path(), &clock).await?;
    let mut lines = vec![
        format!("name        {}", spec.name),
        format!("kind        {}", spec.kind),
        format!("trigger     {}", spec.trigger),
        format!("after       {}", joined(&spec.after)),
        format!("on_late     {}", spec.on_late.name()),
        format!("catch_up    {}", spec.catch_up.name()),
        format!("priority    {}", spec.priority),
        format!("retries     {}", spec.retries),
        format!("timeout     {:?}", spec.timeout),
    ];
    if let Some(least) = spec.completeness_min {
        lines.push(format!("completeness_min {least}"));
    }
    if let Trigger::Cron(schedule) = &spec.trigger {
        let times =
            std::iter::successors(schedule.next_after(clock()), |at| schedule.next_after(*at));
        for at in times.take(NEXT_TIMES) {
            lines.push(format!("next        {}", rfc3339(at)));
        }
    }
    out::print(lines.join("\n") + "\n")?;
    for status in statuses.iter().filter(|status| status.name == spec.name) {
        out::print(waits(status) + &run_lines(&status.runs))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn logs(config: &Config, name: &str, last: u32) -> anyhow::Result<ExitCode> {
    let spec = &config.jobs.named(name)?.spec;
    let mut runs = forebay_jobs::runs(&config.jobs_path(), &spec.name, last).await?;
    runs.reverse();
    for run in &runs {
        out::print(log_lines(run))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn cancel(config: &Config, what: &str) -> anyhow::Result<ExitCode> {
    let path = config.jobs_path();
    let cancelled = forebay_jobs::cancel(&config.jobs, &path, what).await?;
    let backfill = if cancelled.backfill {
        ", and its back-fill ends after the fire under way"
    } else {
        ""
    };
    eprintln!("{} runs are cancelled{backfill}", cancelled.runs);
    Ok(exit_code(cancelled.runs == 0 && !cancelled.backfill))
}

fn joined<T: ToString>(names: &[T]) -> String {
    if names.is_empty() {
        return "-".to_owned();
    }
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn job_lines(job: &JobStatus) -> String {
    let next = job.next.map_or_else(|| "-".to_owned(), rfc3339);
    let head = format!("{}  {}  {}  next {next}\n", job.name, job.kind, job.trigger);
    head + &waits(job) + &run_lines(&job.runs)
}

/// What is late, and a back-fill under way.
fn waits(job: &JobStatus) -> String {
    let mut lines = String::new();
    if let Some(since) = job.waits_since {
        lines.push_str(&format!(
            "  late: waits to start since {}\n",
            rfc3339(since)
        ));
    }
    if let Some(backfill) = job.backfill {
        lines.push_str(&format!(
            "  back-fill: {} of {} fires, since {}\n",
            backfill.done,
            backfill.total,
            rfc3339(backfill.started_at)
        ));
    }
    lines
}

pub(super) fn run_lines(runs: &[RunSummary]) -> String {
    let line = |run: &RunSummary| {
        let note = run.message.as_deref().unwrap_or_default();
        format!(
            "  {}  {}  {} attempts  {note}\n",
            run.fire_key, run.state, run.attempts
        )
    };
    runs.iter().map(line).collect()
}

fn log_lines(run: &RunSummary) -> String {
    let time = |at: Option<_>| at.map_or_else(|| "-".to_owned(), rfc3339);
    let rows = run.rows.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let head = format!(
        "{}  {}  {}  {} attempts  {} to {}  {rows} rows\n",
        run.run_id,
        run.fire_key,
        run.state,
        run.attempts,
        time(run.started_at),
        time(run.finished_at)
    );
    match &run.message {
        Some(message) => format!("{head}  {message}\n"),
        None => head,
    }
}
