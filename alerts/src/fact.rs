//! What the rules look at: facts of one moment, and where they come from.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use forebay_schemas::Timestamp;

use crate::{Severity, Subject};

/// What a fact measures.
#[derive(Debug, Clone, PartialEq)]
pub enum Measure {
    /// When something was so last: a device was heard, a site's readings were complete.
    At(Timestamp),
    /// It was not so since then, and what was before is unknown: a device that was not heard since this process knows it.
    NotSince(Timestamp),
    /// A number: percent of a disk or a spool, or the share of a window from 0 to 1. Never NaN.
    Number(f64),
    /// Since when it is wrong; none where it is not.
    Holds(Option<Timestamp>),
}

/// One thing as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// What it is about.
    pub subject: Subject,
    /// Which one it is: `device`, `site`, `job`, `connector`, `lane` and so on. Two facts of a subject never share them all.
    pub labels: BTreeMap<String, String>,
    /// How it stands.
    pub measure: Measure,
    /// How bad it is by its own account, as of a job's warning.
    pub severity: Option<Severity>,
    /// More for people, such as why a link is down.
    pub note: Option<String>,
    /// The device's own name, where its label is a pseudonym: for globs alone, it is neither stored nor sent.
    pub own_device: Option<String>,
}

/// The facts of one moment.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Those of the subjects that could be read.
    pub facts: Vec<Fact>,
    /// The subjects that could be read. What cannot be read is unknown: its alerts stay as they are.
    pub read: BTreeSet<Subject>,
}

/// Where facts come from.
#[async_trait]
pub trait FactSource: Send + Sync {
    /// The facts as they are now. What cannot be read is left out of [`Facts::read`], and the source logs why.
    async fn facts(&self) -> Facts;

    /// The warnings of jobs that somebody has taken up, all of them, once that is stored; reported after each look.
    fn taken_up(&self, warnings: Vec<TakenUp>) {
        drop(warnings);
    }
}

/// A warning of a job that somebody has taken up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TakenUp {
    /// The labels of its fact.
    pub labels: BTreeMap<String, String>,
    /// Who.
    pub by: String,
}

impl Fact {
    /// A fact without severity and note.
    pub fn new(subject: Subject, labels: &[(&str, &str)], measure: Measure) -> Self {
        let label = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            subject,
            labels: labels.iter().map(label).collect(),
            measure,
            severity: None,
            note: None,
            own_device: None,
        }
    }

    /// What it is about, for people: `device pump-1`.
    pub(crate) fn name(&self) -> String {
        let of = |label: &str| self.labels.get(label).map(String::as_str).unwrap_or("?");
        match self.subject {
            Subject::DeviceSilent => format!("device {}", of("device")),
            Subject::Freshness => format!("the lake's data of site {}", of("site")),
            Subject::Completeness => format!("the newest window of site {}", of("site")),
            Subject::JobResult => format!("job {} warns of {}", of("job"), of("device")),
            Subject::JobFailed => format!("job {}", of("job")),
            Subject::Disk => format!("the disk of {}", of("folder")),
            Subject::Spool => format!("the spool of lane {}", of("lane")),
        }
    }
}
