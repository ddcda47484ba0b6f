//! One alert, and the moves that it makes.
//!
//! ```text
//!            wrong                wrong for `after`
//! (nothing) ───────▶ Pending ───────────────────────▶ Firing ◀─┐ wrong
//!     ▲                 │ right                          │ right│
//!     └─────────────────┘                                ▼      │
//!                                                     Clearing ─┘
//!                                                        │ right for `clear_after`
//!                                                        ▼
//!                                                     Resolved ── wrong ──▶ Pending, as another alert
//! ```
//!
//! Pure: time is an argument, and a state says all that the next move needs.

use std::collections::BTreeMap;

use forebay_schemas::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Severity,
    instant::{elapsed, maybe_micros, micros},
    rule::{Alarmed, Timing, Verdict},
};

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub enum State {
    /// Wrong, and not yet for long enough.
    Pending {
        /// Since when it is wrong.
        #[serde(with = "micros")]
        since: Timestamp,
    },
    /// Wrong for long enough.
    Firing {
        /// Since when it is wrong.
        #[serde(with = "micros")]
        since: Timestamp,
    },
    /// Right again, and not yet for long enough: it still counts as firing.
    Clearing {
        /// Since when it was wrong.
        #[serde(with = "micros")]
        since: Timestamp,
        /// Since when it is right.
        #[serde(with = "micros")]
        right_since: Timestamp,
    },
    /// Over.
    Resolved {
        /// Since when it was wrong.
        #[serde(with = "micros")]
        since: Timestamp,
        /// When it was over.
        #[serde(with = "micros")]
        at: Timestamp,
    },
}

/// Who has taken an alert up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who.
    pub by: String,
    /// When.
    #[serde(with = "micros")]
    pub at: Timestamp,
    /// What they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a route was last sent of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notified {
    #[serde(with = "micros")]
    pub(crate) at: Timestamp,
    pub(crate) severity: Severity,
    pub(crate) resolved: bool,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Names this alert, over its whole life and nothing else: 16 hexadecimal digits.
    pub alert_id: String,
    /// The rule.
    pub rule: String,
    /// Which one of the rule's facts.
    pub labels: BTreeMap<String, String>,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub state: State,
    /// What it says, as of its last move.
    pub summary: String,
    /// Who has taken it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledgement>,
    /// Put aside until then.
    #[serde(
        default,
        with = "maybe_micros",
        skip_serializing_if = "Option::is_none"
    )]
    pub shelved_until: Option<Timestamp>,
    /// What each route was sent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) notified: BTreeMap<String, Notified>,
    /// What it says now; not stored, so that a number that moves does not write the file.
    #[serde(skip)]
    pub(crate) says: String,
}

/// What a verdict makes of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// It stands there now.
    To(State),
    /// There is nothing to keep.
    Forget,
}

impl State {
    /// The state after a verdict.
    pub(crate) fn next(self, verdict: &Verdict, timing: Timing, now: Timestamp) -> Move {
        match (self, verdict) {
            (state, Verdict::Unknown) => Move::To(state),
            (Self::Pending { since }, Verdict::Wrong(_)) => Self::begin(since, timing, now),
            (Self::Pending { .. }, Verdict::Right) => Move::Forget,
            (Self::Firing { since } | Self::Clearing { since, .. }, Verdict::Wrong(_)) => {
                Move::To(Self::Firing { since })
            }
            (Self::Firing { since }, Verdict::Right) => Self::clear(since, now, timing, now),
            (Self::Clearing { since, right_since }, Verdict::Right) => {
                Self::clear(since, right_since, timing, now)
            }
            (Self::Resolved { .. }, Verdict::Wrong(since)) => Self::begin(*since, timing, now),
            (Self::Resolved { .. }, Verdict::Right) => Move::To(self),
        }
    }

    /// The state of what is wrong since `since`.
    pub(crate) fn begin(since: Timestamp, timing: Timing, now: Timestamp) -> Move {
        let long = elapsed(since, now) >= timing.after;
        Move::To(if long {
            Self::Firing { since }
        } else {
            Self::Pending { since }
        })
    }

