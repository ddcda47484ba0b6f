//! Windows of event time, closed by watermark: a row in `windows` says that a window's readings are there (E11).
//!
//! Invariants: one transaction per site and pass, fenced as in E6, so that neither a restart nor a second process closes a
//! window twice; a window is closed again, with a higher revision, when readings came late, at most once per `lateness`.
//! A window whose readings retention has deleted is not: it is closed again only for more readings than its row says.
//! Roll-ups are brought up to the readings before the rows that say so.
//! A window without readings has no row. What a window holds is counted in the table, never remembered: what is remembered
//! is which files were counted.

mod close;
mod count;
mod freshness;
mod progress;
mod revise;
mod settings;
mod streams;
mod stretches;
mod table_rows;
#[cfg(test)]
mod tests;
mod touched;
mod waiting;
mod watermark;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use forebay_lake::{LakeError, LakeWriter};
use forebay_runtime::RateLimit;
use forebay_schemas::{Clock, ErrorKind, SiteId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{error, field::Empty, info, info_span, warn};

use crate::{CompactorError, traced::traced};
use close::close_site;
pub(crate) use count::{Days, Tables};
use freshness::Seen;
use settings::micros;
use streams::Streams;
pub(crate) use stretches::{Stretch, dense_from};
use touched::Files;
use waiting::Waiting;
use watermark::{bounds, watermarks};

pub use self::{
    freshness::{
        AgeParts, DeviceFreshness, PassedStream, PathParts, TableFreshness, by_table,
        fresh_devices, oldest_devices,
    },
    progress::WindowProgress,
    settings::WindowSettings,
    waiting::{HeldBy, WaitingWindow},
};
pub(crate) use close::unsettled;
pub(crate) use revise::revise;

/// A device belongs to a site's completeness if it sent something within so many windows.
const WINDOWS_SEEN: i64 = 24;

/// How often windows are looked at, at least and at most.
const PASS_MIN: Duration = Duration::from_secs(1);
const PASS_MAX: Duration = Duration::from_secs(60);

/// What has been closed of a site; the state object of its transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowsState {
    /// Version of this object's layout.
    format: u32,
    /// Readings of each day, counted from 1970-01-01, when its windows were last looked at.
    days: Days,
    /// The tables of the roll-ups that all of these days have; `forebay verify` reads it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rollups: Vec<String>,
}

/// Closes the windows of every site that live streams feed, until the stop; then once more.
///
/// # Errors
/// Those that no waiting mends.
pub async fn run_windows(
    lake: Arc<LakeWriter>,
    settings: WindowSettings,
    clock: Clock,
    progress: Arc<WindowProgress>,
    stop: CancellationToken,
) -> Result<(), CompactorError> {
    let every = (settings.window / 4).clamp(PASS_MIN, PASS_MAX);
    let mut looked = Looked::default();
    loop {
        let stopped = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            () = tokio::time::sleep(every) => false,
        };
        if let Err(error) = pass(&lake, &settings, clock(), &progress, &mut looked).await {
            match &error {
                _ if error.kind() == ErrorKind::Retry => {
                    warn!(%error, "closing windows failed, retrying")
                }
                _ => return Err(error),
            }
        }
        if stopped {
            return Ok(());
        }
    }
}

/// One pass over every site that live streams feed; answers how many rows were written.
///
/// # Errors
/// `Retry` for what the next pass mends.
pub async fn close_windows(
    lake: &LakeWriter,
    settings: &WindowSettings,
    now: Timestamp,
) -> Result<u64, CompactorError> {
    pass(
        lake,
        settings,
        now,
        &WindowProgress::default(),
        &mut Looked::default(),
    )
    .await
}

/// What the last look has seen.
#[derive(Debug, Default)]
struct Looked {
    streams: Streams,
    /// By site, the last look at it.
    sites: BTreeMap<String, Look>,
    waiting: Waiting,
    seen: Seen,
    waiting_log: RateLimit,
}

impl Looked {
    /// Says which windows wait, and for what.
    fn tell(&mut self, changed: &[WaitingWindow]) {
        let Some(skipped) = self.waiting_log.admit() else {
            return;
        };
        for WaitingWindow {
            site,
            window_start,
            held_by,
            ..
        } in changed
        {
            let (start, held_by) = (window_start.micros(), held_by.to_string());
            info!(
                site,
                held_by,
                window_start_micros = start,
                skipped,
                "a window is over and waits"
            );
        }
    }
}

