//! `[alerts]`, `[[alert]]` and `[[route]]`: read, and made into rules and routes.

mod routes;

use std::{collections::BTreeSet, time::Duration};

use forebay_config::{Describe, Key, Table};
use globset::{Glob, GlobSet, GlobSetBuilder};

use self::routes::route;
pub use self::routes::route_kinds;
use crate::{
    Rule, Subject,
    keys::{
        ABOVE, AFTER, ALERT, ALERTS, BELOW, CLEAR_ABOVE, CLEAR_AFTER, CLEAR_BELOW, CONNECTORS,
        DEVICES, EVERY, EVERY_MIN, INSTANCES_MAX, JOBS, LAKE_EVERY, NAME, OLDER_THAN, ON, ROUTE,
        ROUTE_NAME, SEVERITY, SEVERITY_FROM, SILENT_AFTER, SITES, STALE_AFTER,
    },
    route::Route,
    rule::{DEVICE, Filters, Limit, Timing},
};

/// Alerts of a rule at a time, at most.
const INSTANCES_MOST: u32 = 10_000;

/// What the file says of alerts.
#[derive(Debug, Clone)]
pub struct AlertSettings {
    /// How often rules are judged.
    pub every: Duration,
    /// How often the lake is asked.
    pub lake_every: Duration,
    /// The rules; alerts run where there is one.
    pub rules: Vec<Rule>,
    /// Where alerts are sent.
    pub routes: Vec<Route>,
}

impl AlertSettings {
    /// Reads the tables; none where something in them is wrong, which is noted.
    pub fn read(root: &mut Table<'_>) -> Option<Self> {
        let periods = periods(root);
        let mut names = BTreeSet::new();
        let mut rules = Vec::new();
        let mut tables = root.tables(&ALERT);
        let expected = tables.len();
        for mut table in tables.drain(..) {
            let rule = rule(&mut table);
            unique(
                &table,
                &NAME,
                rule.as_ref().map(|rule| &rule.name),
                &mut names,
            );
            table.finish();
            rules.extend(rule);
        }
        let rules = Some(rules).filter(|rules| rules.len() == expected);
        let mut names = BTreeSet::new();
        let mut routes = Vec::new();
        let mut tables = root.tables(&ROUTE);
        let expected = tables.len();
        for mut table in tables.drain(..) {
            let route = route(&mut table);
            unique(
                &table,
                &ROUTE_NAME,
                route.as_ref().map(|route| &route.name),
                &mut names,
            );
            table.finish();
            routes.extend(route);
        }
        let routes = Some(routes).filter(|routes| routes.len() == expected);
        let (every, lake_every) = periods?;
        Some(Self {
            every,
            lake_every,
            rules: rules?,
            routes: routes?,
        })
    }

    /// A sentence for each rule that no route sends, and each route that sends nothing: it may be meant, so it is no error.
    pub fn warnings(&self) -> Vec<String> {
        let hears = |route: &Route, rule: &Rule| route.subscription.alerts.is_match(&rule.name);
        let unsent = self
            .rules
            .iter()
            .filter(|rule| !self.routes.iter().any(|route| hears(route, rule)))
            .map(|rule| format!("alert {:?} is sent over no route", rule.name));
        let idle = self
            .routes
            .iter()
            .filter(|route| !self.rules.iter().any(|rule| hears(route, rule)))
            .map(|route| format!("route {:?} sends no alert", route.name));
        unsent.chain(idle).collect()
    }
}

fn periods(root: &mut Table<'_>) -> Option<(Duration, Duration)> {
    let Some(mut table) = root.table(&ALERTS) else {
        return Some((EVERY.default(), LAKE_EVERY.default()));
    };
    let every = at_least(&mut table, &EVERY, EVERY_MIN);
    let lake_every = at_least(&mut table, &LAKE_EVERY, EVERY_MIN);
    table.finish();
    every.zip(lake_every)
}

fn at_least<K: Key<Read = Duration>>(
    table: &mut Table<'_>,
    key: &K,
    least: Duration,
) -> Option<Duration> {
    let found = table.read(key);
    if found < least {
        table.problem(key, format!("at least {least:?} is expected"));
        return None;
    }
    Some(found)
}

fn unique(
    table: &Table<'_>,
    key: &dyn Describe,
    name: Option<&String>,
    names: &mut BTreeSet<String>,
) {
    let Some(name) = name else { return };
    if name.is_empty() {
        table.problem(key, "a name is expected");
    }
    if !names.insert(name.clone()) {
        table.problem(key, format!("there are two of the name {name:?}"));
    }
}

