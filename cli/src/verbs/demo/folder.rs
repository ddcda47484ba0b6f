//! The demo's folder: its configuration, and the history that it starts from.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use forebay_compactor::{
    Decimal, DeviceSource, ImportSpec, OnExisting, TagSource, TimeFormat, import,
};
use forebay_runtime::LockFile;
use forebay_schemas::DeviceId;
use forebay_simulated::{FEEDER, LOAD, Plant, Scenario, configuration, demand_history};
use jiff::tz::TimeZone;

use super::outcome;
use crate::{
    clock::{now, rfc3339},
    config::Config,
    lock::take_role,
    place::CONFIG_FILE,
    store::Store,
};

/// What the demo's configuration says beside the plant's connectors; `<short>`, `<baseline>`, `<seen>` and
/// `<step>` follow its length.
const SETTINGS: &str = include_str!("../../../templates/demo.toml");

/// Recorded hours pass in seconds here, so the pump's job looks at seconds as well.
const SHORT_SHARE: u32 = 9;

/// How far before the readings the report looks: the plant has to start, and jobs end after them.
const BEFORE: Duration = Duration::from_secs(45);

/// Into how many steps the report cuts the readings' time.
const STEPS: u32 = 200;

/// A demo's folder; it can be used again.
pub(super) struct Folder {
    path: PathBuf,
    _lock: LockFile,
}

impl Folder {
    pub(super) fn make(path: PathBuf, plant: &Plant, length: Duration) -> anyhow::Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let lock = take_role(&path, "demo")?;
        let folder = Self { path, _lock: lock };
        folder.check_is_a_demo()?;
        let short = length / SHORT_SHARE;
        let text = SETTINGS
            .replace("<short>", &format!("{}ms", short.as_millis()))
            .replace("<baseline>", &format!("{}ms", (short * 5).as_millis()));
        let text = text
            .replace("<seen>", &(length + BEFORE).as_secs().to_string())
            .replace("<step>", &(length / STEPS).as_millis().max(1).to_string());
        let text = format!("{text}\n{}", configuration(plant));
        fs::write(folder.config(), text)
            .with_context(|| format!("cannot write {}", folder.config().display()))?;
        Ok(folder)
    }

    /// A folder with somebody's own configuration is not the demo's to write to.
    fn check_is_a_demo(&self) -> anyhow::Result<()> {
        let found = fs::read_to_string(self.config()).unwrap_or_default();
        if !found.is_empty() && found.lines().next() != SETTINGS.lines().next() {
            bail!(
                "{} is not the demo's: give --data-dir a folder of its own",
                self.config().display()
            );
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path.join(CONFIG_FILE)
    }

    /// Imports the feeder's past, as `forebay import` would, but what an earlier demo has brought.
    pub(super) async fn import_history(
        &self,
        config: &Config,
        store: &Store,
        scenario: Scenario,
    ) -> anyhow::Result<u64> {
        let lake = store.writer().await?;
        let there = outcome::numbers(store, FEEDER, LOAD).await?;
        let mut history = demand_history(scenario, now()?)?;
        history.retain(|(time, load)| !there.contains(&(time.micros(), load.to_bits())));
        if history.is_empty() {
            return Ok(0);
        }
        let file = self.path.join("feeder-history.csv");
        let mut text = format!("time,{LOAD}\n");
        for (time, load) in history {
            writeln!(text, "{},{load}", rfc3339(time))?;
        }
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let spec = ImportSpec {
            site: config.gateway.site.clone(),
            device: DeviceSource::Fixed(DeviceId::new(FEEDER)?),
            time_column: "time".to_owned(),
            time_format: TimeFormat::default(),
            time_zone: TimeZone::UTC,
            separator: b',',
            tags: TagSource::Columns(None),
            unit_column: None,
            quality: None,
            nulls: Vec::new(),
            encoding: None,
            decimal: Decimal::default(),
            skip_rows: 0,
            on_existing: OnExisting::default(),
            file,
        };
        Ok(import(
            &spec,
            &config.gateway.id,
            &lake,
            &config.compactor.windows,
            now()?,
        )
        .await?
        .committed)
    }
}
