//! `forebay reload`: has a running gateway read its configuration again, and says what that changed.

use std::{fmt::Write as _, process::ExitCode};

use serde_json::Value as Json;

use crate::{
    config::Config,
    control::{self, Request},
    out,
    place::Place,
};

pub(crate) async fn run(place: &Place) -> anyhow::Result<ExitCode> {
    // What is wrong in the file is said here, with its places.
    let config = Config::load(place)?;
    let mut answers = control::ask(&config.gateway.data_dir, &Request::Reload).await?;
    while let Some(answer) = answers.next().await? {
        out::print(told(&answer)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn told(answer: &Json) -> Result<String, std::fmt::Error> {
    let mut told = String::new();
    for (key, what) in [
        ("added", "started"),
        ("changed", "restarted"),
        ("removed", "stopped"),
        ("draining", "waiting for room in the spool"),
    ] {
        for name in answer[key].as_array().into_iter().flatten() {
            writeln!(told, "{what}: connector {name}")?;
        }
    }
    writeln!(told, "unchanged: {} connectors", answer["unchanged"])?;
    for table in answer["at_next_start"].as_array().into_iter().flatten() {
        let table = table.as_str().unwrap_or_default();
        writeln!(told, "at the next start: [{table}]")?;
    }
    Ok(told)
}
