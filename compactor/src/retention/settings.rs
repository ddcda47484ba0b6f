//! What `[retention]` says.

use std::{sync::Arc, time::Duration};

use forebay_config::{Defaulted, Optional, Table};
use forebay_lake::ExpiryRule;
use forebay_schemas::{
    SiteId, Timestamp,
    table::{self, EVENTS, READINGS_1H, READINGS_1M},
};

use super::{keys, limit, pattern::NamePattern};

/// The shortest time for which anything is kept.
const KEEP_MIN: Duration = Duration::from_secs(3_600);

/// How long rows are kept; by default for ever.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RetentionSettings {
    readings: Option<Duration>,
    readings_1m: Option<Duration>,
    readings_1h: Option<Duration>,
    events: Option<Duration>,
    rules: Vec<RetentionRule>,
}

/// How long the readings of some series are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct RetentionRule {
    sites: NamePattern,
    devices: NamePattern,
    tags: NamePattern,
    keep: Duration,
}

impl RetentionSettings {
    /// Reads `[retention]`. Notes what is wrong in the table, and answers `None` then.
    pub fn read(table: &mut Table<'_>) -> Option<Self> {
        let mut is_sound = true;
        let mut kept = |table: &mut Table<'_>, key: &Optional<Duration>| {
            let found = table.read(key);
            if found.is_some_and(|keep| keep < KEEP_MIN) {
                table.problem(key, "at least \"1h\" is expected");
                is_sound = false;
            }
            found
        };
        let readings = kept(table, &keys::READINGS);
        let readings_1m = kept(table, &keys::READINGS_1M);
        let readings_1h = kept(table, &keys::READINGS_1H);
        let events = kept(table, &keys::EVENTS);
        let mut rules = Vec::new();
        for mut of_rule in table.tables(&keys::RULE) {
            let rule = RetentionRule::read(&mut of_rule);
            of_rule.finish();
            is_sound &= rule.is_some();
            rules.extend(rule);
        }
        is_sound.then_some(Self {
            readings,
            readings_1m,
            readings_1h,
            events,
            rules,
        })
    }

    /// Whether anything is ever deleted.
    pub fn deletes(&self) -> bool {
        let kept = [
            self.readings,
            self.readings_1m,
            self.readings_1h,
            self.events,
        ];
        kept.iter().any(Option::is_some) || !self.rules.is_empty()
    }

    /// Whether rows of a table are ever deleted.
    pub(super) fn deletes_of(&self, table: &table::Table) -> bool {
        let is_of_readings = table.name == table::READINGS.name;
        self.keep_of(table).is_some() || (is_of_readings && !self.rules.is_empty())
    }

    fn keep_of(&self, table: &table::Table) -> Option<Duration> {
        match table.name {
            name if name == READINGS_1M.name => self.readings_1m,
            name if name == READINGS_1H.name => self.readings_1h,
            _ => self.readings,
        }
    }

    /// Before which time events began that are too old, and by which rule; `None` where they are kept for ever.
    pub(super) fn of_events(&self, now: Timestamp) -> Option<(String, i64)> {
        let keep = self.events?;
        Some((format!("{}, {}", EVENTS.name, text(keep)), limit(keep, now)))
    }

    /// The rules for a table and site, in order.
    pub(super) fn rules_of(
        &self,
        table: &table::Table,
        site: &SiteId,
        now: Timestamp,
    ) -> Vec<ExpiryRule> {
        let mut rules = Vec::new();
        if table.name == table::READINGS.name {
            let of_site = self
                .rules
                .iter()
                .filter(|rule| rule.sites.fits(site.as_str()));
            rules.extend(of_site.map(|rule| rule.expiry(now)));
        }
        let keep = self.keep_of(table);
        rules.push(ExpiryRule {
            rule: keep.map_or_else(String::new, |keep| {
                format!("{}, {}", table.name, text(keep))
            }),
            fits: Arc::new(|_, _| true),
            before: keep.map(|keep| limit(keep, now)),
        });
        rules
    }
}

impl RetentionRule {
    fn read(table: &mut Table<'_>) -> Option<Self> {
        let sites = pattern(table, &keys::SITES);
        let devices = pattern(table, &keys::DEVICES);
        let tags = pattern(table, &keys::TAGS);
        let keep = table.read(&keys::KEEP)?;
        if keep < KEEP_MIN {
            table.problem(&keys::KEEP, "at least \"1h\" is expected");
            return None;
        }
        Some(Self {
            sites: sites?,
            devices: devices?,
            tags: tags?,
            keep,
        })
    }

    fn expiry(&self, now: Timestamp) -> ExpiryRule {
        let (devices, tags) = (self.devices.clone(), self.tags.clone());
        ExpiryRule {
            rule: self.shown(),
            fits: Arc::new(move |device, tag| devices.fits(device) && tags.fits(tag)),
            before: Some(limit(self.keep, now)),
        }
    }

    /// For people: which series, and how long.
    fn shown(&self) -> String {
        let named = [
            ("sites", &self.sites),
            ("devices", &self.devices),
            ("tags", &self.tags),
        ];
        let mut text = String::from("rule");
        for (name, pattern) in named {
            let shown = pattern.shown();
            if !shown.is_empty() {
                text.push_str(&format!(" {name} {shown}"));
            }
        }
        format!("{text}, {}", self::text(self.keep))
    }
}

fn pattern(table: &mut Table<'_>, key: &Defaulted<Vec<String>>) -> Option<NamePattern> {
    match NamePattern::new(table.read(key)) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            table.problem(key, error.to_string());
            None
        }
    }
}

/// A time for which something is kept, in its largest whole unit.
fn text(keep: Duration) -> String {
    let seconds = keep.as_secs();
    match seconds {
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ => format!("{seconds}s"),
    }
}
