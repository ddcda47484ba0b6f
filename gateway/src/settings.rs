//! The edge's part of the configuration: `[gateway]`, `[spool]`, `[[connector]]`.

use std::{
    collections::BTreeSet,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use forebay_config::{Describe as _, Table};
use forebay_connectors::{Connector, ConnectorKind, Context, NAME};
use forebay_schemas::{GatewayId, SiteId};
use forebay_stream::local::{Limits, OnFull};

use crate::{
    clock_skew::ClockSkew,
    filter::Filter,
    keys::{
        self, CONNECTOR, DATA_DIR, EXCLUDE, GATEWAY, ID, INCLUDE, KIND, LANES, MAX_AGE, MAX_BYTES,
        ON_FULL, SITE, SPOOL, STEP, TAG,
    },
    lanes::Lanes,
    rule::Rule,
    step_settings,
    steps::StepSettings,
};

const LANES_MAX: u32 = 64;
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// A spool is cut into at least this many segments, so that room comes back in small steps.
const SEGMENTS: u64 = 16;

/// `[gateway]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    /// The gateway's name in every reading.
    pub id: GatewayId,
    /// The site of its devices.
    pub site: SiteId,
    /// Where it keeps everything.
    pub data_dir: PathBuf,
    /// Its lanes.
    pub lanes: Lanes,
}

/// `[spool]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolSettings {
    /// Room of each lane.
    pub limits: Limits,
}

/// One `[[connector]]`.
pub struct Source {
    /// Its name, unique.
    pub name: String,
    /// Speaks to the devices.
    pub connector: Box<dyn Connector>,
    /// One for each `[[connector.tag]]`.
    pub rules: Vec<Rule>,
    /// Which series are taken.
    pub filter: Filter,
    /// The same as long as its `[[connector]]` and all of `[[step]]` say the same.
    pub fingerprint: u64,
    /// How far its devices' clocks may be off.
    pub skew: ClockSkew,
    /// `[[step]]`, the same for all.
    pub steps: StepSettings,
}

/// Everything that the edge needs to know.
pub struct EdgeSettings {
    /// `[gateway]`.
    pub gateway: GatewaySettings,
    /// `[spool]`.
    pub spool: SpoolSettings,
    /// `[[connector]]`.
    pub sources: Vec<Source>,
}

/// Reads `[gateway]`; everything in it has a default.
pub fn gateway(root: &mut Table<'_>, default_data_dir: &Path) -> Option<GatewaySettings> {
    let one = Lanes(NonZeroU32::MIN);
    let id = GatewayId::new(keys::LOCAL).ok()?;
    let site = SiteId::new(keys::LOCAL).ok()?;
    let Some(mut table) = root.table(&GATEWAY) else {
        return Some(GatewaySettings {
            id,
            site,
            data_dir: default_data_dir.to_owned(),
            lanes: one,
        });
    };
    let lanes = NonZeroU32::new(table.read(&LANES))
        .filter(|lanes| lanes.get() <= LANES_MAX)
        .map(Lanes);
    if lanes.is_none() {
        table.problem(&LANES, format!("1 to {LANES_MAX} lanes are expected"));
    }
    let settings = GatewaySettings {
        id: table.read(&ID).unwrap_or(id),
        site: table.read(&SITE).unwrap_or(site),
        data_dir: table
            .read(&DATA_DIR)
            .unwrap_or_else(|| default_data_dir.to_owned()),
        lanes: lanes.unwrap_or(one),
    };
    table.finish();
    Some(settings)
}

/// Reads `[spool]`; everything in it has a default.
pub fn spool(root: &mut Table<'_>) -> Option<SpoolSettings> {
    let Some(mut table) = root.table(&SPOOL) else {
        return limits(MAX_BYTES.default().0, ON_FULL.default())
            .ok()
            .map(|limits| SpoolSettings { limits });
    };
    let max_bytes = table.read(&MAX_BYTES);
    let on_full = table.read(&ON_FULL);
    table.read(&MAX_AGE);
    let limits = limits(max_bytes.0, on_full);
    if let Err(error) = &limits {
        table.problem(
            &MAX_BYTES,
            format!("{error}; 1MiB is the least that is of use"),
        );
    }
    table.finish();
    limits.ok().map(|limits| SpoolSettings { limits })
}

fn limits(bytes_max: u64, on_full: OnFull) -> Result<Limits, forebay_stream::StreamError> {
    let segment = (bytes_max / SEGMENTS).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
    Limits::new(bytes_max, segment, on_full)
}

/// Reads every `[[connector]]`, each by the kind that it names, and the `[[step]]`s for all of them.
pub fn connectors(
    root: &mut Table<'_>,
    kinds: &[&dyn ConnectorKind],
    context: &Context,
) -> Vec<Source> {
    let words: Vec<(&str, usize)> = kinds
        .iter()
        .enumerate()
        .map(|(i, kind)| (kind.name(), i))
        .collect();
    let of_steps = root.fingerprints().remove(STEP.name());
    let steps = step_settings::read(root);
    let mut names = BTreeSet::new();
    let mut sources = Vec::new();
    for mut table in root.tables(&CONNECTOR) {
        if !table.has(&KIND) {
            let all: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
            table.problem(
                &KIND,
                format!("missing; one of {} is expected", all.join(", ")),
            );
        }
        let kind = table.one_of(&KIND, &words);
        let name = table.read(&NAME);
        if let Some(name) = &name
            && !names.insert(name.clone())
        {
            table.problem(
                &NAME,
                format!("there are two connectors {name:?}: give each its own name"),
            );
        }
        let filter = filter(&mut table);
        let fingerprint = table.fingerprint() ^ of_steps.unwrap_or_default();
        let skew = ClockSkew {
            ahead_max: Some(table.read(&keys::CLOCK_SKEW_MAX)),
            behind_max: table.read(&keys::READING_AGE_MAX),
        };
        let mut tags = table.tables(&TAG);
        let mut rules: Vec<Rule> = tags.iter_mut().map(Rule::read).collect();
        // Without a kind nobody knows which of the other keys are right.
        let Some(kind) = kind.map(|kind| kinds[kind]) else {
            continue;
        };
        let own = kind.keys();
        // A connector that has the key compares the device's raw values itself; what it hands over may be scaled.
        if own.tag.lists(&keys::INVALID) {
            rules.iter_mut().for_each(|rule| rule.invalid.clear());
        }
        table.also(&own.connector);
        tags.iter_mut().for_each(|tag| tag.also(&own.tag));
        let connector = kind.configure(&mut table, &mut tags, context);
        tags.into_iter().for_each(Table::finish);
        table.finish();
        if let (Some(name), Some(connector), Some(filter)) = (name, connector, filter) {
            sources.push(Source {
                name,
                connector,
                rules,
                filter,
                fingerprint,
                skew,
                steps: steps.clone(),
            });
        }
    }
    sources
}

fn filter(table: &mut Table<'_>) -> Option<Filter> {
    let include = table.read(&INCLUDE);
    let exclude = table.read(&EXCLUDE);
    match Filter::new(&include, &exclude) {
        Ok(filter) => Some(filter),
        Err(error) => {
            let is_of_exclude = error
                .glob()
                .is_some_and(|glob| exclude.iter().any(|other| other == glob));
            let key = if is_of_exclude { &EXCLUDE } else { &INCLUDE };
            table.problem(key, error.to_string());
            None
        }
    }
}