    fn clear(since: Timestamp, right_since: Timestamp, timing: Timing, now: Timestamp) -> Move {
        let long = elapsed(right_since, now) >= timing.clear_after;
        Move::To(if long {
            Self::Resolved { since, at: now }
        } else {
            Self::Clearing { since, right_since }
        })
    }

    /// Since when it is or was wrong.
    pub fn since(self) -> Timestamp {
        match self {
            Self::Pending { since }
            | Self::Firing { since }
            | Self::Clearing { since, .. }
            | Self::Resolved { since, .. } => since,
        }
    }

    /// When it was over.
    pub fn resolved_at(self) -> Option<Timestamp> {
        match self {
            Self::Resolved { at, .. } => Some(at),
            _ => None,
        }
    }

    /// Whether people are to know of it.
    pub fn is_firing(self) -> bool {
        matches!(self, Self::Firing { .. } | Self::Clearing { .. })
    }

    /// Whether it is over.
    pub fn is_resolved(self) -> bool {
        matches!(self, Self::Resolved { .. })
    }

    /// Whether the limit to clear counts.
    pub(crate) fn alarmed(self) -> Alarmed {
        match self {
            // What has not fired has to be beyond the limit all the time.
            Self::Pending { .. } | Self::Resolved { .. } => Alarmed::No,
            Self::Firing { .. } | Self::Clearing { .. } => Alarmed::Yes,
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Firing { .. } => "firing",
            Self::Clearing { .. } => "clearing",
            Self::Resolved { .. } => "resolved",
        }
    }
}

impl Instance {
    /// Whether it is put aside now.
    pub fn is_shelved(&self, now: Timestamp) -> bool {
        self.shelved_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn second(n: i64) -> Timestamp {
        Timestamp::from_nanos(n * 1_000_000_000)
    }

    const TIMING: Timing = Timing {
        after: Duration::from_secs(10),
        clear_after: Duration::from_secs(5),
    };

    /// Names of the states after verdicts, one each: (second, whether wrong).
    fn lived(verdicts: &[(i64, bool)]) -> Vec<&'static str> {
        let mut state: Option<State> = None;
        let mut names = Vec::new();
        for (at, wrong) in verdicts {
            let now = second(*at);
            let verdict = if *wrong {
                Verdict::Wrong(now)
            } else {
                Verdict::Right
            };
            let made = match state {
                Some(state) => state.next(&verdict, TIMING, now),
                None if *wrong => State::begin(now, TIMING, now),
                None => Move::Forget,
            };
            state = match made {
                Move::To(state) => Some(state),
                Move::Forget => None,
            };
            names.push(state.map_or("-", State::name));
        }
        names
    }

    #[test]
    fn alerts_move_as_the_picture_has_it() {
        for (verdicts, names) in [
            (vec![(0, false), (1, true), (10, true)], "- pending pending"),
            (vec![(1, true), (11, true)], "pending firing"),
            (vec![(1, true), (5, false), (11, true)], "pending - pending"),
            (
                vec![(1, true), (11, true), (12, false), (16, false), (17, false)],
                "pending firing clearing clearing resolved",
            ),
            (
                vec![(1, true), (11, true), (12, false), (16, true), (17, false)],
                "pending firing clearing firing clearing",
            ),
            (
                vec![
                    (1, true),
                    (11, true),
                    (12, false),
                    (17, false),
                    (18, true),
                    (28, true),
                ],
                "pending firing clearing resolved pending firing",
            ),
            // The clock goes back: nothing fires or clears early.
            (
                vec![
                    (100, true),
                    (50, true),
                    (111, true),
                    (112, false),
                    (60, false),
                ],
                "pending pending firing clearing clearing",
            ),
        ] {
            assert_eq!(lived(&verdicts).join(" "), names, "{verdicts:?}");
        }
    }

    #[test]
    fn what_was_wrong_long_before_it_was_seen_fires_at_once() {
        let (since, now) = (second(0), second(60));
        assert_eq!(
            State::begin(since, TIMING, now),
            Move::To(State::Firing { since })
        );
    }
}