/// Every key is read, whatever the subject, so that all errors come at once.
fn rule(table: &mut Table<'_>) -> Option<Rule> {
    let name = table.read(&NAME);
    let subject = table.read(&ON);
    if !table.has(&ON) {
        let words: Vec<&str> = Subject::WORDS.iter().map(|(word, _)| *word).collect();
        table.problem(
            &ON,
            format!("missing; one of {} is expected", words.join(", ")),
        );
    }
    let severity = table.read(&SEVERITY);
    let after = table.read(&AFTER);
    let clear_after = table.read(&CLEAR_AFTER);
    let filters = filters(table);
    let instances_max = table.read(&INSTANCES_MAX);
    if !(1..=INSTANCES_MOST).contains(&instances_max) {
        table.problem(&INSTANCES_MAX, format!("1 to {INSTANCES_MOST} is expected"));
        return None;
    }
    let limit = limit(table, subject, after);
    let subject = subject?;
    let after = match subject {
        // How long a device is silent is its own limit.
        Subject::DeviceSilent => Duration::ZERO,
        _ => after.unwrap_or(Duration::ZERO),
    };
    Some(Rule {
        name: name?,
        subject,
        filters: filters?,
        limit: limit?,
        timing: Timing { after, clear_after },
        severity,
        instances_max: instances_max as usize,
    })
}

fn filters(table: &mut Table<'_>) -> Option<Filters> {
    let devices = globs(table, &DEVICES);
    let connectors = globs(table, &CONNECTORS);
    let sites = globs(table, &SITES);
    let jobs = globs(table, &JOBS);
    let severity_min = table.read(&SEVERITY_FROM);
    let labels = vec![
        (DEVICE, devices?),
        ("connector", connectors?),
        ("site", sites?),
        ("job", jobs?),
    ];
    // A fact without the label is not asked for it: `*` takes it, and so does a rule that does not name it.
    let labels = labels
        .into_iter()
        .filter_map(|(label, globs)| Some((label, globs?)));
    Some(Filters {
        labels: labels.collect(),
        severity_min,
    })
}

/// Globs of a key; none inside where they take everything.
fn globs<K: Key<Read = Vec<String>>>(table: &mut Table<'_>, key: &K) -> Option<Option<GlobSet>> {
    let read = table.read(key);
    let set = glob_set(table, key, &read)?;
    Some((!read.iter().any(|glob| glob == "*")).then_some(set))
}

fn glob_set(table: &Table<'_>, key: &dyn Describe, globs: &[String]) -> Option<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        match Glob::new(glob) {
            Ok(glob) => set.add(glob),
            Err(error) => {
                table.problem(key, error.to_string());
                return None;
            }
        };
    }
    let built = set.build();
    built
        .map_err(|error| table.problem(key, error.to_string()))
        .ok()
}

/// When the rule's measure is wrong. A limit of another subject's is an error: it would never be looked at.
fn limit(
    table: &mut Table<'_>,
    subject: Option<Subject>,
    after: Option<Duration>,
) -> Option<Limit> {
    let above = table.read(&ABOVE);
    let clear_below = table.read(&CLEAR_BELOW);
    let below = table.read(&BELOW);
    let clear_above = table.read(&CLEAR_ABOVE);
    let older = table.read(&OLDER_THAN);
    let subject = subject?;
    let is_percent = matches!(subject, Subject::Disk | Subject::Spool);
    let takes: [(&dyn Describe, bool); 5] = [
        (&ABOVE, is_percent),
        (&CLEAR_BELOW, is_percent),
        (&BELOW, subject == Subject::Completeness),
        (&CLEAR_ABOVE, subject == Subject::Completeness),
        (&OLDER_THAN, subject == Subject::Freshness),
    ];
    for (key, is_taken) in takes {
        if !is_taken && table.has(key) {
            table.problem(key, format!("on = {:?} has no such limit", subject.name()));
            return None;
        }
    }
    match subject {
        Subject::Disk => numbers_above(table, above.unwrap_or(90.0), clear_below),
        Subject::Spool => numbers_above(table, above.unwrap_or(80.0), clear_below),
        Subject::Completeness => {
            let limit = below.unwrap_or(0.9);
            let clear = clear_above.unwrap_or(limit);
            if clear < limit {
                table.problem(&CLEAR_ABOVE, "at least below is expected");
                return None;
            }
            Some(Limit::Below { limit, clear })
        }
        Subject::Freshness => Some(Limit::Older(older.unwrap_or(STALE_AFTER))),
        Subject::DeviceSilent => Some(Limit::Older(after.unwrap_or(SILENT_AFTER))),
        Subject::JobResult | Subject::JobFailed => Some(Limit::Holds),
    }
}

fn numbers_above(table: &Table<'_>, limit: f64, clear: Option<f64>) -> Option<Limit> {
    let clear = clear.unwrap_or(limit);
    if clear > limit {
        table.problem(&CLEAR_BELOW, "at most above is expected");
        return None;
    }
    Some(Limit::Above { limit, clear })
}

#[cfg(test)]
mod tests;
