//! How far back a kind looks over the readings of series, and how many of them it reads: keys that several kinds have, read
//! and checked alike.

use std::time::Duration;

use forebay_config::{Defaulted, Describe, Table};

/// Most readings of a series that a run may be told to read.
const SAMPLES_MOST: usize = 1 << 24;

/// The keys as a kind has them: what they mean there, and their defaults, are its own.
#[derive(Clone, Copy)]
pub struct LookBackKeys {
    /// How far back readings say what is usual.
    pub history: &'static Defaulted<Duration>,
    /// How far back a run by the clock looks.
    pub span: &'static Defaulted<Duration>,
    /// How many readings of a series are read.
    pub samples_max: &'static Defaulted<u32>,
    /// Within which time what comes back is the same alert.
    pub refractory: &'static Defaulted<Duration>,
    /// The least that `samples_max` may be.
    pub samples_least: usize,
    /// What it counts, such as "readings".
    pub samples_name: &'static str,
}

/// What they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookBack {
    /// How far back readings say what is usual.
    pub history: Duration,
    /// How far back a run by the clock looks; more than 0.
    pub span: Duration,
    /// How many readings of a series are read.
    pub samples_max: usize,
    /// Within which time what comes back is the same alert.
    pub refractory: Duration,
}

impl LookBack {
    /// What a job's table says, be it wrong: see [`LookBack::problems`].
    pub fn read(table: &mut Table<'_>, keys: &LookBackKeys) -> Self {
        Self {
            history: table.read(keys.history),
            span: table.read(keys.span),
            samples_max: table.read(keys.samples_max) as usize,
            refractory: table.read(keys.refractory),
        }
    }

    /// What holds where a table says nothing.
    pub fn of_defaults(keys: &LookBackKeys) -> Self {
        Self {
            history: keys.history.default(),
            span: keys.span.default(),
            samples_max: keys.samples_max.default() as usize,
            refractory: keys.refractory.default(),
        }
    }

    /// What is wrong with it, each with its key.
    pub fn problems(&self, keys: &LookBackKeys) -> Vec<(&'static dyn Describe, String)> {
        let mut problems: Vec<(&'static dyn Describe, String)> = Vec::new();
        if self.span.is_zero() {
            problems.push((keys.span, "more than 0 is expected".to_owned()));
        }
        if !(keys.samples_least..=SAMPLES_MOST).contains(&self.samples_max) {
            let (least, name) = (keys.samples_least, keys.samples_name);
            let message = format!("{least} to {SAMPLES_MOST} {name} are expected");
            problems.push((keys.samples_max, message));
        }
        problems
    }
}
