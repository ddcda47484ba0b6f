//! Windows closed again at once, after readings have left the table.
//!
//! Only windows that have a row get a new one, also when nothing is left in them: one that is still open is counted when it
//! closes.

use forebay_lake::{LakeError, LakeWriter, Transaction};
use forebay_schemas::{
    SiteId, Timestamp,
    table::{READINGS, WINDOWS},
};
use tracing::info;

use super::{
    Stretch, Tables, WINDOWS_SEEN, WindowSettings, close, close::load, count, table_rows,
    table_rows::WindowRow, wrong,
};
use crate::{
    CompactorError,
    rollups::{RollUp, roll_up},
};

/// How often another process may close windows in between.
const TRIES_MAX: u32 = 4;

/// Writes a new revision of each closed window of a site between two event times (µs since 1970 UTC, both included) that
/// holds another number of readings than its row says; answers how many.
///
/// # Errors
/// As [`super::close_windows`].
pub(crate) async fn revise(
    lake: &LakeWriter,
    settings: &WindowSettings,
    site: &SiteId,
    (first, last): (i64, i64),
    now: Timestamp,
) -> Result<u64, CompactorError> {
    let site_id = site;
    let site = site.as_str();
    let window = settings.window_micros();
    let from = first.div_euclid(window).saturating_mul(window);
    let to = last
        .div_euclid(window)
        .saturating_add(1)
        .saturating_mul(window);
    let app_id = lake.keeper().app_id(&format!("windows/{site}"), 0);
    for _ in 0..TRIES_MAX {
        let (from_state, state) = load(lake, &app_id).await?;
        let version = lake
            .table(&READINGS)
            .map_err(wrong)?
            .snapshot()
            .await
            .map_err(wrong)?
            .version();
        let lately = from.saturating_sub(WINDOWS_SEEN.saturating_mul(window));
        let tables = Tables::open(lake).await?;
        let counts = tables.counts(site, (lately, to), window).await?;
        let known = tables.known(site, &[(from, to)]).await?;
        let mut rows = Vec::new();
        for (start, known) in &known {
            let row = WindowRow::of(&counts, *start, window);
            if row.rows != known.rows {
                rows.push(WindowRow {
                    revision: known.revision.saturating_add(1),
                    ..row
                });
            }
        }
        let now_over = settings.over(now.micros());
        roll_up_revised(
            lake,
            &tables,
            settings,
            site_id,
            (from, to.min(now_over)),
            now,
        )
        .await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let watermark = to.min(now.micros());
        let batch =
            table_rows::batch(site, &rows, window, watermark, version, now).map_err(wrong)?;
        let table = lake.table(&WINDOWS).map_err(wrong)?;
        let to_state = lake
            .keeper()
            .store(table, &app_id, from_state, &state, lake.random())
            .await
            .map_err(wrong)?;
        let transaction = Transaction {
            app_id: app_id.clone(),
            from_state,
            to_state,
        };
        match lake.append(&WINDOWS, batch, transaction, now).await {
            Ok(_) => {
                info!(site, windows = rows.len(), "windows closed again");
                return Ok(rows.len() as u64);
            }
            Err(LakeError::Fenced { .. }) => {}
            Err(source) => return Err(wrong(source)),
        }
    }
    Err(wrong(LakeError::Contended {
        table: WINDOWS.name,
        attempts: TRIES_MAX,
    }))
}

/// Brings the roll-ups of whole windows up to what is left of their readings.
async fn roll_up_revised(
    lake: &LakeWriter,
    tables: &Tables,
    settings: &WindowSettings,
    site: &SiteId,
    (from, to): Stretch,
    now: Timestamp,
) -> Result<(), CompactorError> {
    let readings = lake.table(&READINGS).map_err(wrong)?;
    let adds = readings.snapshot().await.map_err(wrong)?.files();
    let spec = RollUp {
        site,
        levels: settings.rollups,
        changed: &[(from, to)],
        days: &count::days(lake, &count::files_of(&adds, site.as_str())),
        over: to,
        fixed_before: close::deleted_before(lake, site.as_str()).await?,
    };
    roll_up(lake, tables, &spec, now).await.map(drop)
}