/// What was seen of a site's readings.
#[derive(Debug)]
struct Look {
    at: Timestamp,
    /// The end of the last window that was over.
    over: i64,
    /// What the table had then.
    files: Files,
    /// Windows that are to be closed again, but not yet.
    later: Vec<Stretch>,
}

/// One pass. A site is counted only when another window is over, or to see what came late.
async fn pass(
    lake: &LakeWriter,
    settings: &WindowSettings,
    now: Timestamp,
    progress: &WindowProgress,
    looked: &mut Looked,
) -> Result<u64, CompactorError> {
    looked.streams.look(lake).await?;
    let bounds = bounds(looked.streams.sites(), settings, now);
    let told = looked.waiting.look(&bounds, settings, now);
    if !told.is_empty() {
        looked.tell(&told);
    }
    looked.seen.look(looked.streams.sites(), now);
    let watermarks: Watermarks = bounds
        .into_iter()
        .map(|(site, bound)| (site, bound.micros))
        .collect();
    progress.note(&watermarks, looked.streams.unreadable());
    progress.note_devices(looked.seen.devices(), looked.waiting.windows());
    let mut written = 0;
    for (site, watermark) in watermarks {
        let over = settings.over(watermark);
        let last = looked.sites.get(&site);
        let is_due = last.is_none_or(|look| {
            look.over != over || !is_within(look.at.micros(), now, settings.lateness)
        });
        if !is_due {
            continue;
        }
        let span = info_span!(
            "close_windows",
            site,
            trace_id = Empty,
            otel.status_description = Empty
        );
        match traced(
            span,
            close_site(lake, settings, &site, watermark, now, last),
        )
        .await
        {
            Ok((rows, look)) => {
                written += rows;
                match look {
                    Some(look) => {
                        progress.note_rolled_up(&site, look.over, settings.rollups);
                        looked.sites.insert(site, look);
                    }
                    None => drop(looked.sites.remove(&site)),
                }
            }
            Err(error) => {
                looked.sites.remove(&site);
                progress.failed(&site, 1);
                bear(&site, error)?;
            }
        }
    }
    Ok(written)
}

/// Whether the other sites' windows can go on. Hands back what concerns them all.
fn bear(site: &str, error: CompactorError) -> Result<(), CompactorError> {
    match &error {
        CompactorError::Lake { source, .. } if source.is_of_a_key() => {
            error!(site, %error, "a key is unavailable, the site's windows stay open until it is there");
        }
        _ => match error.kind() {
            ErrorKind::Retry => {
                warn!(site, %error, "closing the site's windows failed, retrying")
            }
            ErrorKind::Corrupt | ErrorKind::Reject => {
                error!(site, %error, "the site's windows cannot be closed: `forebay verify` names what is damaged");
            }
            ErrorKind::Fatal => return Err(error),
        },
    }
    Ok(())
}

/// Closes a site's windows after an import into it has ended: those that its live watermark has passed, or the clock where there
/// is none.
///
/// # Errors
/// As [`close_windows`].
pub(crate) async fn close_imported(
    lake: &LakeWriter,
    settings: &WindowSettings,
    site: &SiteId,
    now: Timestamp,
) -> Result<u64, CompactorError> {
    let mut streams = Streams::default();
    streams.look(lake).await?;
    let live = watermarks(streams.sites(), settings, now)
        .get(site.as_str())
        .copied();
    let (written, _) = close_site(
        lake,
        settings,
        site.as_str(),
        live.unwrap_or(now.micros()),
        now,
        None,
    )
    .await?;
    Ok(written)
}

pub(crate) fn wrong(source: LakeError) -> CompactorError {
    CompactorError::Lake {
        place: "windows".into(),
        source,
    }
}

/// Whether a time lies less than `duration` back. One that is ahead is not believed: a clock was wrong when it was written.
fn is_within(time: i64, now: Timestamp, duration: Duration) -> bool {
    (0..micros(duration)).contains(&now.micros().saturating_sub(time))
}

/// By site.
type Watermarks = BTreeMap<String, i64>;
