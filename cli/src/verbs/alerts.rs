//! `forebay alerts`: what fires, who has taken it up, what nobody is to hear of, and whether routes work.
//!
//! It works beside a `run`: what is shown is the file that `run` writes, and what is asked is left for it.

use std::{collections::BTreeMap, fmt::Write as _, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use forebay_alerts::{
    Book, Delivery, Instance, Request, Route, Sender, Silence, StateFolder, ask, in_words, misfits,
    rfc3339,
};
use forebay_config::{Expanded, FromValue as _};
use forebay_schemas::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    clock::{clock, now},
    config::Config,
    out,
    place::Place,
};

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// The alerts that fire or are about to, silences, and deliveries that wait.
    List(List),
    /// Take an alert up: it is sent no more while it lasts, unless it becomes worse.
    Ack {
        /// The alert, as `alerts list` prints it, or the beginning of its name.
        alert: String,
        /// Who takes it up; the user of this shell unless given.
        #[arg(long, value_name = "WHO")]
        by: Option<String>,
        /// What there is to say about it.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Put an alert aside for a time.
    Shelve {
        /// The alert, as `alerts list` prints it, or the beginning of its name.
        alert: String,
        /// For how long, such as 8h; 0s takes it back.
        #[arg(long = "for", value_name = "D", value_parser = duration)]
        length: Duration,
    },
    /// Silence every alert that fits, also those that are still to come.
    Silence(SilenceArgs),
    /// Send a test over each route and say what came back.
    Test {
        /// Only this route.
        #[arg(long, value_name = "NAME")]
        route: Option<String>,
    },
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// Those that were resolved within the last day, too.
    #[arg(long)]
    all: bool,
    /// How to print them.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(clap::Args)]
pub(crate) struct SilenceArgs {
    /// A label and a glob, such as device=pump-*; alert= and severity= are labels too. All given must fit.
    #[arg(long = "match", value_name = "LABEL=GLOB", value_parser = matcher)]
    matchers: Vec<(String, String)>,
    /// For how long, such as 2h.
    #[arg(long = "for", value_name = "D", value_parser = duration, required_unless_present = "end")]
    length: Option<Duration>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Who asks for it; the user of this shell unless given.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// End this silence.
    #[arg(long, value_name = "ID", conflicts_with_all = ["matchers", "length"])]
    end: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// One object a line.
    Json,
}

pub(crate) async fn run(place: &Place, verb: Verb) -> anyhow::Result<ExitCode> {
    let config = Config::load(place)?;
    let request = match verb {
        Verb::List(args) => return list(&config, &args),
        Verb::Test { route } => return test(&config, route.as_deref()).await,
        Verb::Ack { alert, by, note } => Request::Acknowledge {
            alert,
            by: by.unwrap_or_else(user),
            note,
        },
        Verb::Shelve { alert, length } => {
            let until = (!length.is_zero()).then(|| in_future(length)).transpose()?;
            Request::Shelve { alert, until }
        }
        Verb::Silence(args) => silence(args)?,
    };
    let done = ask(&config.gateway.data_dir, &request, &clock()).await?;
    out::print(done + "\n")?;
    if let Request::Silence { matchers, .. } = &request
        && let Some(why) = misfits(matchers)
    {
        eprintln!("forebay: warning: {why}");
    }
    Ok(ExitCode::SUCCESS)
}

fn silence(args: SilenceArgs) -> anyhow::Result<Request> {
    if let Some(silence) = args.end {
        return Ok(Request::EndSilence { silence });
    }
    let matchers: BTreeMap<String, String> = args.matchers.into_iter().collect();
    Ok(Request::Silence {
        matchers,
        until: in_future(args.length.unwrap_or_default())?,
        by: args.by.unwrap_or_else(user),
        note: args.note,
    })
}

fn matcher(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(label, _)| !label.is_empty());
    let (label, glob) = parts.ok_or("a label and a glob are expected, such as device=pump-*")?;
    Ok((label.to_owned(), glob.to_owned()))
}

/// As the configuration has it, such as 30m or 2d.
fn duration(text: &str) -> Result<Duration, String> {
    Duration::from_value(&Expanded::Text(text.to_owned()))
}

fn in_future(length: Duration) -> anyhow::Result<Timestamp> {
    let nanos = i64::try_from(length.as_nanos()).ok();
    let at = nanos.and_then(|nanos| now().ok()?.nanos().checked_add(nanos));
    Ok(Timestamp::from_nanos(
        at.context("that is after the year 2262")?,
    ))
}

/// Who is at the shell, as the environment has it.
fn user() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"];
    let name = names.iter().find_map(|name| std::env::var(name).ok());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "somebody".to_owned())
}

