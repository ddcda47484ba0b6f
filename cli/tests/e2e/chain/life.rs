//! The lives and deaths of a process of ours: started again and again, each time with another end before it.

use std::{
    os::unix::process::ExitStatusExt as _,
    sync::Mutex,
    time::{Duration, Instant},
};

use super::chance::Chance;
use crate::site::{Running, SIGKILL, Site, now, pause};

/// A failpoint that is not passed in this time is tried again in another life.
const FAILPOINT_WITHIN: Duration = Duration::from_secs(45);
/// So many lives may pass a failpoint by.
const TRIES_MAX: usize = 4;

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// SIGKILL, at any moment.
    Anywhere,
    /// At the failpoint of this name.
    At(&'static str),
}

/// A process that lives several times: the role, where, and how long it lives unless a failpoint ends it.
pub(crate) struct Mortal<'s> {
    pub(crate) site: &'s Site,
    pub(crate) role: &'static str,
    pub(crate) lives: [Duration; 2],
    /// Most passages of a failpoint that are let through.
    pub(crate) passages_max: u64,
}

/// Every death so far.
pub(crate) struct Deaths {
    begun: Instant,
    all: Mutex<Vec<End>>,
}

impl Deaths {
    pub(crate) fn new() -> Self {
        Self {
            begun: now(),
            all: Mutex::default(),
        }
    }

    pub(crate) fn note(&self, who: &str, end: End) {
        let mut all = self.all.lock().unwrap();
        all.push(end);
        eprintln!(
            "{:6.1} s: death {} is {who}'s: {end:?}",
            self.begun.elapsed().as_secs_f64(),
            all.len()
        );
    }

    /// An event of another kind.
    pub(crate) fn tell(&self, what: &str) {
        eprintln!("{:6.1} s: {what}", self.begun.elapsed().as_secs_f64());
    }

    pub(crate) fn count(&self) -> usize {
        self.all.lock().unwrap().len()
    }

    pub(crate) fn count_at(&self, failpoint: &'static str) -> usize {
        self.all
            .lock()
            .unwrap()
            .iter()
            .filter(|end| **end == End::At(failpoint))
            .count()
    }
}

impl Mortal<'_> {
    pub(crate) fn born(&self, environment: &[(&str, &str)]) -> Running {
        self.site.run_with(&["--role", self.role], environment)
    }

    /// Lives as often as there are ends, in any order, and once more: the others' deaths need it alive.
    pub(crate) fn die(&self, ends: &[End], chance: &mut Chance, deaths: &Deaths) -> Running {
        let mut ends = ends.to_vec();
        chance.shuffle(&mut ends);
        for end in ends {
            match end {
                End::Anywhere => {
                    let running = self.born(&[]);
                    pause(chance.within(self.lives[0], self.lives[1]));
                    running.kill();
                    deaths.note(self.role, end);
                }
                End::At(failpoint) => {
                    let reached = (0..TRIES_MAX).any(|_| self.die_at(failpoint, chance, deaths));
                    assert!(reached, "the {} never comes to {failpoint}", self.role);
                }
            }
        }
        self.born(&[])
    }

    fn die_at(&self, failpoint: &'static str, chance: &mut Chance, deaths: &Deaths) -> bool {
        let passages = chance.below(self.passages_max + 1).to_string();
        let environment = [
            ("FOREBAY_FAILPOINT", failpoint),
            ("FOREBAY_FAILPOINT_AFTER", &passages),
        ];
        let mut running = self.born(&environment);
        let status = running.ended_within(FAILPOINT_WITHIN);
        if let Some(status) = status {
            assert_eq!(
                status.signal(),
                Some(SIGKILL),
                "the {} died of something else",
                self.role
            );
            let (log, said) = (self.site.log(), format!("failpoint=\"{failpoint}\""));
            assert!(
                log.lines().rev().take(5).any(|line| line.contains(&said)),
                "the {} died of something else",
                self.role
            );
            deaths.note(self.role, End::At(failpoint));
        } else {
            running.kill();
            deaths.note(self.role, End::Anywhere);
        }
        status.is_some()
    }
}
