//! A lake of two sites over five days: the windows of the one are closed and rolled up, those of the other never were.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    net::SocketAddr,
    sync::Arc,
};

use forebay_compactor::{RollupLevels, Step, WindowSettings, close_windows, commit};
use forebay_lake::{
    DeviceTimes, EpochMark, ExpireSpec, ExpiryRule, SiteTimes, StreamState, Swept, Transaction,
    expire, partition_rows,
};
use forebay_schemas::{
    DeviceId, Epoch, EpochNonce, GatewayId, Lane, LaneId, Quality, Reading, Seq, Series, SiteId,
    Status, TagName, Timestamp, Value,
    table::{READINGS, READINGS_1H, WINDOWS},
    wire::ReadingBatch,
};
use tokio::runtime::Handle;

use super::chance::Chance;
use crate::{
    RollupUse, ServeProgress, SiteSet,
    audit::{Asker, Door},
    engine::{Engine, Rows, Terms},
    tests::fixture::{TestLake, limits},
    user::User,
};

/// The days' beginnings.
pub(super) const DAY: [&str; 2] = ["2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z"];

/// 2026-05-01T00:00:00Z.
const MIDNIGHT: i64 = 1_777_593_600;
const MICROS_A_DAY: usize = 86_400_000_000;
const HOUR: i64 = 3_600_000_000;
const DAYS: usize = 5;
/// Readings of a series in a day, about.
const READINGS_A_DAY: usize = 60;

pub(super) struct RolledUpLake {
    lake: TestLake,
    state: Option<i64>,
    seq: u64,
    closed: i64,
    /// Which of two readings of one time is the last is for nobody to say: there are none.
    times: HashSet<(&'static str, &'static str, &'static str, i64)>,
}

/// The lake as the engine shows it.
pub(super) struct Seen(Engine);

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(MIDNIGHT * 1_000_000 + micros).unwrap()
}

impl RolledUpLake {
    pub(super) async fn new() -> Self {
        Self {
            lake: TestLake::new().await,
            state: None,
            seq: 0,
            closed: 0,
            times: HashSet::new(),
        }
    }

    /// Readings of all days, some of each quality and type, in several files.
    pub(super) async fn fill(&mut self, chance: &mut Chance) {
        for day in 0..DAYS {
            let mut readings = Vec::new();
            for site in ["plant", "quarry"] {
                for (device, tag) in [("a", "t1"), ("a", "t2"), ("b", "t1"), ("b", "u")] {
                    for _ in 0..READINGS_A_DAY {
                        readings.push(self.reading((site, device, tag), day, chance));
                    }
                }
            }
            self.put(readings).await;
        }
    }

    /// Good readings of a series of the plant on the first day, by their minute.
    pub(super) async fn put_values(&mut self, tag: &'static str, values: &[(i64, Value)]) {
        let readings = values.iter().map(|(minute, value)| Reading {
            series: Series {
                site: SiteId::new("plant").unwrap(),
                device: DeviceId::new("b").unwrap(),
                tag: TagName::new(tag).unwrap(),
            },
            event_time: at(minute * 60_000_000),
            observed_time: at(minute * 60_000_000),
            value: Some(value.clone()),
            unit: None,
            status: Status::GOOD,
        });
        self.put(readings.collect()).await;
    }

    /// Late readings of the second and third day of the site whose windows are closed.
    pub(super) async fn late(&mut self, chance: &mut Chance) {
        let series = ("plant", "a", "t1");
        let late = [1, 2, 2].map(|day| self.reading(series, day, chance));
        self.put(late.to_vec()).await;
    }

    /// Deletes old readings and keeps what was rolled up of them, and old hours of a later time.
    pub(super) async fn thin(&mut self) {
        let noon_of = |day: i64| Some(at(day * MICROS_A_DAY as i64 + 12 * HOUR).micros());
        for (table, before) in [(&READINGS, noon_of(1)), (&READINGS_1H, noon_of(2))] {
            let rule = ExpiryRule {
                rule: "a test's".into(),
                fits: Arc::new(|_, _| true),
                before,
            };
            let spec = ExpireSpec {
                table,
                site: SiteId::new("plant").unwrap(),
                rules: vec![rule],
                protected: Vec::new(),
            };
            let expired = expire(&self.lake.writer, &spec, &mut Swept::default(), at(0)).await;
            assert!(expired.unwrap().rows() > 0, "{}", table.name);
        }
    }

    /// Closes windows, as an hour later than the last time.
    pub(super) async fn close(&mut self) {
        self.closed += HOUR;
        let settings = WindowSettings {
            rollups: RollupLevels::ALL,
            ..WindowSettings::DEFAULT
        };
        let now = at(DAYS as i64 * MICROS_A_DAY as i64 + self.closed);
        close_windows(&self.lake.writer, &settings, now)
            .await
            .unwrap();
    }

    /// Puts a state of the plant's windows in the place of the one that counts, as a later release would write it.
    pub(super) async fn newer_state_of_windows(&self) {
        let (app_id, from_state) = self.state_of_windows().await;
        let writer = &self.lake.writer;
        let windows = writer.table(&WINDOWS).unwrap();
        let state = BTreeMap::from([("format", 99)]);
        let stored = writer
            .keeper()
            .store(windows, &app_id, from_state, &state, writer.random());
        let transaction = Transaction {
            to_state: stored.await.unwrap(),
            app_id,
            from_state,
        };
        self.lake.fill_under(&WINDOWS, transaction).await;
    }

