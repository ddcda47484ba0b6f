//! `forebay browse`: what is in a device or server, for a person who writes a configuration.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use forebay_config::Document;
use forebay_modbus::{Survey, SurveyError};
use forebay_opcua::{BrowseOptions, Server};

use crate::{clock::clock, config::Config, out, place::Place};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// opc.tcp://host:4840 for an OPC UA server; modbus://host, tcp://, rtu+tcp://, tls:// or serial:// for a Modbus device.
    url: String,
    /// OPC UA: only variables whose path below Objects fits one of these globs, such as "Press/*" or "**/Temperature".
    globs: Vec<String>,
    /// OPC UA: levels below Objects.
    #[arg(long, default_value_t = 10)]
    depth: usize,
    /// OPC UA: at most so many variables.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    items: usize,
    /// OPC UA: the name of a `[[connector]]` of the configuration that says how to sign in at this server.
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// Modbus: the table; may be given more than once.
    #[arg(long, value_name = "TABLE", default_values_t = ["holding".to_owned(), "input".to_owned()])]
    register: Vec<String>,
    /// Modbus: addresses, first and last.
    #[arg(long, value_name = "FIRST-LAST", default_value = "0-999", value_parser = range)]
    addresses: (u16, u16),
    #[command(flatten)]
    line: Line,
}

/// How a Modbus device is reached.
#[derive(clap::Args)]
pub(super) struct Line {
    /// Modbus: the unit identifier.
    #[arg(long, default_value_t = 1, value_name = "ID")]
    unit: u8,
    /// Modbus: at most so many requests a second.
    #[arg(long, default_value_t = 10.0, value_name = "N")]
    rate: f64,
    /// Modbus: the longest wait for a reply, in milliseconds.
    #[arg(long, default_value_t = 1000, value_name = "MS")]
    timeout: u64,
    /// Modbus: bits per second of a serial line.
    #[arg(long, default_value_t = 19200)]
    baud_rate: u32,
    /// Modbus: parity of a serial line: none, even or odd.
    #[arg(long, default_value = "even")]
    parity: String,
}

/// `0-999`.
fn range(text: &str) -> Result<(u16, u16), String> {
    let parsed = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)));
    parsed
        .filter(|(first, last)| first <= last)
        .ok_or_else(|| "two addresses such as 0-999 are expected".to_owned())
}

impl Line {
    pub(super) fn survey(self, url: &str) -> anyhow::Result<Survey> {
        ensure!(
            self.rate > 0.0 && self.rate.is_finite(),
            "--rate: more than 0 is expected"
        );
        Ok(Survey {
            url: url.to_owned(),
            unit: self.unit,
            timeout: Duration::from_millis(self.timeout),
            rate: self.rate,
            baud_rate: self.baud_rate,
            parity: self.parity,
            ..Survey::default()
        })
    }
}

pub(crate) async fn run(place: &Place, args: Args) -> anyhow::Result<ExitCode> {
    if args.url.starts_with("opc.tcp://") {
        return opcua(place, args).await;
    }
    let (first, last) = args.addresses;
    let ranges: Vec<_> = args
        .register
        .iter()
        .map(|register| (register.clone(), first..=last))
        .collect();
    let survey = args.line.survey(&args.url)?;
    told(forebay_modbus::browse(&survey, &ranges, &mut io::stdout()).await)
}

/// What was asked for wrongly is a fault of usage.
pub(super) fn told<T>(outcome: Result<T, SurveyError>) -> anyhow::Result<ExitCode> {
    match outcome {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(asked @ SurveyError::Asked(_)) => {
            eprintln!("forebay: {asked}");
            Ok(ExitCode::from(2))
        }
        Err(error) => Err(error.into()),
    }
}

async fn opcua(place: &Place, args: Args) -> anyhow::Result<ExitCode> {
    let server = server(place, &args)?;
    let options = BrowseOptions {
        globs: args.globs,
        depth: args.depth,
        items_max: args.items,
    };
    let mut found = Vec::new();
    let browsed = forebay_opcua::browse(&server, &options, clock(), &mut found).await?;
    out::print(found)?;
    eprintln!(
        "{} variables of {} nodes{}",
        browsed.variables,
        browsed.visited,
        if browsed.is_cut {
            ", cut by a limit: --items, --depth or globs say what else to look at"
        } else {
            ""
        }
    );
    Ok(ExitCode::SUCCESS)
}

/// The server of a connector of the configuration, or one without encryption.
fn server(place: &Place, args: &Args) -> anyhow::Result<Server> {
    let data_dir = Config::data_dir(place)?;
    match &args.connector {
        Some(name) => configured(place, name, &data_dir),
        None => {
            let text = format!(
                "[[connector]]\nname = \"browse\"\nkind = \"opcua\"\ndevice = \"device\"\nurl = {:?}\nsecurity = \"None\"\n",
                args.url
            );
            let file = PathBuf::from("the command line");
            let document = Document::new(&file, &text, &|_| None);
            Ok(document.read(|root| {
                let mut tables = root.tables(&forebay_gateway::CONNECTOR);
                let mut table = tables.pop()?;
                table.also(forebay_opcua::CONNECTOR);
                Server::read(&mut table, &mut [], &data_dir)
            })?)
        }
    }
}

/// The server of a connector of the configuration; the rest of the file may be wrong.
fn configured(place: &Place, name: &str, data_dir: &Path) -> anyhow::Result<Server> {
    let found = Config::connector(place, |root| {
        let mut tables = root.tables(&forebay_gateway::CONNECTOR);
        let at = tables
            .iter_mut()
            .position(|table| table.read(&forebay_connectors::NAME).as_deref() == Some(name))?;
        let mut table = tables.swap_remove(at);
        table.also(forebay_opcua::CONNECTOR);
        Server::read(&mut table, &mut [], data_dir)
    })?;
    found.with_context(|| format!("there is no [[connector]] of the name {name:?}"))
}