fn list(config: &Config, args: &List) -> anyhow::Result<ExitCode> {
    let book = StateFolder::new(&config.gateway.data_dir).load()?;
    let at = now()?;
    let shown: Vec<&Instance> = book
        .instances()
        .filter(|instance| args.all || !instance.state.is_resolved())
        .collect();
    let text = match args.format {
        Format::Json => {
            let lines = shown
                .iter()
                .map(|instance| object(instance, at).to_string());
            lines.map(|line| line + "\n").collect()
        }
        Format::Table => table(&book, &shown, at)?,
    };
    out::print(text)?;
    Ok(ExitCode::SUCCESS)
}

fn object(instance: &Instance, at: Timestamp) -> Value {
    let acknowledged = instance.acknowledged.as_ref();
    json!({
        "alert_id": instance.alert_id,
        "alert": instance.rule,
        "state": instance.state.name(),
        "severity": instance.severity.name(),
        "since": rfc3339(instance.state.since()),
        "resolved_at": instance.state.resolved_at().map(rfc3339),
        "summary": instance.summary,
        "labels": instance.labels,
        "acknowledged_by": acknowledged.map(|by| &by.by),
        "note": acknowledged.and_then(|by| by.note.as_ref()),
        "shelved_until": instance.shelved_until.filter(|until| *until > at).map(rfc3339),
    })
}

fn table(book: &Book, shown: &[&Instance], at: Timestamp) -> anyhow::Result<String> {
    let mut text = String::new();
    if shown.is_empty() {
        writeln!(text, "nothing fires")?;
    }
    for instance in shown {
        let (id, severity) = (&instance.alert_id, instance.severity.name());
        let (state, since) = (instance.state.name(), rfc3339(instance.state.since()));
        writeln!(
            text,
            "{id}  {severity:<8}  {state:<8}  {since}  {}: {}{}{}",
            instance.rule,
            instance.summary,
            site(instance),
            marks(instance, book.silences(), at)
        )?;
    }
    for silence in book.silences() {
        let fits: Vec<String> = silence
            .matchers
            .iter()
            .map(|(label, glob)| format!("{label}={glob}"))
            .collect();
        let note = silence.note.as_deref().unwrap_or("no reason given");
        let (fits, until) = (fits.join(" "), rfc3339(silence.until));
        writeln!(
            text,
            "silence {}  {fits}  until {until}  by {}: {note}",
            silence.id, silence.by
        )?;
    }
    for (route, count) in book.waiting().filter(|(_, count)| *count > 0) {
        writeln!(
            text,
            "route {route:?}: {count} deliveries wait for their receiver"
        )?;
    }
    Ok(text)
}

/// The site of an alert that has one: names of devices are unique within a site alone.
fn site(instance: &Instance) -> String {
    let site = instance.labels.get("site");
    site.map_or_else(String::new, |site| format!("  [site {site}]"))
}

/// Why nobody hears of an alert, if that is so.
fn marks(instance: &Instance, silences: &[Silence], at: Timestamp) -> String {
    let mut marks = String::new();
    if let Some(taken) = &instance.acknowledged {
        marks.push_str(&format!("  [acknowledged by {}", taken.by));
        if let Some(note) = &taken.note {
            marks.push_str(&format!(": {note}"));
        }
        marks.push(']');
    }
    if let Some(until) = instance.shelved_until.filter(|until| *until > at) {
        marks.push_str(&format!("  [shelved until {}]", rfc3339(until)));
    }
    if let Some(silence) = silences.iter().find(|one| one.covers(instance, at)) {
        marks.push_str(&format!("  [silenced by {}]", silence.id));
    }
    marks
}

async fn test(config: &Config, only: Option<&str>) -> anyhow::Result<ExitCode> {
    let sender = Sender {
        gateway: config.gateway.id.clone(),
        site: config.gateway.site.clone(),
    };
    let routes: Vec<&Route> = config
        .alerts
        .routes
        .iter()
        .filter(|route| only.is_none_or(|name| route.name == name))
        .collect();
    if routes.is_empty() {
        match only {
            Some(name) => bail!("there is no route {name:?} in the configuration"),
            None => bail!("no [[route]] is configured"),
        }
    }
    let mut code = ExitCode::SUCCESS;
    for route in routes {
        let at = now()?;
        let begun = Instant::now();
        let sent = route
            .try_once(&Delivery::test(&route.name, &sender, at), &sender, at)
            .await;
        let took = begun.elapsed();
        let (name, kind) = (&route.name, route.kind());
        let line = match sent {
            Ok(answer) => format!(
                "{name}  {kind}  delivered in {} ms: {answer}\n",
                took.as_millis()
            ),
            Err(reason) => {
                code = ExitCode::FAILURE;
                format!(
                    "{name}  {kind}  failed after {}: {reason}\n",
                    in_words(took)
                )
            }
        };
        out::print(line)?;
    }
    Ok(code)
}
