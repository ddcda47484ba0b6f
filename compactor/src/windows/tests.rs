use std::collections::{BTreeMap, BTreeSet};

use forebay_lake::{
    DeviceTimes, EpochMark, Lake, Sealed, SiteTimes, StreamState,
    keys::{FileKeyring, Random},
    partition_rows, session,
};
use forebay_schemas::{
    DeviceId, Epoch, EpochNonce, GatewayId, Lane, LaneId, Quality, Reading, Seq, Series, Status,
    TagName, Value,
    table::{Table, WINDOWS},
    wire::ReadingBatch,
};
use ring::rand::SystemRandom;

use super::{
    stretches::{pieces, to_count},
    *,
};
use crate::{RollupLevels, Step, commit};

mod bounds;
mod kept;
mod lost;
mod owners;
mod rollups;

/// 2023-11-14T22:00:00Z, the beginning of an hour.
const T0: i64 = 1_699_999_200;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((T0 + seconds) * 1_000_000).unwrap()
}

fn settings() -> WindowSettings {
    WindowSettings {
        window: Duration::from_secs(60),
        lateness: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(100),
        rollups: RollupLevels::NONE,
    }
}

fn site(devices: &[(&str, i64, i64)], held: Option<i64>) -> SiteTimes {
    let devices = devices.iter().map(|(device, event, observed)| {
        (
            (*device).to_owned(),
            DeviceTimes {
                event: at(*event).micros(),
                observed: at(*observed).micros(),
            },
        )
    });
    SiteTimes {
        site: "plant".into(),
        held: held.map(|held| at(held).micros()),
        devices: devices.collect(),
        ..SiteTimes::default()
    }
}

#[test]
fn the_watermark_is_the_lowest_of_what_counts() {
    let check = |sites: &[SiteTimes], expected: i64, why: &str| {
        let found = watermarks(sites.iter(), &settings(), at(1_000));
        assert_eq!(
            found,
            BTreeMap::from([("plant".to_owned(), at(expected).micros())]),
            "{why}"
        );
    };
    let fast = ("fast", 999, 999);
    check(
        &[site(&[fast, ("slow", 950, 998)], None)],
        950,
        "the lowest of two devices",
    );
    check(
        &[site(&[fast], None), site(&[("other", 960, 998)], None)],
        960,
        "the lowest of two partitions",
    );
    check(
        &[site(&[fast, ("silent", 700, 899)], None)],
        999,
        "a silent device leaves",
    );
    check(
        &[site(&[fast, ("behind", 879, 999)], None)],
        999,
        "a device far behind leaves",
    );
    check(
        &[site(&[("silent", 700, 700)], None)],
        980,
        "without a device it is the clock less the lateness",
    );
    check(&[site(&[fast], Some(500))], 500, "a jump holds it");
    check(
        &[site(&[("early", 5_000, 999)], None)],
        1_000,
        "it is never ahead of the clock",
    );
}

