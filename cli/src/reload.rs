//! The configuration read again while the gateway runs: on SIGHUP, when the file changes, and by `forebay reload`.
//!
//! Invariants: a file that is wrong changes nothing; connectors that say the same are not disturbed; what a connector has handed over
//! before it is exchanged is durable. Tables other than `[[connector]]` wait for the next start, and are named.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use forebay_gateway::{Changes, EdgeControl, shared_series};
use tokio::{
    select,
    signal::unix::Signal,
    sync::Mutex,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{config::Config, place::Place};

/// How often it is looked whether the file was changed.
const LOOK: Duration = Duration::from_secs(2);

/// The tables that a reload takes up.
const TAKEN_UP: [&str; 2] = ["connector", "step"];

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) changes: Changes,
    /// Tables that were changed and are read at the next start.
    pub(crate) at_next_start: Vec<String>,
}

/// Reads the configuration again.
pub(crate) struct Reloader {
    place: Place,
    edge: EdgeControl,
    /// The tables as they were at the start, by their fingerprints.
    started: BTreeMap<String, u64>,
    /// One at a time.
    turn: Mutex<()>,
}

impl Reloader {
    pub(crate) fn new(place: Place, edge: EdgeControl, started: BTreeMap<String, u64>) -> Self {
        Self {
            place,
            edge,
            started,
            turn: Mutex::new(()),
        }
    }

    /// # Errors
    /// The configuration is wrong, and nothing was changed; or the edge has stopped.
    pub(crate) async fn reload(&self) -> anyhow::Result<Outcome> {
        let _turn = self.turn.lock().await;
        let config = Config::load_aside(&self.place).await?;
        let at_next_start = changed(&self.started, &config.tables);
        let shared = shared_series(&config.sources);
        let changes = self.edge.reload(config.sources).await;
        let changes = changes.context("the edge has stopped")?;
        for sentence in shared {
            warn!("{sentence}");
        }
        Ok(Outcome {
            changes,
            at_next_start,
        })
    }

    async fn reload_and_log(&self, why: &str) {
        match self.reload().await {
            Ok(Outcome {
                changes,
                at_next_start,
            }) => {
                let Changes {
                    added,
                    changed,
                    removed,
                    draining,
                    unchanged,
                } = changes;
                info!(
                    why,
                    ?added,
                    ?changed,
                    ?removed,
                    ?draining,
                    unchanged,
                    "configuration reloaded"
                );
                if !at_next_start.is_empty() {
                    warn!(
                        tables = at_next_start.join(", "),
                        "changed tables that a reload does not take up: restart the service to apply them"
                    );
                }
            }
            Err(failed) => error!(
                why,
                error = format!("{failed:#}"),
                "configuration not reloaded, the last good one stays"
            ),
        }
    }
}

/// Reloads at each SIGHUP, and when the file has changed and lies still, until `stop`.
pub(crate) async fn watch(
    reloader: &Reloader,
    mut hang_up: Signal,
    watches_file: bool,
    stop: CancellationToken,
) {
    let file = reloader.place.config.clone().filter(|_| watches_file);
    let mut seen = file.as_deref().and_then(stamp);
    let mut applied = seen;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        select! {
            () = stop.cancelled() => return,
            Some(()) = hang_up.recv() => {
                applied = file.as_deref().and_then(stamp);
                seen = applied;
                reloader.reload_and_log("SIGHUP").await;
            }
            _ = looks.tick(), if file.is_some() => {
                let now = file.as_deref().and_then(stamp);
                // An editor writes in several steps: what changes still is left for the next look.
                let lies_still = now == seen && now.is_some();
                seen = now;
                if lies_still && now != applied {
                    applied = now;
                    reloader.reload_and_log("the file was changed").await;
                }
            }
        }
    }
}

/// What changes with a file's content, as far as it can be seen from outside.
fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let about = file.metadata().ok()?;
    Some((about.modified().ok()?, about.len()))
}

/// The names of tables that are not as they were, except those that a reload takes up.
fn changed(before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> Vec<String> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let differs =
        |name: &&String| !TAKEN_UP.contains(&name.as_str()) && before.get(*name) != now.get(*name);
    names.into_iter().filter(differs).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_wait_for_the_next_start_are_named() {
        let tables = |of: &[(&str, u64)]| {
            of.iter()
                .map(|(name, f)| ((*name).to_owned(), *f))
                .collect()
        };
        let before = tables(&[("gateway", 1), ("connector", 2), ("lake", 3)]);
        let now = tables(&[("gateway", 1), ("connector", 9), ("lake", 4), ("job", 5)]);
        assert_eq!(changed(&before, &now), ["job", "lake"]);
        assert_eq!(changed(&before, &before), Vec::<String>::new());
    }
}
