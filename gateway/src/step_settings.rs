//! Reading of `[[step]]`.

use std::time::Duration;

use forebay_config::{Table, nearest};
use forebay_schemas::TagName;
use ring::hmac;

use crate::{
    filter::globs,
    keys::{
        AGGREGATE, DEADBAND, DERIVE, PSEUDONYM_KEY, STEP, SWINGING_DOOR, TAGS, WINDOW, WINDOW_GRACE,
    },
    pseudonym::{KEY_BYTES_MIN, Pseudonym, Pseudonyms},
    rule::{Rule, of_events},
    steps::{Aggregate, DoorRule, HoldRule, StepRule, StepSettings, WindowRule},
};

/// Reads every `[[step]]`; wrong ones are noted.
pub(crate) fn read(root: &mut Table<'_>) -> StepSettings {
    let mut rules = Vec::new();
    let mut pseudonyms = Vec::new();
    for mut table in root.tables(&STEP) {
        let patterns = table.read(&TAGS);
        let derive = table.read(&DERIVE);
        let rule = Rule::read(&mut table);
        if derive.is_some() && rule == Rule::default() {
            table.problem(&DERIVE, "a copy of the tag follows: expression is missing");
        }
        if derive.as_ref().is_some_and(TagName::is_of_events) {
            table.problem(&DERIVE, of_events());
        }
        if let Some(patterns) = patterns {
            pseudonyms.extend(pseudonym(&mut table, &patterns));
            let tags = match globs(&patterns) {
                _ if patterns.is_empty() => {
                    table.problem(
                        &TAGS,
                        "at least one pattern such as \"boiler-*/*\" is expected",
                    );
                    None
                }
                Ok(_) if patterns.iter().any(|pattern| fits_nothing(pattern)) => {
                    let fit_nothing = patterns.iter().filter(|pattern| fits_nothing(pattern));
                    for pattern in fit_nothing {
                        table.problem(&TAGS, without_device(pattern));
                    }
                    None
                }
                Ok(tags) => Some(tags),
                Err(error) => {
                    table.problem(&TAGS, error.to_string());
                    None
                }
            };
            let hold = hold(&mut table, &rule);
            rules.extend(tags.map(|tags| StepRule {
                tags,
                derive,
                rule,
                hold,
            }));
        }
        table.finish();
    }
    let does_something = |step: &StepRule| {
        step.derive.is_some() || step.hold.is_some() || step.rule != Rule::default()
    };
    rules.retain(does_something);
    StepSettings {
        rules: rules.into(),
        pseudonyms: Pseudonyms::new(pseudonyms),
    }
}

/// Whether a pattern can fit no `device/tag`: without a slash it fits no name with one, and only `**` as a whole part stands for slashes.
fn fits_nothing(pattern: &str) -> bool {
    !pattern.contains('/') && pattern != "**"
}

fn without_device(pattern: &str) -> String {
    format!("{pattern:?} fits nothing: a pattern is over \"device/tag\", such as \"*/{pattern}\"")
}

/// Windows or a door, which take what the other steps of the table leave.
fn hold(table: &mut Table<'_>, rule: &Rule) -> Option<HoldRule> {
    let length = table.read(&WINDOW);
    let aggregates = table.read(&AGGREGATE);
    let grace = table.read(&WINDOW_GRACE);
    let deviation = table.read(&SWINGING_DOOR);
    if (length.is_some() || deviation.is_some()) && rule.deadband.is_some() {
        let what = "it would thin out what a window or a door is to see: put it into a [[step]] of its own";
        table.problem(&DEADBAND, what);
    }
    if length.is_some() && deviation.is_some() {
        let what = "window stands there too: put one of them into a [[step]] of its own";
        table.problem(&SWINGING_DOOR, what);
    }
    if let Some(deviation) = deviation {
        if deviation < 0.0 {
            table.problem(&SWINGING_DOOR, "a deviation from 0 on is expected");
        }
        return Some(HoldRule::Door(DoorRule {
            deviation,
            gap_max: rule.max_silence,
        }));
    }
    if aggregates.is_some() && length.is_none() {
        table.problem(&AGGREGATE, "window is missing, such as window = \"1m\"");
    }
    let length = length?;
    if length < WINDOW_MIN || length > WINDOW_MAX {
        table.problem(&WINDOW, "a window from 1s to 1d is expected");
    }
    let names = aggregates.unwrap_or_else(|| vec!["mean".to_owned()]);
    let aggregates = names.iter().map(|name| aggregate(table, name));
    Some(HoldRule::Window(WindowRule {
        length,
        grace,
        aggregates: aggregates.collect::<Option<Vec<Aggregate>>>()?,
    }))
}

fn aggregate(table: &Table<'_>, name: &str) -> Option<Aggregate> {
    let found = AGGREGATES.iter().find(|one| one.name() == name);
    if found.is_none() {
        let words: Vec<&str> = AGGREGATES.iter().map(|one| one.name()).collect();
        let near = nearest(name, words.iter().copied());
        let what = format!("{name:?} is not one of {}{near}", words.join(", "));
        table.problem(&AGGREGATE, what);
    }
    found.copied()
}

const AGGREGATES: [Aggregate; 6] = [
    Aggregate::Min,
    Aggregate::Max,
    Aggregate::Mean,
    Aggregate::Last,
    Aggregate::Count,
    Aggregate::Std,
];
const WINDOW_MIN: Duration = Duration::from_secs(1);
const WINDOW_MAX: Duration = Duration::from_secs(86_400);

/// The devices whose names are hashed, if this table says so.
fn pseudonym(table: &mut Table<'_>, patterns: &[String]) -> Option<Pseudonym> {
    let key = table.read(&PSEUDONYM_KEY)?;
    let key = key.expose().trim();
    if key.len() < KEY_BYTES_MIN {
        let what = format!("a key of at least {KEY_BYTES_MIN} characters is expected");
        table.problem(&PSEUDONYM_KEY, what);
        return None;
    }
    let devices: Option<Vec<String>> = patterns
        .iter()
        .map(|pattern| {
            let device = pattern.strip_suffix("/**").or(pattern.strip_suffix("/*"));
            device.map(str::to_owned)
        })
        .collect();
    let Some(devices) = devices else {
        table.problem(
            &TAGS,
            "pseudonyms are for whole devices: each pattern ends in \"/*\"",
        );
        return None;
    };
    let devices = globs(&devices).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    Some(Pseudonym { devices, key })
}
