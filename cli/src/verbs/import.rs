//! `forebay import FILE`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use forebay_compactor::{DeviceSource, ImportSpec, TimeFormat, import};
use forebay_schemas::{DeviceId, SiteId};
use jiff::tz::TimeZone;

use crate::{clock::now, config::Config, place::Place, store::Store};

/// How much is shown of a text value.
const EXAMPLE_CHARS: usize = 40;

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("device_source").required(true))]
pub(crate) struct Args {
    /// CSV with a header, also compressed with gzip (.csv.gz). The same bytes again, with the same options, site and gateway,
    /// add nothing; a file that has changed or grown is another one, and all of its rows come in.
    file: PathBuf,
    /// The device of all rows.
    #[arg(long, value_name = "D", group = "device_source")]
    device: Option<String>,
    /// The column that names the device.
    #[arg(long, value_name = "COL", group = "device_source")]
    device_column: Option<String>,
    /// The column with the event time.
    #[arg(long, value_name = "COL")]
    time: String,
    /// s, ms, us or ns for numbers since 1970 UTC, else strptime's letters; RFC 3339 unless given.
    #[arg(long, value_name = "F")]
    time_format: Option<String>,
    /// The zone of times that name none, such as Europe/Amsterdam.
    #[arg(long, value_name = "Z", default_value = "UTC")]
    time_zone: String,
    /// Between fields.
    #[arg(long, value_name = "CHAR", default_value = ",")]
    separator: String,
    /// Only these columns; all but the time's and the device's unless given.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    tags: Option<Vec<String>>,
    /// The site of all readings; the gateway's unless given.
    #[arg(long, value_name = "S")]
    site: Option<String>,
}

impl Args {
    fn spec(self, gateway_site: &SiteId) -> anyhow::Result<ImportSpec> {
        let name = self.file.to_string_lossy();
        if name.ends_with(".parquet") {
            bail!("{name}: this release imports CSV only");
        }
        let separator = match self.separator.as_bytes() {
            [byte] => *byte,
            _ if self.separator == "\\t" => b'\t',
            _ => bail!("--separator {:?}: one ASCII character is expected, or \\t", self.separator),
        };
        let device = match (self.device, self.device_column) {
            (Some(device), _) => DeviceSource::Fixed(DeviceId::new(&device).context("--device")?),
            (None, Some(column)) => DeviceSource::Column(column),
            (None, None) => bail!("--device or --device-column is needed"),
        };
        let time_zone = TimeZone::get(&self.time_zone).with_context(|| {
            format!("--time-zone {:?}: a name such as Europe/Amsterdam is expected", self.time_zone)
        })?;
        let site = self.site.as_deref().map(SiteId::new).transpose().context("--site")?;
        Ok(ImportSpec {
            site: site.unwrap_or_else(|| gateway_site.clone()),
            device,
            time_column: self.time,
            time_format: self.time_format.as_deref().map(TimeFormat::parse).unwrap_or_default(),
            time_zone,
            separator,
            tags: self.tags,
            file: self.file,
        })
    }
}

/// As much of a text as a line has room for.
fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(EXAMPLE_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

pub(crate) async fn run(place: &Place, args: Args) -> anyhow::Result<ExitCode> {
    let config = Config::load(place)?;
    let spec = args.spec(&config.gateway.site)?;
    let lake = Store::of(&config)?.writer().await?;
    let outcome = import(&spec, &config.gateway.id, &lake, &config.lake.windows, now()?).await?;
    let earlier = outcome.readings - outcome.committed;
    eprintln!(
        "{}: {} rows, {} readings committed, {earlier} were there before, {} rows quarantined",
        spec.file.display(),
        outcome.rows,
        outcome.committed,
        outcome.quarantined
    );
    for (tag, (count, example)) in &outcome.texts {
        eprintln!("{tag}: {count} of its values are text, such as {:?}", shortened(example));
    }
    if let Some((row, why)) = outcome.first_bad {
        eprintln!(
            "row {row} is the first in quarantine: {why}; `forebay query \"select * from quarantine\"` shows all"
        );
    }
    Ok(ExitCode::SUCCESS)
}
