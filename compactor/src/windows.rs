//! Windows of event time, closed by watermark: a row in `windows` says that a window's readings are there (E11).
//!
//! Invariants: one transaction per site and pass, fenced as in E6, so that neither a restart nor a second process closes a
//! window twice; a window is closed again, with a higher revision, when readings came late, at most once per `lateness`.
//! A window without readings has no row. What a window holds is counted in the table, never remembered: what is remembered
//! is which files were counted.

mod count;
mod progress;
mod revise;
mod streams;
mod stretches;
mod table_rows;
#[cfg(test)]
mod tests;
mod touched;
mod watermark;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use forebay_lake::{LakeError, LakeWriter, Transaction};
use forebay_runtime::{Failpoint, failpoint};
use forebay_schemas::{
    Clock, ErrorKind, SiteId, Timestamp,
    table::{READINGS, TABLE_FORMAT_VERSION, WINDOWS},
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{error, field::Empty, info, info_span, warn};

use crate::{CompactorError, traced::traced};
use count::{Counts, Days, Known, Tables};
use streams::Streams;
use stretches::{Stretch, pieces, to_count, wanted_days};
use table_rows::WindowRow;
use touched::Files;
use watermark::watermarks;

pub use progress::WindowProgress;
pub(crate) use revise::revise;

/// A device belongs to a site's completeness if it sent something within so many windows.
const WINDOWS_SEEN: i64 = 24;

/// How often windows are looked at, at least and at most.
const PASS_MIN: Duration = Duration::from_secs(1);
const PASS_MAX: Duration = Duration::from_secs(60);

/// Which windows there are, and when they close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSettings {
    /// Their length; they begin at multiples of it since 1970 UTC.
    pub window: Duration,
    /// How far the watermark stays behind the clock when no device is heard, and how often a window may be closed again.
    pub lateness: Duration,
    /// A device that is silent, or further behind than this and `lateness`, holds the watermark no more.
    pub idle_timeout: Duration,
}

impl Default for WindowSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl WindowSettings {
    /// What holds where the configuration says nothing.
    pub const DEFAULT: Self = Self {
        window: Duration::from_secs(3_600),
        lateness: Duration::from_secs(600),
        idle_timeout: Duration::from_secs(300),
    };

    fn window_micros(&self) -> i64 {
        micros(self.window).max(1)
    }

