//! What is watched for: one rule, and how it judges one fact.
//!
//! Judging is pure and keeps nothing: hysteresis looks at whether the alert is there already, which the caller says.

use std::{collections::BTreeMap, time::Duration};

use forebay_schemas::Timestamp;
use globset::GlobSet;
use serde::{Deserialize, Serialize};

use crate::{
    fact::{Fact, Measure},
    instant::{elapsed, in_words, plus},
};

/// The label of a device.
pub(crate) const DEVICE: &str = "device";

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A device that has sent nothing for a time.
    DeviceSilent,
    /// How far a site's complete readings in the lake lie behind the clock.
    Freshness,
    /// The share of a site's devices in its newest closed window.
    Completeness,
    /// A warning that a job has written into the table `alerts`.
    JobResult,
    /// A job whose newest finished run failed.
    JobFailed,
    /// The disk of the data folder.
    Disk,
    /// A lane's spool.
    Spool,
}

impl Subject {
    /// The words of the configuration.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("device_silent", Self::DeviceSilent),
        ("freshness", Self::Freshness),
        ("completeness", Self::Completeness),
        ("job_result", Self::JobResult),
        ("job_failed", Self::JobFailed),
        ("disk", Self::Disk),
        ("spool", Self::Spool),
    ];

    /// As the configuration has it.
    pub fn name(self) -> &'static str {
        let word = Self::WORDS.iter().find(|(_, subject)| *subject == self);
        word.map_or("", |(word, _)| word)
    }
}

/// How bad it is, as jobs have it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be known.
    Info,
    /// To be looked at.
    Warning,
    /// To be acted on.
    Critical,
}

impl Severity {
    /// The words of the configuration, the least first.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("info", Self::Info),
        ("warning", Self::Warning),
        ("critical", Self::Critical),
    ];

    /// As the configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The severity of this name, if it is one.
    pub fn named(name: &str) -> Option<Self> {
        let word = Self::WORDS.iter().find(|(word, _)| *word == name);
        word.map(|(_, severity)| *severity)
    }
}

/// When a measure is wrong, and when it is right again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// A number above `limit`, until it is below `clear`.
    Above {
        /// Wrong above this.
        limit: f64,
        /// Right again below this; at most `limit`.
        clear: f64,
    },
    /// A number below `limit`, until it is above `clear`.
    Below {
        /// Wrong below this.
        limit: f64,
        /// Right again above this; at least `limit`.
        clear: f64,
    },
    /// A time that lies back further than this.
    Older(Duration),
    /// The fact says itself whether it holds.
    Holds,
}

/// Which facts a rule takes, by globs over their labels; an empty set takes all.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// The label's name and the globs of which one must fit.
    pub(crate) labels: Vec<(&'static str, GlobSet)>,
    /// Facts of a lower severity of their own are left out.
    pub(crate) severity_min: Option<Severity>,
}

/// How long a condition must hold, and how long it must be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Before an alert fires.
    pub after: Duration,
    /// Before it is resolved.
    pub clear_after: Duration,
}

/// One `[[alert]]`.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name, unique in the file.
    pub name: String,
    /// What it is about.
    pub subject: Subject,
    /// Which facts it takes.
    pub filters: Filters,
    /// When they are wrong.
    pub limit: Limit,
    /// For how long.
    pub timing: Timing,
    /// How bad that is; none takes what the fact says, else warning.
    pub severity: Option<Severity>,
    /// Alerts of this rule at a time; what is beyond them is one alert that counts the rest.
    pub instances_max: usize,
}

/// What a rule says of a fact.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Wrong since then, as far as the fact tells, else since now.
    Wrong(Timestamp),
    Right,
    /// It cannot be said yet: an alert stays as it is, and none begins.
    Unknown,
}

impl Filters {
    pub(crate) fn takes(&self, fact: &Fact) -> bool {
        let fits = |(label, globs): &(&'static str, GlobSet)| {
            let value = fact.labels.get(*label);
            let own = fact.own_device.as_ref().filter(|_| *label == DEVICE);
            globs.is_empty()
                || value
                    .into_iter()
                    .chain(own)
                    .any(|name| globs.is_match(name))
        };
        let bad_enough = |least| fact.severity.is_none_or(|severity| severity >= least);
        self.labels.iter().all(fits) && self.severity_min.is_none_or(bad_enough)
    }
}

impl Rule {
    pub(crate) fn takes(&self, fact: &Fact) -> bool {
        fact.subject == self.subject && self.filters.takes(fact)
    }

    /// The severity of an alert over this fact.
    pub(crate) fn severity_of(&self, fact: &Fact) -> Severity {
        self.severity.or(fact.severity).unwrap_or(Severity::Warning)
    }

    /// What makes an alert the same as an earlier one: the rule and the fact's labels. Names are data and may hold any
    /// character, so they are written as JSON, which keeps them apart.
    pub(crate) fn key(&self, labels: &BTreeMap<String, String>) -> String {
        serde_json::json!([self.name, labels]).to_string()
    }

    /// Judges a fact; `alarmed` is whether the alert is there already.
    pub(crate) fn judge(&self, fact: &Fact, alarmed: Alarmed, now: Timestamp) -> Verdict {
        let wrong = match (&fact.measure, self.limit) {
            (Measure::Number(number), Limit::Above { limit, clear }) => match alarmed {
                Alarmed::No => *number > limit,
                Alarmed::Yes => *number >= clear,
            },
            (Measure::Number(number), Limit::Below { limit, clear }) => match alarmed {
                Alarmed::No => *number < limit,
                Alarmed::Yes => *number <= clear,
            },
            (Measure::At(at), Limit::Older(age)) => {
                if elapsed(*at, now) < age {
                    return Verdict::Right;
                }
                return Verdict::Wrong(plus(*at, age).min(now));
            }
            (Measure::NotSince(at), Limit::Older(age)) => {
                let wrong_from = plus(*at, age);
                if now < wrong_from {
                    return Verdict::Unknown;
                }
                return Verdict::Wrong(wrong_from);
            }
            (Measure::Holds(since), _) => {
                return since.map_or(Verdict::Right, |since| Verdict::Wrong(since.min(now)));
            }
            // A rule reads the facts of its own subject, and those carry one kind of measure.
            _ => false,
        };
        if wrong {
            Verdict::Wrong(now)
        } else {
            Verdict::Right
        }
    }

    /// What an alert over this fact says to people, in one line.
    pub(crate) fn summary(&self, fact: &Fact, now: Timestamp) -> String {
        let what = fact.name();
        let measured = match (&fact.measure, self.subject) {
            (Measure::At(at), Subject::DeviceSilent) => {
                format!("{what} has been silent for {}", in_words(elapsed(*at, now)))
            }
            (Measure::NotSince(at), _) => {
                let least = in_words(elapsed(*at, now));
                format!("{what} has been silent for at least {least}")
            }
            (Measure::At(at), _) => {
                format!("{what} is {} behind", in_words(elapsed(*at, now)))
            }
            (Measure::Number(share), Subject::Completeness) => {
                format!("{what} is {:.0} % complete", share * 100.0)
            }
            (Measure::Number(percent), _) => format!("{what} is {percent:.0} % full"),
            (Measure::Holds(_), Subject::JobFailed) => format!("{what} failed"),
            (Measure::Holds(_), _) => what,
        };
        match &fact.note {
            Some(note) => format!("{measured}: {note}"),
            None => measured,
        }
    }
}

/// Whether there is an alert over a fact already: then the limit to clear counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarmed {
    No,
    Yes,
}
