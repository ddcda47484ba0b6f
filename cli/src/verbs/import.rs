//! `forebay import FILE`.

use std::{
    io::{IsTerminal as _, stderr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use forebay_compactor::{
    Decimal, DeviceSource, Encoding, ImportOutcome, ImportProgress, ImportSpec, OnExisting,
    QualityCodes, QualityColumn, TagSource, TimeFormat, import_watched,
};
use forebay_schemas::{DeviceId, SiteId};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;

use crate::{clock::now, config::Config, place::Place, store::Store};

/// How much is shown of a text value.
const EXAMPLE_CHARS: usize = 60;

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("device_source").required(true))]
pub(crate) struct Args {
    /// CSV with a header, also compressed with gzip (.csv.gz), or Parquet (.parquet). The same content again, compressed or not, with the same options
    /// and site, adds nothing; a file that has changed or grown is another one, see --on-existing. Blanks around a cell do not
    /// count, and a blank cell is no reading.
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
    /// The zone of times that name none, such as Europe/Amsterdam. In the hour that clocks repeat, the order of rows tells which
    /// pass is meant; a time in the hour that they skip is quarantined.
    #[arg(long, value_name = "Z", default_value = "UTC")]
    time_zone: String,
    /// Between fields.
    #[arg(long, value_name = "CHAR", default_value = ",")]
    separator: String,
    /// Only these columns; all but those that are named otherwise unless given.
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        conflicts_with = "tag_column"
    )]
    tags: Option<Vec<String>>,
    /// The long form: each row is one reading, and this column names its tag.
    #[arg(long, value_name = "COL", requires = "value_column")]
    tag_column: Option<String>,
    /// The column with the value, in the long form.
    #[arg(long, value_name = "COL", requires = "tag_column")]
    value_column: Option<String>,
    /// The column with the unit of a row's values.
    #[arg(long, value_name = "COL")]
    unit_column: Option<String>,
    /// The column with the quality of a row's values: words that begin with good, uncertain, questionable or bad; or numbers, see
    /// --quality-codes. A blank one is good.
    #[arg(long, value_name = "COL")]
    quality_column: Option<String>,
    /// What numbers in the quality column mean.
    #[arg(long, value_enum, requires = "quality_column")]
    quality_codes: Option<Codes>,
    /// Cells that stand for no value, such as "NaN,Bad,-9999": they become readings of bad quality.
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    null: Vec<String>,
    /// The encoding of a CSV file, such as windows-1252 or utf-16le; UTF-8, or what its byte order mark says, unless given.
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// The site of all readings; the gateway's unless given.
    #[arg(long, value_name = "S")]
    site: Option<String>,
    /// What parts a number's fraction: . or , (then a point or a blank parts thousands).
    #[arg(long, value_name = "CHAR", default_value = ".")]
    decimal: String,
    /// Rows below the header that are no readings, such as one of units.
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip_rows: u64,
    /// What becomes of a reading whose series and time are there already from another import.
    #[arg(long, value_enum, default_value_t = Existing::Keep)]
    on_existing: Existing,
}

#[derive(Clone, Copy, ValueEnum)]
enum Existing {
    /// Both are kept, and said.
    Keep,
    /// The one that is there is kept, this one is left out.
    Skip,
}

#[derive(Clone, Copy, ValueEnum)]
enum Codes {
    /// OPC DA's: 192 is good, 0 is bad. What most historians export.
    OpcDa,
    /// OPC UA's StatusCode: 0 is good.
    OpcUa,
    /// Forebay's: 0 good, 1 uncertain, 2 bad.
    Forebay,
}

impl From<Codes> for QualityCodes {
    fn from(codes: Codes) -> Self {
        match codes {
            Codes::OpcDa => Self::OpcDa,
            Codes::OpcUa => Self::OpcUa,
            Codes::Forebay => Self::Forebay,
        }
    }
}

impl Args {
    /// Parquet says itself how its values are written.
    fn check_parquet(&self) -> anyhow::Result<()> {
        let is_parquet = self
            .file
            .extension()
            .is_some_and(|extension| extension == "parquet");
        for (option, is_given) in [
            ("--separator", self.separator != ","),
            ("--decimal", self.decimal != "."),
            ("--encoding", self.encoding.is_some()),
            ("--skip-rows", self.skip_rows > 0),
        ] {
            ensure!(
                !(is_parquet && is_given),
                "{option} is for CSV; {} is Parquet",
                self.file.display()
            );
        }
        Ok(())
    }

    fn tag_source(&mut self) -> TagSource {
        match (self.tag_column.take(), self.value_column.take()) {
            (Some(tag), Some(value)) => TagSource::Rows { tag, value },
            _ => TagSource::Columns(self.tags.take()),
        }
    }