    /// The end of the last window that a watermark has passed.
    fn over(&self, watermark: i64) -> i64 {
        let window = self.window_micros();
        watermark.div_euclid(window).saturating_mul(window)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// What has been closed of a site; the state object of its transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowsState {
    /// Version of this object's layout.
    format: u32,
    /// Readings of each day, counted from 1970-01-01, when its windows were last looked at.
    days: Days,
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
    let watermarks = watermarks(looked.streams.sites(), settings, now);
    progress.note(&watermarks, looked.streams.unreadable());
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
        let span = info_span!("close_windows", site, otel.status_description = Empty);
        match traced(
            span,
            close_site(lake, settings, &site, watermark, now, last),
        )
        .await
        {
            Ok((rows, look)) => {
                written += rows;
                match look {
                    Some(look) => drop(looked.sites.insert(site, look)),
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

fn wrong(source: LakeError) -> CompactorError {
    CompactorError::Lake {
        place: "windows".into(),
        source,
    }
}

/// Writes the rows of windows that are over and have none, or hold another number of readings than their last row says.
/// Answers how many, and what was seen; nothing where another process was faster.
async fn close_site(
    lake: &LakeWriter,
    settings: &WindowSettings,
    site: &str,
    watermark: i64,
    now: Timestamp,
    last: Option<&Look>,
) -> Result<(u64, Option<Look>), CompactorError> {
    let closing = look_at(lake, settings, site, watermark, now, last).await?;
    match closing.rows.len() as u64 {
        0 => Ok((0, Some(closing.look))),
        written => Ok(write(lake, settings, site, closing)
            .await?
            .map_or((0, None), |look| (written, Some(look)))),
    }
}

/// What a look at a site found, to be written if nobody else has written since.
#[derive(Debug)]
struct Closing {
    app_id: String,
    from_state: Option<i64>,
    after: WindowsState,
    /// The version of `readings` that the rows describe.
    version: u64,
    watermark: i64,
    rows: Vec<WindowRow>,
    look: Look,
}

async fn look_at(
    lake: &LakeWriter,
    settings: &WindowSettings,
    site: &str,
    watermark: i64,
    now: Timestamp,
    last: Option<&Look>,
) -> Result<Closing, CompactorError> {
    let app_id = lake.keeper().app_id(&format!("windows/{site}"), 0);
    let (from_state, before) = load(lake, &app_id).await?;
    let snapshot = lake
        .table(&READINGS)
        .map_err(wrong)?
        .snapshot()
        .await
        .map_err(wrong)?;
    let adds = snapshot.files();
    let of_site = count::files_of(&adds, site);
    let days = count::days(lake, &of_site);
    let window = settings.window_micros();
    let over = settings.over(watermark);
    let files = touched::times(lake, &of_site, last.map(|look| &look.files));
    let mut look = Look {
        at: now,
        over,
        files,
        later: Vec::new(),
    };
    let pieces = pieces(
        to_count(&wanted_days(&days, &before, over), last, &look),
        &days,
        window,
        over,
    );
    let rows = wanted_rows(lake, settings, site, &pieces, &mut look.later, now).await?;
    let mut after = WindowsState { days, ..before };
    // The day is looked at again when the lateness is over.
    after.days.extend(
        look.later
            .iter()
            .map(|(start, _)| (count::day_of(*start), 0)),
    );
    // Days whose windows are not all over yet are looked at again.
    after
        .days
        .retain(|day, _| count::day_start(*day + 1).saturating_add(window) <= over);
    let watermark = watermark.min(now.micros());
    Ok(Closing {
        app_id,
        from_state,
        after,
        version: snapshot.version(),
        watermark,
        rows,
        look,
    })
}

/// Writes what a look found; `None` where another process has written since.
async fn write(
    lake: &LakeWriter,
    settings: &WindowSettings,
    site: &str,
    closing: Closing,
) -> Result<Option<Look>, CompactorError> {
    let Closing {
        app_id,
        from_state,
        after,
        version,
        watermark,
        rows,
        look,
    } = closing;
    let batch = table_rows::batch(
        site,
        &rows,
        settings.window_micros(),
        watermark,
        version,
        look.at,
    )
    .map_err(wrong)?;
    let table = lake.table(&WINDOWS).map_err(wrong)?;
    let to_state = lake
        .keeper()
        .store(table, &app_id, from_state, &after, lake.random())
        .await
        .map_err(wrong)?;
    failpoint(Failpoint::InWindows);
    let transaction = Transaction {
        app_id,
        from_state,
        to_state,
    };
    match lake.append(&WINDOWS, batch, transaction, look.at).await {
        Ok(_) => info!(site, windows = rows.len(), "windows closed"),
        // Another process closed them.
        Err(LakeError::Fenced { .. }) => return Ok(None),
        Err(source) => return Err(wrong(source)),
    }
    Ok(Some(look))
}

/// The rows that windows of these pieces want; those that are to be closed again, but not yet, are noted in `later`.
async fn wanted_rows(
    lake: &LakeWriter,
    settings: &WindowSettings,
    site: &str,
    pieces: &[Stretch],
    later: &mut Vec<Stretch>,
    now: Timestamp,
) -> Result<Vec<WindowRow>, CompactorError> {
    let mut rows = Vec::new();
    if pieces.is_empty() {
        return Ok(rows);
    }
    let window = settings.window_micros();
    let tables = Tables::open(lake).await?;
    let known = tables.known(site, pieces).await?;
    for (from, to) in pieces {
        let lately = from.saturating_sub(WINDOWS_SEEN.saturating_mul(window));
        let counts = tables.counts(site, (lately, *to), window).await?;
        for (start, _) in counts.range(*from..*to) {
            match what_to_do(&counts, *start, known.get(start), settings, now) {
                Todo::Nothing => {}
                Todo::Later => later.push((*start, start.saturating_add(window))),
                Todo::Close { revision } => {
                    rows.push(WindowRow {
                        revision,
                        ..WindowRow::of(&counts, *start, window)
                    });
                }
            }
        }
    }
    Ok(rows)
}

async fn load(
    lake: &LakeWriter,
    app_id: &str,
) -> Result<(Option<i64>, WindowsState), CompactorError> {
    let table = lake.table(&WINDOWS).map_err(wrong)?;
    match table
        .snapshot()
        .await
        .map_err(wrong)?
        .state_of(app_id)
        .await
        .map_err(wrong)?
    {
        Some(number) => match lake.keeper().load(table, app_id, number).await {
            Ok(state) => Ok((Some(number), state)),
            // All that it holds is counted again: what was closed stands in the table.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                warn!(%error, "the state of a site's windows is lost, counting all of its days again");
                Ok((Some(number), nothing_seen()))
            }
            Err(error) => Err(wrong(error)),
        },
        None => Ok((None, nothing_seen())),
    }
}

fn nothing_seen() -> WindowsState {
    WindowsState {
        format: TABLE_FORMAT_VERSION,
        days: Days::new(),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Todo {
    Nothing,
    Later,
    Close { revision: i32 },
}

/// What becomes of a window that is over.
fn what_to_do(
    counts: &Counts,
    start: i64,
    known: Option<&Known>,
    settings: &WindowSettings,
    now: Timestamp,
) -> Todo {
    let rows: i64 = counts.get(&start).map_or(0, |devices| {
        devices.values().map(|device| device.rows).sum()
    });
    match known {
        None => Todo::Close { revision: 1 },
        Some(known) if known.rows == rows => Todo::Nothing,
        Some(known) if is_within(known.closed_at, now, settings.lateness) => Todo::Later,
        Some(known) => Todo::Close {
            revision: known.revision.saturating_add(1),
        },
    }
}

/// Whether a time lies less than `duration` back. One that is ahead is not believed: a clock was wrong when it was written.
fn is_within(time: i64, now: Timestamp, duration: Duration) -> bool {
    (0..micros(duration)).contains(&now.micros().saturating_sub(time))
}

/// By site.
type Watermarks = BTreeMap<String, i64>;
