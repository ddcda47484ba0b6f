//! Jobs × fires: what each job hands on to, and which of its windows or times are done, late, failed or missing.

use std::{collections::BTreeMap, path::Path};

use forebay_lake::LakeWriter;
use forebay_schemas::{Clock, Timestamp};

use crate::{
    Fire, FireKey, JobName, JobSpec, Jobs, OnLate, RunState, SchedulerError,
    backfill::{between, missing_since},
    store::Store,
};

/// Most missing fires that are named.
const NAMED_MAX: usize = 5;

/// Where a fire stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FireState {
    /// Its results are in the lake.
    Done,
    /// It waits or runs.
    Waiting,
    /// Its window was amended after the last run over it, and the job runs again over amended windows.
    Late,
    /// It failed, timed out or was cancelled.
    Failed,
    /// It has no run.
    Missing,
}

impl FireState {
    /// Every state, in the order in which they are shown.
    pub const ALL: [Self; 5] = [
        Self::Done,
        Self::Waiting,
        Self::Late,
        Self::Failed,
        Self::Missing,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Waiting => "waiting",
            Self::Late => "late",
            Self::Failed => "failed",
            Self::Missing => "missing",
        }
    }
}

/// One job in the graph.
#[derive(Debug, Clone, PartialEq)]
pub struct JobNode {
    /// The job.
    pub name: JobName,
    /// Its kind.
    pub kind: &'static str,
    /// What makes it run, as in the configuration.
    pub trigger: String,
    /// The jobs that wait for it.
    pub hands_on_to: Vec<JobName>,
    /// The first instant of the range.
    pub from: Timestamp,
    /// The first instant after it.
    pub to: Timestamp,
    /// How many fires of the range stand where.
    pub counts: BTreeMap<FireState, usize>,
    /// The first fires that are late, failed or missing.
    pub open: Vec<(FireKey, FireState)>,
}

/// Every job with the fires of a range: from a job's first run on unless `from` is given, up to now unless `to` is.
///
/// # Errors
/// When database or lake cannot be read.
pub async fn graph(
    jobs: &Jobs,
    lake: &LakeWriter,
    path: &Path,
    clock: &Clock,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<Vec<JobNode>, SchedulerError> {
    let store = if path.exists() {
        Some(Store::open(path).await?)
    } else {
        None
    };
    let now = clock();
    let to = to.map_or(now, |to| to.min(now));
    let mut nodes = Vec::new();
    for job in jobs.iter() {
        let spec = &job.spec;
        let from = match (from, &store) {
            (Some(from), _) => from,
            (None, Some(store)) => missing_since(store, &spec.name).await?.min(to),
            (None, None) => to,
        };
        let states = match &store {
            Some(store) => store.fire_states(&spec.name).await?,
            None => BTreeMap::new(),
        };
        let fires = between(lake, spec, from, to).await?;
        let waits_for_it = |other: &&JobSpec| other.after.contains(&spec.name);
        let hands_on_to = jobs.iter().map(|other| &other.spec).filter(waits_for_it);
        let mut node = JobNode {
            name: spec.name.clone(),
            kind: spec.kind,
            trigger: spec.trigger.to_string(),
            hands_on_to: hands_on_to.map(|other| other.name.clone()).collect(),
            from,
            to,
            counts: BTreeMap::new(),
            open: Vec::new(),
        };
        for fire in fires {
            let state = state_of(&fire, &states, spec.on_late);
            *node.counts.entry(state).or_default() += 1;
            let is_open = !matches!(state, FireState::Done | FireState::Waiting);
            if is_open && node.open.len() < NAMED_MAX {
                node.open.push((fire.key, state));
            }
        }
        nodes.push(node);
    }
    Ok(nodes)
}

fn state_of(fire: &Fire, states: &BTreeMap<String, RunState>, on_late: OnLate) -> FireState {
    match states.get(fire.key.as_str()) {
        Some(RunState::Succeeded) => FireState::Done,
        Some(RunState::Queued | RunState::Running) => FireState::Waiting,
        Some(_) => FireState::Failed,
        None if !has_earlier_revision(fire, states) => FireState::Missing,
        None if on_late == OnLate::Rerun => FireState::Late,
        None => FireState::Done,
    }
}

/// Whether a run over the window as it was before succeeded.
fn has_earlier_revision(fire: &Fire, states: &BTreeMap<String, RunState>) -> bool {
    let Some(window) = &fire.window else {
        return false;
    };
    let key = fire.key.as_str();
    let Some((window_key, _)) = key.rsplit_once('/') else {
        return false;
    };
    (0..window.revision).any(|revision| {
        states.get(&format!("{window_key}/{revision}")) == Some(&RunState::Succeeded)
    })
}

#[cfg(test)]
mod tests {
    use forebay_schemas::SiteId;

    use super::*;
    use crate::Window;

    #[test]
    fn a_window_stands_where_its_newest_revision_does() {
        let window = |revision| Window {
            site: SiteId::new("plant").unwrap(),
            start: Timestamp::from_nanos(0),
            end: Timestamp::from_nanos(3_600_000_000_000),
            revision,
        };
        let key = |revision| Fire::window(window(revision)).key.to_string();
        for (runs, on_late, expected) in [
            (vec![], OnLate::Rerun, FireState::Missing),
            (
                vec![(2, RunState::Succeeded)],
                OnLate::Rerun,
                FireState::Done,
            ),
            (
                vec![(2, RunState::Running)],
                OnLate::Rerun,
                FireState::Waiting,
            ),
            (
                vec![(2, RunState::TimedOut)],
                OnLate::Rerun,
                FireState::Failed,
            ),
            (
                vec![(1, RunState::Succeeded)],
                OnLate::Rerun,
                FireState::Late,
            ),
            (
                vec![(1, RunState::Succeeded)],
                OnLate::Ignore,
                FireState::Done,
            ),
            (
                vec![(1, RunState::Failed)],
                OnLate::Rerun,
                FireState::Missing,
            ),
        ] {
            let states = runs.iter().map(|(n, state)| (key(*n), *state)).collect();
            let found = state_of(&Fire::window(window(2)), &states, on_late);
            assert_eq!(found, expected, "{runs:?} {on_late:?}");
        }
    }
}