    fn spec(mut self, gateway_site: &SiteId) -> anyhow::Result<ImportSpec> {
        self.check_parquet()?;
        let tags = self.tag_source();
        let encoding = match &self.encoding {
            None => None,
            Some(label) => Some(Encoding::for_label(label.as_bytes()).with_context(|| {
                format!("--encoding {label:?}: a name such as windows-1252 is expected")
            })?),
        };
        let separator = match self.separator.as_bytes() {
            [byte] => *byte,
            _ if self.separator == "\\t" => b'\t',
            _ => bail!(
                "--separator {:?}: one ASCII character is expected, or \\t",
                self.separator
            ),
        };
        let decimal = match self.decimal.as_str() {
            "." => Decimal::Point,
            "," => Decimal::Comma,
            other => bail!("--decimal {other:?}: \".\" or \",\" is expected"),
        };
        let device = match (self.device, self.device_column) {
            (Some(device), _) => DeviceSource::Fixed(DeviceId::new(&device).context("--device")?),
            (None, Some(column)) => DeviceSource::Column(column),
            (None, None) => bail!("--device or --device-column is needed"),
        };
        let time_zone = TimeZone::get(&self.time_zone).with_context(|| {
            format!(
                "--time-zone {:?}: a name such as Europe/Amsterdam is expected",
                self.time_zone
            )
        })?;
        let site = self
            .site
            .as_deref()
            .map(SiteId::new)
            .transpose()
            .context("--site")?;
        Ok(ImportSpec {
            site: site.unwrap_or_else(|| gateway_site.clone()),
            device,
            time_column: self.time,
            time_format: self
                .time_format
                .as_deref()
                .map(TimeFormat::parse)
                .unwrap_or_default(),
            time_zone,
            separator,
            tags,
            unit_column: self.unit_column,
            quality: self.quality_column.map(|column| QualityColumn {
                column,
                codes: self.quality_codes.map(QualityCodes::from),
            }),
            nulls: self.null,
            encoding,
            decimal,
            skip_rows: self.skip_rows,
            on_existing: match self.on_existing {
                Existing::Keep => OnExisting::Keep,
                Existing::Skip => OnExisting::Skip,
            },
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
    let lake = Store::of(&config).writer().await?;
    let bar = bar();
    let watch = |ImportProgress { rows, of }| {
        bar.set_length(of);
        bar.set_position(rows);
    };
    let outcome = import_watched(
        &spec,
        &config.gateway.id,
        &lake,
        &config.compactor.windows,
        now()?,
        &watch,
    )
    .await;
    bar.finish_and_clear();
    let outcome = outcome?;
    tell(&spec, &outcome);
    Ok(ExitCode::SUCCESS)
}

/// Rows read so far, on a terminal.
fn bar() -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} rows, {eta} left");
    match (stderr().is_terminal(), style) {
        (true, Ok(style)) => ProgressBar::no_length().with_style(style),
        _ => ProgressBar::hidden(),
    }
}

/// What was done, and whatever of it somebody should look at.
fn tell(spec: &ImportSpec, outcome: &ImportOutcome) {
    eprintln!(
        "{}: {} rows, {} readings committed, {} were there before, {} rows quarantined",
        spec.file.display(),
        outcome.rows,
        outcome.committed,
        outcome.readings - outcome.committed,
        outcome.quarantined
    );
    if outcome.existing > 0 {
        let (existing, id) = (outcome.existing, outcome.id);
        match spec.on_existing {
            OnExisting::Keep => eprintln!(
                "WARNING: {existing} of these readings have a series and time that another import has already brought: both \
                 are kept and count twice; `forebay imports undo {id}` takes this import back, and --on-existing skip then \
                 brings only what is new"
            ),
            OnExisting::Skip => eprintln!(
                "{existing} readings were skipped: another import has already brought their series and time"
            ),
        }
    }
    if outcome.repeated_by_order + outcome.repeated_undecided > 0 {
        eprintln!(
            "{} rows lie in an hour that clocks repeat: the order of rows told which pass is meant; {} more are taken for the \
             first pass, as their order does not tell",
            outcome.repeated_by_order, outcome.repeated_undecided
        );
    }
    if let Some((cells, line)) = outcome.broken_over {
        eprintln!(
            "{cells} quoted cells contain line breaks, the first starts on line {line}: is its quote intended?"
        );
    }
    for (tag, note) in &outcome.texts {
        eprintln!(
            "{tag}: {} of its values are text, such as {:?}",
            note.count,
            shortened(&note.example)
        );
        if let Some(comma) = &note.comma {
            eprintln!(
                "{tag}: --decimal \",\" reads {:?} as a number",
                shortened(comma)
            );
        }
    }
    for (tag, (count, why)) in &outcome.no_numbers {
        eprintln!(
            "{tag}: {count} of its readings are bad, the first as {}",
            shortened(why)
        );
    }
    for (reason, rows) in &outcome.bad {
        eprintln!("{rows} rows quarantined: {reason}");
    }
    if let Some((row, why)) = &outcome.first_bad {
        eprintln!(
            "row {row} is the first in quarantine: {why}; `forebay query \"select * from quarantine\"` shows all"
        );
    }
}
