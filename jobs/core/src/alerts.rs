//! The life of a warning: opened once, updated while its condition holds, resolved when it is gone, and opened again under
//! its old name when it comes back within the refractory period.
//!
//! Pure: what is known of earlier warnings comes in, rows to append go out. What was not judged changes nothing, for
//! missing data is not health.

use std::{collections::BTreeMap, time::Duration};

use forebay_schemas::{DeviceId, SiteId, TagName, Timestamp};

use crate::{
    AlertRow, AlertState, Severity,
    clock::{minus, plus},
};

/// When warnings end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifecycle {
    /// A condition that comes back within this time after it was last seen is the same warning.
    pub refractory: Duration,
    /// A warning is resolved when its condition has not been seen for this long.
    pub resolve_after: Duration,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The site.
    pub site: SiteId,
    /// The device.
    pub device: DeviceId,
    /// The tag, if it is about one.
    pub tag: Option<TagName>,
    /// How much it matters.
    pub severity: Severity,
    /// How bad it is, in the job's own measure.
    pub score: f64,
    /// What made the score, as JSON.
    pub contributions: Option<String>,
    /// In plain words.
    pub reason: String,
}

/// What a run says of one dedupe key.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing is wrong.
    Healthy,
    /// Something is.
    Wrong(Condition),
}

impl Lifecycle {
    /// The earliest `last_seen` of a warning that [`Lifecycle::advance`] needs to know of at `at`.
    pub(crate) fn horizon(&self, at: Timestamp) -> Timestamp {
        // An open warning is updated by every run that sees its condition; ten times the longest of both periods
        // covers runs that judged nothing for a while.
        minus(
            at,
            self.refractory.max(self.resolve_after).saturating_mul(10),
        )
    }

    /// The rows to append after a run that judged the instant `at`.
    ///
    /// `history` holds the latest row of each warning of this job; `verdicts` what was judged, by dedupe key; `id` names a
    /// warning by its dedupe key and first instant.
    pub fn advance(
        &self,
        history: &[AlertRow],
        verdicts: BTreeMap<String, Verdict>,
        at: Timestamp,
        now: Timestamp,
        id: impl Fn(&str, Timestamp) -> String,
    ) -> Vec<AlertRow> {
        let mut latest: BTreeMap<&str, &AlertRow> = BTreeMap::new();
        for row in history {
            let known = latest.entry(&row.dedupe_key).or_insert(row);
            if (row.first_seen, row.changed_at) > (known.first_seen, known.changed_at) {
                *known = row;
            }
        }
        let of_key = |(key, verdict): (String, Verdict)| {
            let known = latest.get(key.as_str()).copied();
            match (verdict, known) {
                (Verdict::Wrong(condition), Some(known)) if self.is_same(known, at) => {
                    update(known, condition, at, now)
                }
                (Verdict::Wrong(_), Some(known)) if known.first_seen >= at => None,
                (Verdict::Wrong(condition), _) => Some(open(id(&key, at), key, condition, at, now)),
                (Verdict::Healthy, Some(known)) => self.resolve(known, at, now),
                (Verdict::Healthy, None) => None,
            }
        };
        verdicts.into_iter().filter_map(of_key).collect()
    }

    /// Whether a condition that holds at `at` belongs to this warning.
    fn is_same(&self, known: &AlertRow, at: Timestamp) -> bool {
        let alive = known.state != AlertState::Resolved;
        at >= known.first_seen && (alive || at <= plus(known.last_seen, self.refractory))
    }

    fn resolve(&self, known: &AlertRow, at: Timestamp, now: Timestamp) -> Option<AlertRow> {
        let gone = at >= plus(known.last_seen, self.resolve_after);
        (known.state != AlertState::Resolved && gone).then(|| AlertRow {
            state: AlertState::Resolved,
            changed_at: now,
            ..known.clone()
        })
    }
}

fn open(
    alert_id: String,
    dedupe_key: String,
    condition: Condition,
    at: Timestamp,
    now: Timestamp,
) -> AlertRow {
    let Condition {
        site,
        device,
        tag,
        severity,
        score,
        contributions,
        reason,
    } = condition;
    AlertRow {
        alert_id,
        changed_at: now,
        site,
        device,
        tag,
        severity,
        state: AlertState::Open,
        first_seen: at,
        last_seen: at,
        score: Some(score),
        contributions,
        reason,
        dedupe_key,
        acknowledged_by: None,
    }
}