struct Bench {
    _folder: tempfile::TempDir,
    lake: LakeWriter,
    state: Option<i64>,
    seq: u64,
    /// What a process that goes on remembers; one that is restarted for each look remembers nothing.
    looked: Option<Looked>,
    settings: WindowSettings,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let random: Random = Arc::new(SystemRandom::new());
        let keyring =
            Arc::new(FileKeyring::create(&folder.path().join("keys"), random.clone()).unwrap());
        let lake = Lake::local(&folder.path().join("lake")).unwrap();
        let lake = LakeWriter::open(&lake, keyring, Sealed::Columns, random)
            .await
            .unwrap();
        Self {
            _folder: folder,
            lake,
            state: None,
            seq: 0,
            looked: None,
            settings: settings(),
        }
    }

    /// Commits readings, as (device, second, status), with a state that says they came live.
    async fn commit(&mut self, readings: &[(&str, i64, Status)]) {
        let reading = |(device, second, status): &(&str, i64, Status)| Reading {
            series: Series {
                site: SiteId::new("plant").unwrap(),
                device: DeviceId::new(device).unwrap(),
                tag: TagName::new("flow").unwrap(),
            },
            event_time: at(*second),
            observed_time: at(*second),
            value: (status.quality == Quality::Good).then_some(Value::F64(*second as f64)),
            unit: None,
            status: status.clone(),
        };
        let lane = LaneId {
            gateway: GatewayId::new("gw").unwrap(),
            lane: Lane(0),
        };
        let batch = ReadingBatch {
            lane,
            epoch: Epoch(7),
            nonce: EpochNonce::UNKNOWN,
            first_seq: Seq(self.seq + 1),
            readings: readings.iter().map(reading).collect(),
        };
        self.seq += readings.len() as u64;
        let mark = EpochMark {
            gateway: "gw".into(),
            epoch: 7,
            mark: self.seq,
            ..EpochMark::default()
        };
        let devices: Vec<_> = readings
            .iter()
            .map(|(device, second, _)| (*device, *second, *second))
            .collect();
        let state = StreamState {
            sites: vec![site(&devices, None)],
            ..StreamState::new(self.seq, vec![mark])
        };
        let step = Step {
            app_id: "a",
            from_state: self.state,
            state: &state,
            rows: &partition_rows(&[batch]).unwrap(),
        };
        self.state = Some(commit(&self.lake, step, at(0)).await.unwrap());
    }

    async fn close(&mut self, seconds: i64) -> u64 {
        let Some(looked) = &mut self.looked else {
            return close_windows(&self.lake, &self.settings, at(seconds))
                .await
                .unwrap();
        };
        pass(
            &self.lake,
            &self.settings,
            at(seconds),
            &WindowProgress::default(),
            looked,
        )
        .await
        .unwrap()
    }

    async fn rows(&self) -> Vec<String> {
        let sql = format!(
            "select cast(window_start as bigint) / 1000000 - {T0}, cast(window_end as bigint) / 1000000 - {T0}, revision, \
             rows, devices, round(completeness * 100) from windows order by 1, 3"
        );
        self.select(&WINDOWS, &sql).await
    }

    /// The rows of a query, the columns of each with a blank between them.
    async fn select(&self, table: &'static Table, sql: &str) -> Vec<String> {
        let table = self.lake.table(table).unwrap().clone();
        let session = session(&[table], &self.lake.decrypter()).await.unwrap();
        let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&batches)
            .unwrap()
            .to_string();
        let rows = text.lines().skip(3).filter(|line| !line.starts_with('+'));
        rows.map(|row| {
            row.split('|')
                .map(str::trim)
                .filter(|c| !c.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
    }
}

#[tokio::test]
async fn windows_close_once_and_again_for_what_came_late() {
    for looked in [None, Some(Looked::default())] {
        close_and_close_again(Bench {
            looked,
            ..Bench::new().await
        })
        .await;
    }
}

async fn close_and_close_again(mut bench: Bench) {
    let good = Status::GOOD;
    bench
        .commit(&[
            ("a", 10, good.clone()),
            ("b", 20, good.clone()),
            ("b", 59, Status::bad(None, "x")),
        ])
        .await;
    assert_eq!(
        bench.close(60).await,
        0,
        "the watermark has not passed the window"
    );
    bench
        .commit(&[
            ("a", 70, good.clone()),
            ("a", 119, good.clone()),
            ("a", 125, good.clone()),
        ])
        .await;
    assert_eq!(bench.close(126).await, 2);
    let first = ["0 60 1 3 2 100.0", "60 120 1 2 1 50.0"];
    assert_eq!(bench.rows().await, first);
    assert_eq!(bench.close(127).await, 0, "a restart closes nothing twice");

    bench
        .commit(&[("a", 30, good.clone()), ("a", 128, good.clone())])
        .await;
    assert_eq!(
        bench.close(130).await,
        0,
        "at most one revision per lateness"
    );
    assert_eq!(bench.close(147).await, 1);
    assert_eq!(
        bench.rows().await,
        ["0 60 1 3 2 100.0", "0 60 2 4 2 100.0", first[1]]
    );
    assert_eq!(bench.close(170).await, 0);
    assert_eq!(
        bench.close(500).await,
        1,
        "without a live device the clock closes the rest"
    );
    assert_eq!(bench.rows().await.last().unwrap(), "120 180 1 2 1 50.0");
}

#[test]
fn only_what_has_changed_is_counted_again() {
    let (day, minute) = (count::day_of(at(0).micros()), 60);
    let files = |files: &[(&str, i64, i64)]| -> Files {
        let times = |(path, first, last): &(&str, i64, i64)| {
            (
                (*path).to_owned(),
                (at(*first).micros(), at(*last).micros()),
            )
        };
        files.iter().map(times).collect()
    };
    let look = |minutes: i64, of: &[(&str, i64, i64)], later: &[Stretch]| Look {
        at: at(0),
        over: at(minutes * minute).micros(),
        files: files(of),
        later: later
            .iter()
            .map(|(from, to)| (at(*from).micros(), at(*to).micros()))
            .collect(),
    };
    let check = |last: Option<&Look>, now: &Look, expected: &[Stretch], why: &str| {
        let expected: Vec<_> = expected
            .iter()
            .map(|(from, to)| (at(*from).micros(), at(*to).micros()))
            .collect();
        let found = to_count(&BTreeSet::from([day]), last, now);
        assert_eq!(
            pieces(found, &Days::from([(day, i64::MAX)]), 60_000_000, now.over),
            expected,
            "{why}"
        );
    };
    let [a, b] = [("a", 0, 59), ("b", 55, 119)];
    let first = look(1, &[a], &[]);
    // 22:00 is the beginning of the hour.
    let start = -22 * 3_600;
    let of_day: Vec<Stretch> = (start..60)
        .step_by(72 * 60)
        .map(|from| (from, (from + 72 * 60).min(60)))
        .collect();
    check(
        None,
        &first,
        &of_day,
        "after a start, the whole day as far as it is over",
    );
    check(
        Some(&first),
        &look(1, &[a], &[]),
        &[],
        "nothing has changed",
    );
    check(
        Some(&first),
        &look(2, &[a], &[]),
        &[(60, 120)],
        "a window that has come to be over",
    );
    check(
        Some(&first),
        &look(2, &[a, b], &[]),
        &[(0, 120)],
        "a file that has come, too",
    );
    check(
        Some(&look(2, &[a, b], &[(0, 60)])),
        &look(2, &[a, b], &[]),
        &[(0, 60)],
        "what was left for later",
    );
    let old = look(5_000, &[], &[(0, 60), (240_000, 240_060)]);
    check(
        Some(&old),
        &look(5_000, &[], &[]),
        &[(0, 60), (240_000, 240_060)],
        "and nothing between",
    );
    check(
        Some(&first),
        &look(1, &[a, ("c", 70, 80)], &[]),
        &[],
        "a file of a window that is not over",
    );
    let elsewhere = to_count(&BTreeSet::new(), Some(&first), &look(1, &[a, b], &[]));
    assert!(elsewhere.is_empty(), "a day that was counted elsewhere");
}

#[tokio::test]
async fn an_import_closes_what_no_live_watermark_holds_back() {
    let mut bench = Bench::new().await;
    bench
        .commit(&[("a", 10, Status::GOOD), ("a", 5_000_000, Status::GOOD)])
        .await;
    let plant = SiteId::new("plant").unwrap();
    let close = async |seconds| {
        close_imported(&bench.lake, &settings(), &plant, at(seconds))
            .await
            .unwrap()
    };
    assert_eq!(
        close(5_000_001).await,
        1,
        "the live watermark stands in the second window"
    );
    assert_eq!(close(5_000_001).await, 0);
    let other = SiteId::new("o'ther").unwrap();
    assert_eq!(
        close_imported(&bench.lake, &settings(), &other, at(1))
            .await
            .unwrap(),
        0
    );
    assert_eq!(close(6_000_000).await, 1);
}

#[tokio::test]
async fn a_clock_that_was_ahead_once_holds_no_revision_back() {
    const DAY: i64 = 86_400;
    let mut bench = Bench::new().await;
    bench
        .commit(&[("a", 10, Status::GOOD), ("a", 70, Status::GOOD)])
        .await;
    assert_eq!(bench.close(DAY).await, 2, "by a clock that is a day ahead");
    bench
        .commit(&[("a", 20, Status::GOOD), ("a", 130, Status::GOOD)])
        .await;
    assert_eq!(bench.close(131).await, 1);
    assert_eq!(
        bench.rows().await,
        ["0 60 1 1 1 100.0", "0 60 2 2 1 100.0", "60 120 1 1 1 100.0"]
    );
}

#[tokio::test]
async fn an_import_does_not_close_the_window_that_is_running() {
    let bench = Bench::new().await;
    commit_beside(&bench.lake, "import", "plant", &[10, 70], Vec::new()).await;
    let plant = SiteId::new("plant").unwrap();
    assert_eq!(
        close_imported(&bench.lake, &settings(), &plant, at(80))
            .await
            .unwrap(),
        1
    );
    assert_eq!(bench.rows().await, ["0 60 1 1 1 100.0"]);
    assert_eq!(
        close_imported(&bench.lake, &settings(), &plant, at(120))
            .await
            .unwrap(),
        1
    );
}

/// A stream of another site, beside the bench's own: its readings, and the state that says they
/// came live or none does.
async fn commit_beside(
    lake: &LakeWriter,
    app_id: &str,
    of_site: &str,
    seconds: &[i64],
    sites: Vec<SiteTimes>,
) {
    let reading = |second: &i64| Reading {
        series: Series {
            site: SiteId::new(of_site).unwrap(),
            device: DeviceId::new("a").unwrap(),
            tag: TagName::new("flow").unwrap(),
        },
        event_time: at(*second),
        observed_time: at(*second),
        value: Some(Value::F64(*second as f64)),
        unit: None,
        status: Status::GOOD,
    };
    let lane = LaneId {
        gateway: GatewayId::new(app_id).unwrap(),
        lane: Lane(0),
    };
    let readings = seconds.iter().map(reading).collect();
    let batch = ReadingBatch {
        lane,
        epoch: Epoch(7),
        nonce: forebay_schemas::EpochNonce::UNKNOWN,
        first_seq: Seq(1),
        readings,
    };
    let state = StreamState {
        sites,
        ..StreamState::new(1, Vec::new())
    };
    let step = Step {
        app_id,
        from_state: None,
        state: &state,
        rows: &partition_rows(&[batch]).unwrap(),
    };
    commit(lake, step, at(0)).await.unwrap();
}

fn remove_all(folder: &std::path::Path) {
    for file in std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
    {
        match file.is_dir() {
            true => remove_all(&file),
            false => std::fs::remove_file(file).unwrap(),
        }
    }
}
