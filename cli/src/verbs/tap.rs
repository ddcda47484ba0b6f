//! `forebay tap`: readings of a running gateway as they pass.

use std::{process::ExitCode, time::Duration};

use clap::ValueEnum;
use serde_json::Value as Json;
use tokio::{select, time::sleep};

use crate::{
    config::Config,
    control::{self, Request, Shown, TapRequest},
    out,
    place::Place,
    signals::stop_on_signal,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these series: globs over device/tag, such as "boiler-*/temp".
    series: Vec<String>,
    /// Where: raw (payloads as they come), decoded, steps (behind each step), one step by its key such as scale, reading (behind
    /// all steps), or all. Decoded and reading unless given.
    #[arg(long, value_name = "STAGE", value_parser = Shown::parse)]
    stage: Option<Shown>,
    /// At most so many lines a second; how many were left out is said in between.
    #[arg(long, value_name = "N", default_value_t = 100)]
    rate: u64,
    /// Stop after so many seconds; at SIGINT unless given.
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

pub(crate) async fn run(place: &Place, args: Args) -> anyhow::Result<ExitCode> {
    let data_dir = Config::data_dir(place)?;
    let request = Request::Tap(TapRequest {
        series: args.series,
        shown: args.stage.unwrap_or_default(),
        rate: args.rate,
    });
    let mut answers = control::ask(&data_dir, &request).await?;
    let stop = stop_on_signal()?;
    let time_is_up = async {
        match args.seconds {
            Some(seconds) => sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(time_is_up);
    loop {
        let answer = select! {
            answer = answers.next() => answer?,
            () = &mut time_is_up => break,
            () = stop.cancelled() => break,
        };
        let Some(answer) = answer else { break };
        out::print(shown(args.format, &answer))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(format: Format, tapped: &Json) -> String {
    match format {
        Format::Json => format!("{tapped}\n"),
        Format::Text => {
            let text = |key: &str| match &tapped[key] {
                Json::Null => String::new(),
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            let left_out = match tapped["left_out_before"].as_u64() {
                Some(count) => format!("({count} left out)\n"),
                None => String::new(),
            };
            let line = match tapped["stage"].as_str() {
                Some("raw") => format!(
                    "{:24} raw      {} {}{}",
                    "",
                    text("from"),
                    text("text"),
                    text("hex")
                ),
                _ => format!(
                    "{:24} {:8} {}/{} {} {} {} {} {}",
                    text("event_time"),
                    text("stage"),
                    text("device"),
                    text("tag"),
                    text("value"),
                    text("unit"),
                    text("quality"),
                    text("fate"),
                    text("reason")
                ),
            };
            format!("{left_out}{}\n", line.trim_end())
        }
    }
}
