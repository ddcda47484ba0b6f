//! One site: which of its windows are to be closed, and the transaction that closes them.

use forebay_lake::{LakeError, LakeWriter, Transaction};
use forebay_runtime::{Failpoint, failpoint};
use forebay_schemas::{
    ErrorKind, Timestamp,
    table::{READINGS, TABLE_FORMAT_VERSION, WINDOWS},
};
use tracing::{info, warn};

use super::{
    Look, WINDOWS_SEEN, WindowSettings, WindowsState,
    count::{self, Counts, Days, Known, Tables},
    is_within,
    stretches::{Stretch, pieces, to_count, wanted_days},
    table_rows::{self, WindowRow},
    touched, wrong,
};
use crate::CompactorError;

/// Writes the rows of windows that are over and have none, or hold another number of readings than
/// their last row says. Answers how many, and what was seen; nothing where another process was
/// faster.
pub(super) async fn close_site(
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
pub(super) struct Closing {
    pub(super) app_id: String,
    pub(super) from_state: Option<i64>,
    pub(super) after: WindowsState,
    /// The version of `readings` that the rows describe.
    pub(super) version: u64,
    pub(super) watermark: i64,
    pub(super) rows: Vec<WindowRow>,
    pub(super) look: Look,
}

pub(super) async fn look_at(
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
pub(super) async fn write(
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

/// The rows that windows of these pieces want; those that are to be closed again, but not yet, are
/// noted in `later`.
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

pub(super) async fn load(
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
