//! One site: which of its windows are to be closed, and the transaction that closes them.

use std::collections::BTreeSet;

use forebay_lake::{Attempt, LakeError, LakeWriter, Transaction, expired_before};
use forebay_runtime::{Failpoint, failpoint};
use forebay_schemas::{
    ErrorKind, SiteId, Timestamp,
    table::{READINGS, TABLE_FORMAT_VERSION, WINDOWS},
};
use tracing::{error, info, warn};

use super::{
    Look, WINDOWS_SEEN, WindowSettings, WindowsState,
    count::{self, Counts, Days, Known, Tables},
    is_within,
    stretches::{Stretch, pieces, to_count, wanted_days},
    table_rows::{self, WindowRow},
    touched, wrong,
};
use crate::{
    CompactorError, RollupLevels,
    rollups::{RollUp, roll_up},
};

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
    roll_up_to(lake, settings, site, &closing).await?;
    let has_new_level = closing.known_levels != closing.after.rollups;
    match closing.rows.len() as u64 {
        0 if has_new_level => Ok((0, note(lake, closing).await?)),
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
    /// Readings of each day.
    pub(super) days: Days,
    /// Event times whose roll-ups may not be those of their readings.
    pub(super) to_roll_up: Vec<Stretch>,
    /// Readings before this time may have been deleted, µs since 1970 UTC.
    pub(super) deleted_before: Option<i64>,
    /// The tables of the roll-ups that the state found had.
    pub(super) known_levels: Vec<String>,
}

/// Brings the roll-ups up to what a look found.
async fn roll_up_to(
    lake: &LakeWriter,
    settings: &WindowSettings,
    site: &str,
    closing: &Closing,
) -> Result<(), CompactorError> {
    if closing.to_roll_up.is_empty() {
        return Ok(());
    }
    let spec = RollUp {
        site: &site_id(site)?,
        levels: settings.rollups,
        changed: &closing.to_roll_up,
        days: &closing.days,
        over: closing.look.over,
        fixed_before: closing.deleted_before,
    };
    roll_up(lake, &Tables::open(lake).await?, &spec, closing.look.at).await?;
    failpoint(Failpoint::InRollup);
    Ok(())
}

/// The stretches of event time whose roll-ups may have to be written: all days after a start, or where a level is new; then
/// the windows that are closed, and what has come to be over since the last look.
fn to_roll_up(
    settings: &WindowSettings,
    wanted: &BTreeSet<i32>,
    closing: &Closing,
    last: Option<&Look>,
) -> Vec<Stretch> {
    let levels = settings.rollups.tables();
    if levels.is_empty() {
        return Vec::new();
    }
    let day = |day: &i32| (count::day_start(*day), count::day_start(*day + 1));
    if levels
        .iter()
        .any(|level| !closing.known_levels.contains(level))
        && last.is_none()
    {
        return closing.days.keys().map(day).collect();
    }
    let Some(last) = last else {
        return wanted.iter().map(day).collect();
    };
    let window = settings.window_micros();
    let closed = closing.rows.iter();
    let mut stretches: Vec<Stretch> = closed
        .map(|row| (row.start, row.start.saturating_add(window)))
        .collect();
    // The stretch of a roll-up may end with a window that holds nothing, and then has no row.
    let over = closing.look.over;
    stretches.extend((last.over < over).then_some((last.over, over)));
    stretches
}

fn site_id(site: &str) -> Result<SiteId, CompactorError> {
    SiteId::new(site).map_err(|source| CompactorError::State {
        place: "windows".into(),
        source,
    })
}

/// Before which time readings of a site may have been deleted. Where the note of it cannot be read, any may: nothing is then
/// made of what is left.
pub(super) async fn deleted_before(
    lake: &LakeWriter,
    site: &str,
) -> Result<Option<i64>, CompactorError> {
    match expired_before(lake, &READINGS, &site_id(site)?).await {
        Ok(before) => Ok(before),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            error!(site, %error, "the note of deleted readings cannot be read, late readings may not count");
            Ok(Some(i64::MAX))
        }
        Err(error) => Err(wrong(error)),
    }
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
    let wanted = wanted_days(&days, &before, over);
    let known_levels = before.rollups.clone();
    let pieces = pieces(to_count(&wanted, last, &look), &days, window, over);
    let judge = Judge {
        settings,
        now,
        deleted_before: deleted_before(lake, site).await?,
    };
    let rows = wanted_rows(lake, &judge, site, &pieces, &mut look.later).await?;
    let mut after = WindowsState {
        days: days.clone(),
        rollups: settings.rollups.tables(),
        ..before
    };
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
    let mut closing = Closing {
        app_id,
        from_state,
        after,
        version: snapshot.version(),
        watermark,
        rows,
        look,
        days,
        to_roll_up: Vec::new(),
        deleted_before: judge.deleted_before,
        known_levels,
    };
    closing.to_roll_up = to_roll_up(settings, &wanted, &closing, last);
    Ok(closing)
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
        ..
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

