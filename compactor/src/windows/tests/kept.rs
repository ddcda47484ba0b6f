//! Retention beside windows: what is pending stays, what was deleted makes no new revision, roll-ups outlive readings.

use forebay_config::Document;
use forebay_schemas::table::{DELETIONS, READINGS, READINGS_1H, READINGS_1M};

use super::*;
use crate::{
    Hold, RETENTION, RetentionMemory, RetentionSettings, SiteExpired, delete_old, would_delete,
};

const DAY: i64 = 86_400;

fn retention(text: &str) -> RetentionSettings {
    let text = format!("[retention]\n{text}");
    let document = Document::new(std::path::Path::new("f.toml"), &text, &|_| None);
    let settings = document.read(|root| {
        let mut table = root.table(&RETENTION)?;
        let settings = RetentionSettings::read(&mut table);
        table.finish();
        settings
    });
    settings.unwrap()
}

impl Bench {
    /// Two devices on the first day, one of them on the fourth.
    async fn of_days(looked: Option<Looked>) -> Self {
        let mut bench = Self {
            looked,
            settings: WindowSettings {
                rollups: RollupLevels::ALL,
                ..settings()
            },
            ..Self::new().await
        };
        let good = || Status::GOOD;
        bench
            .commit(&[("a", 10, good()), ("b", 20, good()), ("a", 70, good())])
            .await;
        bench.commit(&[("a", 3 * DAY, good())]).await;
        bench
    }

    async fn deleted(&self, settings: &RetentionSettings, holds: &[Hold], at_second: i64) -> u64 {
        let levels = self.settings.rollups;
        let now = at(at_second);
        let would = would_delete(&self.lake, settings, levels, holds, now).await;
        let mut memory = RetentionMemory::default();
        let done = delete_old(&self.lake, settings, levels, holds, &mut memory, now).await;
        let done = done.unwrap();
        assert_eq!(would.unwrap(), done, "a dry run says what is done");
        let rows = |of_site: &SiteExpired| of_site.expired.rows();
        done.iter().map(rows).sum()
    }

    async fn left(&self) -> Vec<String> {
        let sql = format!(
            "select device, cast(event_time as bigint) / 1000000 - {T0} from readings order by 2"
        );
        self.select(&READINGS, &sql).await
    }
}

#[tokio::test]
async fn readings_are_deleted_once_their_windows_are_closed_and_close_them_no_more() {
    for looked in [None, Some(Looked::default())] {
        closed_first(Bench::of_days(looked).await).await;
    }
}

async fn closed_first(mut bench: Bench) {
    let by_day = retention("readings = \"1d\"");
    let now = 3 * DAY + 100;
    assert_eq!(
        bench.deleted(&by_day, &[], now).await,
        0,
        "their windows are open"
    );
    assert_eq!(bench.close(3 * DAY).await, 2);
    let rolled_up = (
        bench.rolled_up(&READINGS_1M).await,
        bench.rolled_up(&READINGS_1H).await,
    );
    assert_eq!((rolled_up.0.len(), rolled_up.1.len()), (3, 2));

    let held = Hold {
        site: None,
        from: at(60).micros(),
        to: at(80).micros(),
        why: "a back-fill".into(),
    };
    let of_b = retention("[[retention.rule]]\nsites = [\"pl*\"]\ndevices = [\"b\"]\nkeep = \"1d\"");
    assert_eq!(bench.deleted(&of_b, &[], now).await, 1);
    assert_eq!(bench.left().await, ["a 10", "a 70", "a 259200"]);
    assert_eq!(bench.deleted(&by_day, &[held], now).await, 1);
    assert_eq!(bench.left().await, ["a 70", "a 259200"]);
    assert_eq!(bench.close(now).await, 0, "fewer readings are no revision");
    assert_eq!(bench.deleted(&by_day, &[], now).await, 1);
    assert_eq!(bench.deleted(&by_day, &[], now).await, 0);

    bench.commit(&[("a", 3 * DAY + 100, Status::GOOD)]).await;
    assert_eq!(bench.close(3 * DAY + 200).await, 1);
    let windows = bench.rows().await;
    assert_eq!(windows.len(), 3, "each window has one row: {windows:?}");
    let mut minutes = bench.rolled_up(&READINGS_1M).await;
    minutes.retain(|row| !row.starts_with("a 259200"));
    assert_eq!(minutes, rolled_up.0, "roll-ups outlive their readings");
    let verified = bench.verified().await;
    assert_eq!(
        verified,
        ["ok readings=2 files=2 gaps=0 doubled=0 missing=0"]
    );
    let sql = "select rule, rows from deletions order by deleted_at, rule";
    let told = bench.select(&DELETIONS, sql).await;
    let expected = [
        "readings, 1d 1",
        "readings, 1d 1",
        "rule sites pl* devices b, 1d 1",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_comes_late_for_deleted_times_is_counted_and_fixes_nothing() {
    let mut bench = Bench::of_days(None).await;
    bench.close(3 * DAY).await;
    let of_b = retention("[[retention.rule]]\ndevices = [\"b\"]\nkeep = \"1d\"");
    let now = 3 * DAY + 100;
    assert_eq!(bench.deleted(&of_b, &[], now).await, 1);
    let before = bench.rolled_up(&READINGS_1M).await;
    let good = || Status::GOOD;
    let late = [("a", 12, good()), ("c", 14, good()), ("a", now, good())];
    bench.commit(&late).await;
    assert_eq!(bench.deleted(&of_b, &[], now).await, 0);
    assert_eq!(bench.close(now).await, 2, "three are more than two");
    let after = bench.rolled_up(&READINGS_1M).await;
    let expected = [
        before[0].as_str(),
        &before[1],
        &before[2],
        "c 0 14.0 14.0 14.0 14.0 1 0",
    ];
    assert_eq!(after[..2], expected[..2]);
    assert!(after.contains(&expected[3].to_owned()), "{after:?}");
    assert_eq!(after.len(), 5, "{after:?}");
}

#[tokio::test]
async fn a_level_that_is_not_made_yet_holds_its_readings() {
    let mut bench = Bench::of_days(None).await;
    bench.settings.rollups = RollupLevels::NONE;
    bench.close(3 * DAY).await;
    bench.settings.rollups = RollupLevels::ALL;
    let by_day = retention("readings = \"1d\"");
    let now = 3 * DAY + 100;
    assert_eq!(bench.deleted(&by_day, &[], now).await, 0);
    bench.close(now).await;
    assert_eq!(bench.deleted(&by_day, &[], now).await, 3);
    assert_eq!(bench.rolled_up(&READINGS_1H).await.len(), 2);
}

#[tokio::test]
async fn roll_ups_are_kept_as_long_as_they_are_asked_to_be() {
    let mut bench = Bench::of_days(None).await;
    bench.close(3 * DAY).await;
    let settings = retention("readings_1m = \"2d\"\nreadings_1h = \"20d\"");
    let now = 3 * DAY + 100;
    assert_eq!(bench.deleted(&settings, &[], now).await, 3);
    let none: [&str; 0] = [];
    assert_eq!(bench.rolled_up(&READINGS_1M).await, none);
    assert_eq!(bench.rolled_up(&READINGS_1H).await.len(), 2);
    assert_eq!(bench.left().await.len(), 4);
    let verified = bench.verified().await;
    assert_eq!(
        verified,
        ["ok readings=4 files=2 gaps=0 doubled=0 missing=0"]
    );
}
