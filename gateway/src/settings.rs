//! The edge's part of the configuration: `[gateway]`, `[spool]`, `[[connector]]`.

use std::{
    collections::BTreeSet,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use forebay_config::{Bytes, Table};
use forebay_connectors::{Connector, ConnectorKind, Context};
use forebay_schemas::{GatewayId, SiteId};
use forebay_stream::local::{Limits, OnFull};

use crate::{filter::Filter, lanes::Lanes, rule::Rule};

const LANES_MAX: u32 = 64;
const SPOOL_BYTES: u64 = 2 << 30;
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
    let local = "local";
    let one = Lanes(NonZeroU32::MIN);
    let (id, site) = (GatewayId::new(local).ok()?, SiteId::new(local).ok()?);
    let Some(mut table) = root.table("gateway") else {
        return Some(GatewaySettings { id, site, data_dir: default_data_dir.to_owned(), lanes: one });
    };
    let lanes = table.or("lanes", 1);
    let lanes = NonZeroU32::new(lanes).filter(|lanes| lanes.get() <= LANES_MAX).map(Lanes);
    if lanes.is_none() {
        table.problem("lanes", format!("1 to {LANES_MAX} lanes are expected"));
    }
    let settings = GatewaySettings {
        id: table.or("id", id),
        site: table.or("site", site),
        data_dir: table.path("data_dir").unwrap_or_else(|| default_data_dir.to_owned()),
        lanes: lanes.unwrap_or(one),
    };
    table.finish();
    Some(settings)
}

/// Reads `[spool]`; everything in it has a default.
pub fn spool(root: &mut Table<'_>) -> Option<SpoolSettings> {
    let Some(mut table) = root.table("spool") else {
        return limits(SPOOL_BYTES, OnFull::Block).ok().map(|limits| SpoolSettings { limits });
    };
    let Bytes(bytes_max) = table.or("max_bytes", Bytes(SPOOL_BYTES));
    let on_full = table.choice("on_full", &[("block", OnFull::Block), ("drop_oldest", OnFull::DropOldest)]);
    if table.has("max_age") {
        table.problem(
            "max_age",
            "this release keeps readings until they are sent or max_bytes is reached: remove the key",
        );
    }
    let limits = limits(bytes_max, on_full.unwrap_or(OnFull::Block));
    if let Err(error) = &limits {
        table.problem("max_bytes", format!("{error}; 1MiB is the least that is of use"));
    }
    table.finish();
    limits.ok().map(|limits| SpoolSettings { limits })
}

fn limits(bytes_max: u64, on_full: OnFull) -> Result<Limits, forebay_stream::StreamError> {
    let segment = (bytes_max / SEGMENTS).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
    Limits::new(bytes_max, segment, on_full)
}

/// Reads every `[[connector]]`, each by the kind that it names.
pub fn connectors(root: &mut Table<'_>, kinds: &[&dyn ConnectorKind], context: &Context) -> Vec<Source> {
    let words: Vec<(&str, usize)> = kinds.iter().enumerate().map(|(i, kind)| (kind.name(), i)).collect();
    let mut names = BTreeSet::new();
    let mut sources = Vec::new();
    for mut table in root.tables("connector") {
        if !table.has("kind") {
            let all: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
            table.problem("kind", format!("missing; one of {} is expected", all.join(", ")));
        }
        let kind = table.choice("kind", &words);
        let name: Option<String> = table.required("name");
        if let Some(name) = &name
            && !names.insert(name.clone())
        {
            table.problem("name", format!("there are two connectors {name:?}: give each its own name"));
        }
        let filter = filter(&mut table);
        let mut tags = table.tables("tag");
        let rules = tags.iter_mut().map(Rule::read).collect();
        // Without a kind nobody knows which of the other keys are right.
        let Some(kind) = kind else { continue };
        let connector = kinds[kind].configure(&mut table, &mut tags, context);
        tags.into_iter().for_each(Table::finish);
        table.finish();
        if let (Some(name), Some(connector), Some(filter)) = (name, connector, filter) {
            sources.push(Source { name, connector, rules, filter });
        }
    }
    sources
}

fn filter(table: &mut Table<'_>) -> Option<Filter> {
    let include: Vec<String> = table.or("include", Vec::new());
    let exclude: Vec<String> = table.or("exclude", Vec::new());
    match Filter::new(&include, &exclude) {
        Ok(filter) => Some(filter),
        Err(error) => {
            let key =
                if error.glob().is_some_and(|glob| exclude.iter().any(|e| e == glob)) { "exclude" } else { "include" };
            table.problem(key, error.to_string());
            None
        }
    }
}