    /// Makes the store fail when it is asked for a state of the plant's windows.
    pub(super) async fn shut_off_states_of_windows(&self) {
        let (app_id, _) = self.state_of_windows().await;
        let lake = self.lake.folder.path().join("lake");
        let states = lake.join("windows/_forebay/state").join(app_id);
        fs::remove_dir_all(&states).unwrap();
        fs::write(states, "not a folder").unwrap();
    }

    async fn state_of_windows(&self) -> (String, Option<i64>) {
        let app_id = self.lake.writer.keeper().app_id("windows/plant", 0);
        let windows = self.lake.writer.table(&WINDOWS).unwrap();
        let snapshot = windows.snapshot().await.unwrap();
        let number = snapshot.state_of(&app_id).await.unwrap();
        assert!(number.is_some());
        (app_id, number)
    }

    fn reading(
        &mut self,
        series: (&'static str, &'static str, &'static str),
        day: usize,
        chance: &mut Chance,
    ) -> Reading {
        let (site, device, tag) = series;
        loop {
            // Some at the very ends of a minute and an hour.
            let micros = match chance.below(10) {
                0 => chance.below(24) * 3_600_000_000,
                1 => (1 + chance.below(24)) * 3_600_000_000 - 1,
                _ => chance.below(MICROS_A_DAY),
            };
            let micros = (day * MICROS_A_DAY + micros) as i64;
            if self.times.insert((site, device, tag, micros)) {
                return reading(series, at(micros), chance);
            }
        }
    }

    async fn put(&mut self, readings: Vec<Reading>) {
        let first_seq = Seq(self.seq + 1);
        self.seq += readings.len() as u64;
        let batch = ReadingBatch {
            lane: LaneId {
                gateway: GatewayId::new("gw").unwrap(),
                lane: Lane(0),
            },
            epoch: Epoch(7),
            nonce: EpochNonce::UNKNOWN,
            first_seq,
            readings,
        };
        let mark = EpochMark {
            gateway: "gw".into(),
            epoch: 7,
            mark: self.seq,
            ..EpochMark::default()
        };
        let last = at((DAYS * MICROS_A_DAY) as i64 - 6 * HOUR).micros();
        let times = DeviceTimes {
            event: last,
            observed: last,
        };
        let plant = SiteTimes {
            site: "plant".into(),
            devices: ["a", "b"].map(|device| (device.to_owned(), times)).into(),
            ..SiteTimes::default()
        };
        let state = StreamState {
            sites: vec![plant],
            ..StreamState::new(self.seq, vec![mark])
        };
        let step = Step {
            app_id: "a",
            from_state: self.state,
            state: &state,
            rows: &partition_rows(&[batch]).unwrap(),
        };
        self.state = Some(commit(&self.lake.writer, step, at(0)).await.unwrap());
    }

    pub(super) fn seen(&self, rollups: RollupUse) -> Seen {
        let clock = Arc::new(|| at(0));
        let progress = Arc::new(ServeProgress::default());
        let threads = (2, Handle::current());
        let engine = Engine::new(
            self.lake.reader(),
            limits(),
            rollups,
            threads,
            clock,
            progress,
        );
        Seen(engine.unwrap())
    }
}

fn reading(
    (site, device, tag): (&str, &str, &str),
    event_time: Timestamp,
    chance: &mut Chance,
) -> Reading {
    let number = chance.below(2_000_000) as f64 / 1_000.0 - 700.0;
    let value = match chance.below(12) {
        0 => Some(Value::Bool(number > 0.0)),
        1 => Some(Value::I64(number as i64)),
        2 => Some(Value::Text("on".into())),
        3 => None,
        _ => Some(Value::F64(number)),
    };
    let quality = match chance.below(8) {
        0 => Quality::Bad,
        1 => Quality::Uncertain,
        _ if value.is_none() => Quality::Bad,
        _ => Quality::Good,
    };
    Reading {
        series: Series {
            site: SiteId::new(site).unwrap(),
            device: DeviceId::new(device).unwrap(),
            tag: TagName::new(tag).unwrap(),
        },
        event_time,
        observed_time: event_time,
        value,
        unit: (chance.below(2) == 0).then(|| "bar".into()),
        status: Status {
            quality,
            code: None,
            reason: None,
        },
    }
}

impl Seen {
    /// Asks as one of the users: all, who sees all sites; plant, who sees one; blind, who sees no means.
    pub(super) async fn ask(&self, user: &str, sql: &str) -> Rows {
        let sites = if user == "plant" { "plant" } else { "*" };
        let hidden = (user == "blind").then(|| "mean".to_owned());
        let user = User {
            name: user.to_owned(),
            sites: SiteSet::new(vec![sites.to_owned()]),
            columns_hidden: hidden.into_iter().collect(),
        };
        let peer: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let asker = Asker {
            user: Arc::new(user),
            peer,
            door: Door::Http,
        };
        let parsed = self.0.parse(sql).unwrap().pop().unwrap();
        let turn = self.0.turn().await.unwrap();
        let terms = Terms::default();
        let rows = self.0.run(asker, &parsed, None, &terms, turn);
        rows.await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}
