//! Roll-ups follow the windows: written once, again for what came late, and nothing at a restart.

use forebay_lake::verify_lake;
use forebay_schemas::table::{READINGS_1H, READINGS_1M, TABLES};

use super::*;

async fn bench(looked: Option<Looked>) -> Bench {
    Bench {
        looked,
        settings: WindowSettings {
            rollups: RollupLevels::ALL,
            ..settings()
        },
        ..Bench::new().await
    }
}

impl Bench {
    /// Device, second, min, max, mean, last, count, count_bad.
    pub(super) async fn rolled_up(&self, table: &'static Table) -> Vec<String> {
        let sql = format!(
            "select device, cast(time_start as bigint) / 1000000 - {T0}, min, max, mean, last, count, count_bad from {} order by 1, 2",
            table.name
        );
        self.select(table, &sql).await
    }

    async fn version_of(&self, table: &'static Table) -> u64 {
        let table = self.lake.table(table).unwrap();
        table.snapshot().await.unwrap().version()
    }

    /// The last line and the faults that `verify` finds.
    pub(super) async fn verified(&self) -> Vec<String> {
        let tables: Vec<_> = TABLES
            .iter()
            .map(|table| self.lake.table(table).unwrap().clone())
            .collect();
        let decrypter = self.lake.decrypter();
        let report = verify_lake(&tables, self.lake.keeper(), &decrypter).await;
        let report = report.unwrap();
        let faults = report.faults.iter().map(ToString::to_string);
        faults.chain([report.to_string()]).collect()
    }
}

#[tokio::test]
async fn roll_ups_are_written_when_their_time_is_over_and_again_for_what_came_late() {
    for looked in [None, Some(Looked::default())] {
        written_and_again(bench(looked).await).await;
    }
}

async fn written_and_again(mut bench: Bench) {
    let good = || Status::GOOD;
    bench
        .commit(&[
            ("a", 10, good()),
            ("a", 20, good()),
            ("a", 59, Status::bad(None, "x")),
            ("b", 70, good()),
        ])
        .await;
    bench.commit(&[("a", 3_599, good())]).await;
    bench.close(3_599).await;
    let minutes = [
        "a 0 10.0 20.0 15.0 20.0 2 1",
        "b 60 70.0 70.0 70.0 70.0 1 0",
    ];
    assert_eq!(bench.rolled_up(&READINGS_1M).await, minutes);
    let none: [&str; 0] = [];
    assert_eq!(
        bench.rolled_up(&READINGS_1H).await,
        none,
        "the hour goes on"
    );

    // The hour ends with windows that hold nothing, and with one that does.
    bench.commit(&[("a", 3_660, good())]).await;
    bench.close(3_660).await;
    let minutes = [
        minutes[0],
        "a 3540 3599.0 3599.0 3599.0 3599.0 1 0",
        minutes[1],
    ];
    assert_eq!(bench.rolled_up(&READINGS_1M).await, minutes);
    let hours = [
        "a 0 10.0 3599.0 1209.6666666666667 3599.0 3 1",
        "b 0 70.0 70.0 70.0 70.0 1 0",
    ];
    assert_eq!(bench.rolled_up(&READINGS_1H).await, hours);

    // Late: kept at once, rolled up with the window's next revision, in one commit.
    bench
        .commit(&[("a", 30, good()), ("a", 3_661, good())])
        .await;
    let before = (
        bench.version_of(&READINGS_1M).await,
        bench.version_of(&READINGS_1H).await,
    );
    bench.close(3_685).await;
    let minutes = ["a 0 10.0 30.0 20.0 30.0 3 1", minutes[1], minutes[2]];
    assert_eq!(bench.rolled_up(&READINGS_1M).await, minutes);
    let hours = ["a 0 10.0 3599.0 914.75 3599.0 4 1", hours[1]];
    assert_eq!(bench.rolled_up(&READINGS_1H).await, hours);
    let after = (
        bench.version_of(&READINGS_1M).await,
        bench.version_of(&READINGS_1H).await,
    );
    assert_eq!(after, (before.0 + 1, before.1 + 1));

    bench.looked = None;
    bench.close(3_690).await;
    let again = (
        bench.version_of(&READINGS_1M).await,
        bench.version_of(&READINGS_1H).await,
    );
    assert_eq!(again, after, "a restart writes nothing");
}

/// A level that is added later is made of what is there, and the state says so although no window is closed.
#[tokio::test]
async fn a_level_that_is_new_is_made_of_all_readings() {
    let mut bench = Bench::new().await;
    let good = || Status::GOOD;
    bench
        .commit(&[("a", 10, good()), ("a", 3_700, good())])
        .await;
    bench.close(3_700).await;
    let none: [&str; 0] = [];
    assert_eq!(bench.rolled_up(&READINGS_1H).await, none);
    bench.settings.rollups = RollupLevels::ALL;
    bench.close(3_701).await;
    let hours = ["a 0 10.0 10.0 10.0 10.0 1 0"];
    assert_eq!(bench.rolled_up(&READINGS_1H).await, hours);
    let noted = bench.version_of(&WINDOWS).await;
    bench.close(3_702).await;
    assert_eq!(bench.version_of(&WINDOWS).await, noted, "noted once");
}

#[tokio::test]
async fn verify_holds_roll_ups_against_readings() {
    let mut bench = bench(None).await;
    let good = || Status::GOOD;
    let day = 86_400;
    bench.commit(&[("a", 10, good()), ("a", 70, good())]).await;
    bench.commit(&[("a", 2 * day, good())]).await;
    bench.close(2 * day).await;
    let sound = bench.verified().await;
    assert_eq!(sound, ["ok readings=3 files=2 gaps=0 doubled=0 missing=0"]);

    // A row that is not of these readings.
    let site = SiteId::new("plant").unwrap();
    let empty = arrow::array::RecordBatch::new_empty(forebay_lake::file_schema(&READINGS_1M));
    let wrong = forebay_lake::ReplaceSpec {
        table: &READINGS_1M,
        site,
        stretches: vec![(at(60).micros(), at(120).micros())],
        rows: empty,
        fixed_before: None,
    };
    forebay_lake::replace(&bench.lake, &wrong, at(3 * day))
        .await
        .unwrap();
    let faults = bench.verified().await;
    assert_eq!(
        faults[0],
        "site plant: table readings_1m is wrong for 1 days, the first is 2023-11-14: it is of 1 readings instead of 2"
    );
}

#[tokio::test]
async fn an_import_is_rolled_up_too() {
    let bench = bench(None).await;
    commit_beside(&bench.lake, "import", "plant", &[10, 70], Vec::new()).await;
    let plant = SiteId::new("plant").unwrap();
    close_imported(&bench.lake, &bench.settings, &plant, at(7_200))
        .await
        .unwrap();
    let minutes = [
        "a 0 10.0 10.0 10.0 10.0 1 0",
        "a 60 70.0 70.0 70.0 70.0 1 0",
    ];
    assert_eq!(bench.rolled_up(&READINGS_1M).await, minutes);
    assert_eq!(
        bench.rolled_up(&READINGS_1H).await,
        ["a 0 10.0 70.0 40.0 70.0 2 0"]
    );
}
