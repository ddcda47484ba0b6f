//! `forebay jobs`: what is scheduled, what ran, and a run by hand.

use std::{process::ExitCode, sync::Arc};

use forebay_jobs::{JobStatus, RunState, RunSummary};

use crate::{
    clock::{clock, rfc3339},
    config::Config,
    out,
    place::Place,
    store::Store,
};

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Every job, when it runs next and how its latest runs ended.
    List,
    /// Run a job now and wait for its end.
    Run {
        /// Its name in the configuration.
        name: String,
    },
}

pub(crate) async fn run(place: &Place, verb: Verb) -> anyhow::Result<ExitCode> {
    let config = Config::load(place)?;
    let path = config.jobs_path();
    match verb {
        Verb::List => {
            for job in forebay_jobs::list(&config.jobs, &path, &clock()).await? {
                out::print(job_lines(&job))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Verb::Run { name } => {
            // Nothing is made for a job that is not there.
            config.jobs.named(&name)?;
            let lake = Arc::new(Store::of(&config).writer().await?);
            let runs =
                forebay_jobs::run_now(Arc::new(config.jobs), lake, &path, clock(), &name).await?;
            out::print(run_lines(&runs))?;
            let failed = runs.iter().any(|run| run.state != RunState::Succeeded);
            Ok(if failed {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            })
        }
    }
}

fn job_lines(job: &JobStatus) -> String {
    let next = job.next.map_or_else(|| "-".to_owned(), rfc3339);
    format!(
        "{}  {}  {}  next {next}\n{}",
        job.name,
        job.kind,
        job.trigger,
        run_lines(&job.runs)
    )
}

fn run_lines(runs: &[RunSummary]) -> String {
    let line = |run: &RunSummary| {
        let note = run.message.as_deref().unwrap_or_default();
        format!(
            "  {}  {}  {} attempts  {note}\n",
            run.fire_key, run.state, run.attempts
        )
    };
    runs.iter().map(line).collect()
}