/// Notes the state of a look that found no window to close; `None` where another process has written since.
async fn note(lake: &LakeWriter, closing: Closing) -> Result<Option<Look>, CompactorError> {
    let table = lake.table(&WINDOWS).map_err(wrong)?;
    let (app_id, from_state) = (closing.app_id, closing.from_state);
    let to_state = lake
        .keeper()
        .store(table, &app_id, from_state, &closing.after, lake.random())
        .await
        .map_err(wrong)?;
    let attempt = Attempt {
        id: lake.id().map_err(wrong)?,
        app_id,
        from_state,
        to_state,
        adds: Vec::new(),
    };
    match table.commit(&attempt).await {
        Ok(_) => Ok(Some(closing.look)),
        Err(LakeError::Fenced { .. }) => Ok(None),
        Err(source) => Err(wrong(source)),
    }
}

/// The rows that windows of these pieces want; those that are to be closed again, but not yet, are
/// noted in `later`.
async fn wanted_rows(
    lake: &LakeWriter,
    judge: &Judge<'_>,
    site: &str,
    pieces: &[Stretch],
    later: &mut Vec<Stretch>,
) -> Result<Vec<WindowRow>, CompactorError> {
    let mut rows = Vec::new();
    if pieces.is_empty() {
        return Ok(rows);
    }
    let window = judge.settings.window_micros();
    let tables = Tables::open(lake).await?;
    let known = tables.known(site, pieces).await?;
    for (from, to) in pieces {
        let lately = from.saturating_sub(WINDOWS_SEEN.saturating_mul(window));
        let counts = tables.counts(site, (lately, *to), window).await?;
        for (start, _) in counts.range(*from..*to) {
            match judge.what_to_do(&counts, *start, known.get(start)) {
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

/// Event times of a site whose windows are not all closed, or hold readings that were not counted when they were, or that a level
/// of roll-ups lacks: whole days, µs since 1970 UTC.
///
/// # Errors
/// When a table cannot be read.
pub(crate) async fn unsettled(
    lake: &LakeWriter,
    site: &str,
    levels: RollupLevels,
) -> Result<Vec<Stretch>, CompactorError> {
    let app_id = lake.keeper().app_id(&format!("windows/{site}"), 0);
    // First what was counted, then what is there: what has come between is not settled.
    let (_, state) = load(lake, &app_id).await?;
    let readings = lake.table(&READINGS).map_err(wrong)?;
    let adds = readings.snapshot().await.map_err(wrong)?.files();
    let days = count::days(lake, &count::files_of(&adds, site));
    // Fewer than were counted is what retention leaves.
    let is_rolled_up = levels
        .tables()
        .iter()
        .all(|level| state.rollups.contains(level));
    let is_open = |(day, rows): &(&i32, &i64)| {
        !is_rolled_up || state.days.get(day).is_none_or(|known| known < rows)
    };
    let open = days.iter().filter(is_open);
    Ok(open
        .map(|(day, _)| (count::day_start(*day), count::day_start(*day + 1)))
        .collect())
}

fn nothing_seen() -> WindowsState {
    WindowsState {
        format: TABLE_FORMAT_VERSION,
        days: Days::new(),
        rollups: Vec::new(),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Todo {
    Nothing,
    Later,
    Close { revision: i32 },
}

/// By what it is decided whether a window is closed.
struct Judge<'a> {
    settings: &'a WindowSettings,
    now: Timestamp,
    /// Readings before this time may have been deleted, µs since 1970 UTC.
    deleted_before: Option<i64>,
}

impl Judge<'_> {
    /// What becomes of a window that is over.
    fn what_to_do(&self, counts: &Counts, start: i64, known: Option<&Known>) -> Todo {
        let rows: i64 = counts.get(&start).map_or(0, |devices| {
            devices.values().map(|device| device.rows).sum()
        });
        match known {
            None => Todo::Close { revision: 1 },
            Some(known) if known.rows == rows => Todo::Nothing,
            // What retention has deleted was there when the window was closed.
            Some(known) if rows < known.rows && Some(start) < self.deleted_before => Todo::Nothing,
            Some(known) if is_within(known.closed_at, self.now, self.settings.lateness) => {
                Todo::Later
            }
            Some(known) => Todo::Close {
                revision: known.revision.saturating_add(1),
            },
        }
    }
}