/// A window that is judged again after a later one tells nothing new of a warning that is still alive.
fn update(
    known: &AlertRow,
    condition: Condition,
    at: Timestamp,
    now: Timestamp,
) -> Option<AlertRow> {
    if at <= known.last_seen {
        return None;
    }
    let Condition {
        severity,
        score,
        contributions,
        reason,
        ..
    } = condition;
    let worse = severity > known.severity;
    let reopened = known.state == AlertState::Resolved;
    // Somebody who has taken it up has not taken up what it has become.
    let (state, acknowledged_by) = match reopened || worse {
        true => (AlertState::Open, None),
        false => (known.state, known.acknowledged_by.clone()),
    };
    Some(AlertRow {
        changed_at: now,
        severity,
        state,
        acknowledged_by,
        last_seen: at,
        score: Some(score),
        contributions,
        reason,
        ..known.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const LIFE: Lifecycle = Lifecycle {
        refractory: Duration::from_secs(24 * 3600),
        resolve_after: Duration::from_secs(3 * 3600),
    };

    fn hour(n: i64) -> Timestamp {
        Timestamp::from_nanos(n * 3_600_000_000_000)
    }

    fn wrong(severity: Severity) -> Verdict {
        Verdict::Wrong(Condition {
            site: SiteId::new("s").unwrap(),
            device: DeviceId::new("d").unwrap(),
            tag: None,
            severity,
            score: 4.0,
            contributions: None,
            reason: "high".into(),
        })
    }

    /// Judges hour after hour, and answers the rows that were appended: (hour, state, id).
    fn live(verdicts: &[(i64, Option<Verdict>)]) -> Vec<(i64, &'static str, String)> {
        let mut table: Vec<AlertRow> = Vec::new();
        let mut seen = Vec::new();
        for (n, verdict) in verdicts {
            let verdicts = verdict
                .clone()
                .map(|v| ("k".to_owned(), v))
                .into_iter()
                .collect();
            let mut latest: BTreeMap<String, AlertRow> = BTreeMap::new();
            for row in &table {
                latest.insert(row.alert_id.clone(), row.clone());
            }
            let history: Vec<AlertRow> = latest.into_values().collect();
            let id = |key: &str, first: Timestamp| {
                format!("{key}@{}", first.nanos() / 3_600_000_000_000)
            };
            for row in LIFE.advance(&history, verdicts, hour(*n), plus(hour(*n), HOUR), id) {
                seen.push((*n, row.state.name(), row.alert_id.clone()));
                table.push(row);
            }
        }
        seen
    }

    #[test]
    fn a_condition_that_goes_on_is_one_warning_until_it_has_gone() {
        let (bad, good) = (|| Some(wrong(Severity::Warning)), || Some(Verdict::Healthy));
        let seen = live(&[
            (1, good()),
            (2, bad()),
            (3, bad()),
            (4, good()),
            (5, good()),
            (6, good()),
            (7, good()),
        ]);
        let k = || "k@2".to_owned();
        assert_eq!(
            seen,
            [(2, "open", k()), (3, "open", k()), (6, "resolved", k())]
        );
    }

    #[test]
    fn it_keeps_its_name_within_the_refractory_period_and_gets_a_new_one_after() {
        let (bad, good) = (|| Some(wrong(Severity::Warning)), || Some(Verdict::Healthy));
        let seen = live(&[
            (2, bad()),
            (5, good()),
            (20, bad()),
            (23, good()),
            (48, bad()),
        ]);
        let (old, new) = ("k@2".to_owned(), "k@48".to_owned());
        assert_eq!(
            seen,
            [
                (2, "open", old.clone()),
                (5, "resolved", old.clone()),
                (20, "open", old.clone()),
                (23, "resolved", old),
                (48, "open", new)
            ]
        );
    }

    #[test]
    fn what_is_not_judged_is_not_healthy_and_what_is_late_changes_nothing() {
        let bad = || Some(wrong(Severity::Warning));
        assert_eq!(live(&[(2, bad()), (9, None), (10, None)]).len(), 1);
        // The same window again, and one from before the warning began.
        assert_eq!(
            live(&[(2, bad()), (3, bad()), (3, bad()), (2, bad()), (1, bad())]).len(),
            2
        );
    }

    #[test]
    fn an_acknowledgement_holds_until_it_gets_worse() {
        let known = open(
            "a".into(),
            "k".into(),
            condition(Severity::Warning),
            hour(1),
            hour(1),
        );
        let known = AlertRow {
            state: AlertState::Acknowledged,
            acknowledged_by: Some("ann".into()),
            ..known
        };
        let same = update(&known, condition(Severity::Warning), hour(2), hour(2)).unwrap();
        assert_eq!(
            (same.state, same.acknowledged_by.as_deref()),
            (AlertState::Acknowledged, Some("ann"))
        );
        let worse = update(&known, condition(Severity::Critical), hour(2), hour(2)).unwrap();
        assert_eq!(
            (worse.state, worse.acknowledged_by),
            (AlertState::Open, None)
        );
    }

    fn condition(severity: Severity) -> Condition {
        match wrong(severity) {
            Verdict::Wrong(condition) => condition,
            Verdict::Healthy => unreachable!(),
        }
    }
}
