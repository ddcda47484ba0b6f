//! `forebay jobs models`: trained models and where they stand.

use std::process::ExitCode;

use forebay_jobs::{Model, ModelState, model_card, models, set_model_state};

use crate::{
    clock::{now, rfc3339},
    config::Config,
    out,
    store::Store,
};

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// The models of all jobs, or of one.
    List {
        /// A job's name.
        job: Option<String>,
    },
    /// The figures of a job's models in use, as tables for a model card.
    Card {
        /// The job's name.
        job: String,
    },
    /// Make a model the champion of its job; the one that was is retired.
    Promote {
        /// The job's name.
        job: String,
        /// The model, as `jobs models list` prints it.
        version: String,
    },
    /// Take a model out of use.
    Retire {
        /// The job's name.
        job: String,
        /// The model, as `jobs models list` prints it.
        version: String,
    },
}

pub(super) async fn run(config: &Config, verb: Verb) -> anyhow::Result<ExitCode> {
    let (job, version, state) = match verb {
        Verb::List { job } => {
            let lake = Store::of(config).writer().await?;
            return print(&models(&lake, job.as_deref()).await?);
        }
        Verb::Card { job } => {
            let name = config.jobs.named(&job)?.spec.name.clone();
            let lake = Store::of(config).writer().await?;
            out::print(model_card(&lake, name.as_str()).await?)?;
            return Ok(ExitCode::SUCCESS);
        }
        Verb::Promote { job, version } => (job, version, ModelState::Champion),
        Verb::Retire { job, version } => (job, version, ModelState::Retired),
    };
    let name = config.jobs.named(&job)?.spec.name.clone();
    let lake = Store::of(config).writer().await?;
    print(&set_model_state(&lake, &name, &version, state, now()?).await?)
}

fn print(models: &[Model]) -> anyhow::Result<ExitCode> {
    for model in models {
        let row = &model.row;
        let site = row.site.as_ref().map_or("-", |site| site.as_str());
        let device = row.device.as_ref().map_or("-", |device| device.as_str());
        out::print(format!(
            "{}  {}  {}  {site}  {device}  trained {}  on {} to {}  {}\n",
            model.job,
            row.version,
            row.state.name(),
            rfc3339(row.trained_at),
            rfc3339(row.train_from),
            rfc3339(row.train_to),
            row.metrics
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
