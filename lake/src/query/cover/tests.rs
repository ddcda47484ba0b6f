//! Notes that hang or are damaged: the look goes on without them, and asks them again after a while.

use std::time::Duration;

use forebay_schemas::table::EVENTS;
use serde_json::json;

use super::*;
use crate::{
    Sealed,
    table::change::{Change, Purpose, Transaction},
    testing::{Bench, DAY_START, SITE, at, batch},
};

const STATES: &str = "windows/_forebay/state";
const LONG: Duration = Duration::from_secs(3_600);

/// A day of ten readings, all of whose windows are closed and rolled up.
async fn closed_day() -> Bench {
    let bench = Bench::new(Sealed::Columns).await;
    bench
        .ingest("a", &batch(1, 10, DAY_START), at(DAY_START))
        .await;
    let lake = &bench.writer;
    let windows = lake.table(&WINDOWS).unwrap();
    let days = BTreeMap::from([((DAY_START / MICROS_PER_DAY).to_string(), 10)]);
    let state = json!({"format": 1, "days": days, "rollups": [READINGS_1M.name]});
    let app_id = app_id(lake.keeper(), SITE);
    let keeper = lake.keeper();
    let to_state = keeper.store(windows, &app_id, None, &state, lake.random());
    let transaction = Transaction {
        to_state: to_state.await.unwrap(),
        app_id,
        from_state: None,
    };
    let change = Change {
        id: lake.id().unwrap(),
        purpose: Purpose::Append,
        transactions: vec![transaction],
        adds: Vec::new(),
        removes: Vec::new(),
    };
    windows.commit_change(&change).await.unwrap();
    bench
}

/// A look, and how often it read a state of windows.
async fn look(
    bench: &Bench,
    last: Option<&CoveredView>,
    patience: Patience,
) -> (CoveredView, usize) {
    let tables = [&READINGS, &READINGS_1M, &WINDOWS, &EVENTS];
    let tables = tables.map(|table| bench.writer.table(table).unwrap().clone());
    bench.store.reads_of(STATES);
    let decrypter = bench.writer.decrypter();
    let seen = CoveredView::look_with(patience, &tables, &decrypter, last);
    let seen = seen.await.unwrap();
    (seen, bench.store.reads_of(STATES))
}

fn is_covered(seen: &CoveredView) -> bool {
    let day = [(DAY_START, DAY_START + MICROS_PER_DAY)];
    let is_covered = seen.cover.of(SITE, READINGS_1M.name) == day;
    assert_eq!(seen.unread.is_none(), is_covered, "{:?}", seen.unread);
    if let Some(unread) = &seen.unread {
        assert_eq!(unread.sites.as_deref(), Some([SITE.to_owned()].as_slice()));
    }
    is_covered
}

#[tokio::test]
async fn a_note_that_hangs_is_left_out_and_rests() {
    let bench = closed_day().await;
    let patient = Patience {
        reading: LONG,
        ..Patience::DEFAULT
    };
    let (seen, reads) = look(&bench, None, patient).await;
    assert_eq!((is_covered(&seen), reads), (true, 1));
    let hasty = Patience {
        reading: Duration::from_millis(200),
        ..Patience::DEFAULT
    };
    bench.store.hang_reads(Some(STATES));
    let (seen, reads) = look(&bench, None, hasty).await;
    assert_eq!((is_covered(&seen), reads), (false, 1));
    bench.store.hang_reads(None);
    let (seen, reads) = look(&bench, Some(&seen), patient).await;
    assert_eq!((is_covered(&seen), reads), (false, 0));

    let rested = Patience {
        hung: Duration::ZERO,
        ..hasty
    };
    bench.store.hang_reads(Some(STATES));
    let (seen, _) = look(&bench, None, rested).await;
    assert!(!is_covered(&seen));
    bench.store.hang_reads(None);
    let (seen, reads) = look(&bench, Some(&seen), patient).await;
    assert_eq!((is_covered(&seen), reads), (true, 1));
    let (seen, reads) = look(&bench, Some(&seen), patient).await;
    assert_eq!((is_covered(&seen), reads), (true, 0));
}

#[tokio::test]
async fn a_damaged_note_is_asked_again_now_and_then() {
    let bench = closed_day().await;
    let states = bench.folder.path().join("lake").join(STATES);
    let folder = states.join(app_id(bench.writer.keeper(), SITE));
    let state = std::fs::read_dir(folder).unwrap().next().unwrap();
    let state = state.unwrap().path();
    let good = std::fs::read(&state).unwrap();
    std::fs::write(&state, "x").unwrap();
    let patient = Patience {
        reading: LONG,
        ..Patience::DEFAULT
    };
    let (seen, reads) = look(&bench, None, patient).await;
    assert_eq!((is_covered(&seen), reads), (false, 1));
    let (seen, reads) = look(&bench, Some(&seen), patient).await;
    assert_eq!((is_covered(&seen), reads), (false, 0));
    let rested = Patience {
        damaged: Duration::ZERO,
        ..patient
    };
    let (seen, reads) = look(&bench, None, rested).await;
    assert_eq!((is_covered(&seen), reads), (false, 1));
    std::fs::write(&state, good).unwrap();
    let (seen, reads) = look(&bench, Some(&seen), patient).await;
    assert_eq!((is_covered(&seen), reads), (true, 1));
}
