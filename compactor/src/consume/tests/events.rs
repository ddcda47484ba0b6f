//! Events of devices: each is a row of `events` once, whatever comes twice and whoever is killed, and a reading all the same.

use std::path::Path;

use forebay_config::Document;
use forebay_lake::{MergeOutcome, MergePolicy, merge, plan};
use forebay_schemas::{EventForm, EventStates, SourceEvent, wire::SeriesBatch};

use super::{
    super::events::{FoundEvents, KnownNames, LOOKS_MAX, write},
    kills::{killed_after, numbers},
    *,
};
use crate::{
    RETENTION, RetentionMemory, RetentionSettings, RollupLevels, delete_old, would_delete,
};

fn alarm(number: u64) -> SourceEvent {
    SourceEvent {
        connector: "press".into(),
        form: EventForm::Alarm,
        event_id: number.to_be_bytes().to_vec(),
        event_type: "i=2915".into(),
        source_node: "ns=2;s=Press".into(),
        condition_node: "ns=2;s=Press.TooHot".into(),
        condition_name: "TooHot".into(),
        time: Some(taken_at(number)),
        severity: Some(700),
        message: format!("change {number}"),
        states: EventStates {
            active: Some(number % 2 == 1),
            acknowledged: Some(false),
            ..EventStates::default()
        },
        ..SourceEvent::default()
    }
}

/// The reading that carries an event.
fn carrying(event: &SourceEvent, arrived: u64) -> Reading {
    let mut carrier = reading("plant", arrived);
    carrier.series.tag = TagName::of_events();
    carrier.value = Some(Value::Bytes(event.encode()));
    carrier
}

fn batch_from(lane: LaneId, first: u64, readings: Vec<Reading>) -> Entry {
    Entry::Batch(ReadingBatch {
        lane,
        epoch: Epoch(7),
        nonce: NONCE,
        first_seq: Seq(first),
        readings,
    })
}

const COUNTS: &str = "select count(*), count(distinct event_id) from events";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_condition_is_one_row_however_often_its_server_tells_of_it() {
    let bench = Bench::new().await;
    // In one batch, in a later one, and by another gateway that listens to the same server.
    let first = vec![
        carrying(&alarm(1), 1),
        reading("plant", 2),
        carrying(&alarm(1), 3),
    ];
    let later = vec![carrying(&alarm(1), 4), carrying(&alarm(2), 5)];
    let other = LaneId {
        gateway: GatewayId::new("other").unwrap(),
        lane: Lane(0),
    };
    let sources: Vec<Arc<dyn LogSource>> = vec![
        Arc::new(MemoryLog::new(
            0,
            vec![
                batch_from(lane(), 1, first),
                batch_from(lane(), 4, later.clone()),
            ],
        )),
        Arc::new(MemoryLog::new(1, vec![batch_from(other, 1, later)])),
    ];
    let group = FixedGroup::new(sources);
    bench
        .run_until(Box::new(group), |progress| {
            progress.committed.load(Ordering::SeqCst) == 7
        })
        .await
        .unwrap();
    let rows = bench
        .rows(
            "select job, site, device, kind, value, severity, text, attributes, cast(from_time as bigint) = cast(to_time as bigint) \
             from events order by text",
        )
        .await;
    let attributes = |number: u64| {
        format!(
            r#"{{"acknowledged":false,"active":{},"condition_name":"TooHot","condition_node":"ns=2;s=Press.TooHot","event_id":"{number:016x}","event_type":"i=2915","source_node":"ns=2;s=Press"}}"#,
            number == 1
        )
    };
    let expected = [1, 2].map(|number| {
        format!(
            "press plant pump alarm 700.0 critical change {number} {} true",
            attributes(number)
        )
    });
    assert_eq!(rows, expected);
    let times = bench
        .rows("select cast(from_time as bigint) from events order by 1")
        .await;
    let expected = [1, 2].map(|number| taken_at(number).micros().to_string());
    assert_eq!(times, expected);
    // The ledger counts what arrived.
    assert!(
        bench.verdict().await.starts_with("ok readings=7 "),
        "{}",
        bench.verdict().await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_leaves_out_is_left_out_and_what_is_no_event_stays_a_reading() {
    let bench = Bench::new().await;
    let bare = SourceEvent::default();
    let huge = SourceEvent {
        event_id: vec![9; 1 << 16],
        message: "x".repeat(1 << 20),
        ..alarm(3)
    };
    let mut rubbish = carrying(&bare, 4);
    rubbish.value = Some(Value::Bytes(vec![0xff; 40]));
    let mut text = carrying(&bare, 5);
    text.value = Some(Value::Text("not an event".into()));
    let readings = vec![
        carrying(&bare, 1),
        carrying(&bare, 2),
        carrying(&huge, 3),
        rubbish,
        text,
    ];
    let log = MemoryLog::new(0, vec![batch_from(lane(), 1, readings)]);
    let group = FixedGroup::new(vec![Arc::new(log)]);
    bench
        .run_until(Box::new(group), |progress| {
            progress.committed.load(Ordering::SeqCst) == 5
        })
        .await
        .unwrap();
    let rows = bench
        .rows("select kind, severity, length(text), value, attributes from events where kind = 'event'")
        .await;
    assert_eq!(rows, ["event info 5 {}"], "it says nothing, and twice so");
    // A text of 4,096 bytes, the last three of which are the ellipsis.
    let rows = bench
        .rows("select length(text) from events where kind = 'alarm'")
        .await;
    assert_eq!(rows, ["4094"]);
    let when = bench
        .rows("select cast(from_time as bigint) from events where kind = 'event'")
        .await;
    assert_eq!(
        when,
        [taken_at(1).micros().to_string()],
        "without a time, that of arrival"
    );
    assert!(
        bench.verdict().await.starts_with("ok readings=5 "),
        "{}",
        bench.verdict().await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_no_event_is_lost_or_doubled() {
    let bench = Bench::new().await;
    let spool = bench.spool().await;
    let source: Arc<dyn LogSource> = Arc::new(SpoolSource::new(spool.clone(), lane()));
    let mut random = numbers(11);
    let mut next = 1;
    // Of the process, which may outlive its partition's task.
    let names = EventNames::default();
    for round in 0..20 {
        let new = 1 + random(5);
        // Each time the server tells again what holds.
        let some = (next.max(3) - 2..next + new)
            .map(|number| carrying(&alarm(number), number))
            .collect();
        next += new;
        spool.writer().append(some).await.unwrap();
        let mut partition = bench.partition(&source, &CancellationToken::new());
        if round % 2 == 0 {
            partition.event_names = names.clone();
        }
        let polls = 1 + random(60);
        timeout(
            Duration::from_millis(200),
            killed_after(polls, partition.consume()),
        )
        .await
        .unwrap_or(false);
    }
    let stop = CancellationToken::new();
    stop.cancel();
    let mut last = bench.partition(&source, &stop);
    last.event_names = names;
    timeout(PATIENCE, last.consume()).await.unwrap().unwrap();
    let all = next - 1;
    assert_eq!(bench.rows(COUNTS).await, [format!("{all} {all}")]);
    let verdict = bench.verdict().await;
    assert!(verdict.contains("doubled=0 missing=0"), "{verdict}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_compactors_and_two_streams_neither_doubles_an_event() {
    let bench = Bench::new().await;
    let spool = bench.spool().await;
    let spooled: Arc<dyn LogSource> = Arc::new(SpoolSource::new(spool.clone(), lane()));
    let other = LaneId {
        gateway: GatewayId::new("other").unwrap(),
        lane: Lane(0),
    };
    let told = (1..=40).map(|number| {
        batch_from(
            other.clone(),
            number,
            vec![carrying(&alarm(number), number)],
        )
    });
    let logged: Arc<dyn LogSource> = Arc::new(MemoryLog::named("other", told.collect()));
    let stop = CancellationToken::new();
    let consumers = [&spooled, &spooled, &logged].map(|source| bench.partition(source, &stop));
    let writing = async {
        for number in 1..=40 {
            let some = vec![carrying(&alarm(number), number)];
            spool.writer().append(some).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let all_in = || async { bench.seqs().await.len() >= 80 };
        while !all_in().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
    };
    let [one, other, mut third] = consumers;
    // One process has the first and the third, another the second.
    third.event_names = one.event_names.clone();
    let (a, b, c, ()) = timeout(PATIENCE, async {
        tokio::join!(one.consume(), other.consume(), third.consume(), writing)
    })
    .await
    .unwrap();
    a.and(b).and(c).unwrap();
    assert_eq!(bench.rows(COUNTS).await, ["40 40"]);
}

/// It comes at its arrival, before values of its device that are older and still under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_moves_no_watermark_of_its_device() {
    let bench = Bench::new().await;
    let mut of_events_alone = carrying(&alarm(2), 600);
    of_events_alone.series.device = DeviceId::new("press").unwrap();
    let readings = vec![
        reading("plant", 2),
        carrying(&alarm(1), 500),
        of_events_alone,
    ];
    let source: Arc<dyn LogSource> =
        Arc::new(MemoryLog::new(0, vec![batch_from(lane(), 1, readings)]));
    let group = FixedGroup::new(vec![source.clone()]);
    bench
        .run_until(Box::new(group), |progress| {
            progress.committed.load(Ordering::SeqCst) == 3
        })
        .await
        .unwrap();
    let state = bench.state(&*source).await;
    let devices = &state.sites[0].devices;
    let times: Vec<_> = devices
        .iter()
        .map(|(device, times)| (device.as_str(), times.event, times.observed))
        .collect();
    let at = taken_at(2).micros();
    assert_eq!(times, [("pump", at, at)]);
    assert_eq!(bench.rows(COUNTS).await, ["2 2"]);
}

fn found(numbers: impl IntoIterator<Item = u64>) -> FoundEvents {
    let readings = numbers
        .into_iter()
        .map(|number| carrying(&alarm(number), number));
    let batch = ReadingBatch {
        lane: lane(),
        epoch: Epoch(7),
        nonce: NONCE,
        first_seq: Seq(1),
        readings: readings.collect(),
    };
    FoundEvents::of(&[SeriesBatch::from(&batch)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_the_table_opens_the_files_that_are_new_and_knows_the_others() {
    let bench = Bench::new().await;
    let lake = &bench.lake;
    let names = EventNames::default();
    let put = async |numbers: Vec<u64>| {
        let (found, now) = (found(numbers), (bench.clock)());
        write(lake, &names, &found.events, &mut 0, now)
            .await
            .unwrap()
    };
    for number in 1..=8 {
        assert_eq!(put(vec![number, number.max(2) - 1]).await, 1);
    }
    assert_eq!(put((1..=8).collect()).await, 0);
    let all = || bench.rows("select event_id from events order by 1");
    // Files for which there is no room are asked each time.
    let (mut known, mut cramped) = (KnownNames::default(), KnownNames::with_room(3));
    let look = async |known: &mut KnownNames| {
        let mut wanted = all().await;
        let there = wanted.len();
        wanted.push("0".repeat(32));
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let look = known.look(lake, &wanted).await;
        assert!(look.failed.is_none(), "{look:?}");
        assert_eq!(look.written.len(), there);
        assert!(!look.written.contains(wanted[there]));
        look.opened
    };
    assert_eq!((look(&mut known).await, look(&mut known).await), (8, 0));
    assert_eq!(
        (look(&mut cramped).await, look(&mut cramped).await),
        (13, 5)
    );
    assert_eq!(put(vec![9]).await, 1);
    assert_eq!((look(&mut known).await, look(&mut cramped).await), (1, 7));

    let files = || async {
        lake.table(&EVENTS)
            .unwrap()
            .snapshot()
            .await
            .unwrap()
            .files()
    };
    let later = Timestamp::from_nanos(i64::MAX / 2);
    for spec in plan(
        lake,
        &EVENTS,
        &files().await,
        &MergePolicy::settled_before(later),
    ) {
        let merged = merge(lake, &spec, (bench.clock)()).await.unwrap();
        assert!(
            matches!(merged, MergeOutcome::Merged { rows: 9, .. }),
            "{merged:?}"
        );
    }
    assert_eq!(files().await.len(), 1);
    assert_eq!((look(&mut known).await, look(&mut known).await), (1, 0));
    assert_eq!((look(&mut cramped).await, look(&mut cramped).await), (2, 1));
    assert_eq!(put((1..=10).collect()).await, 1);
    assert_eq!(bench.rows(COUNTS).await, ["10 10"]);
}

/// What is known of the other files counts, also where one cannot be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_of_events_doubles_no_event_of_another() {
    let bench = Bench::new().await;
    let lake = &bench.lake;
    let put = async |numbers: Vec<u64>, looks: &mut u32| {
        let (found, now) = (found(numbers), (bench.clock)());
        write(lake, &EventNames::default(), &found.events, looks, now).await
    };
    let files = || async {
        lake.table(&EVENTS)
            .unwrap()
            .snapshot()
            .await
            .unwrap()
            .files()
    };
    put(vec![1], &mut 0).await.unwrap();
    let damaged = files().await.remove(0).path;
    put(vec![2], &mut 0).await.unwrap();
    let path = bench.folder.path().join("lake/events").join(damaged);
    let bytes = std::fs::metadata(&path).unwrap().len() as usize;
    std::fs::write(path, vec![b'x'; bytes]).unwrap();
    let mut looks = 0;
    while looks < LOOKS_MAX - 1 {
        put(vec![1, 2], &mut looks).await.unwrap_err();
    }
    assert_eq!(
        put(vec![1, 2], &mut looks).await.unwrap(),
        1,
        "of the damaged file alone"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_are_deleted_although_another_table_cannot_be_read() {
    let bench = Bench::new().await;
    let lake = &bench.lake;
    let now = Timestamp::from_nanos(T0);
    let then = Timestamp::from_nanos(T0 - 7_200_000_000_000);
    let (found, names) = (found(1..=3), EventNames::default());
    let written = write(lake, &names, &found.events, &mut 0, then).await;
    assert_eq!(written.unwrap(), 3);
    let log = bench.folder.path().join("lake/readings/_delta_log");
    let next = lake.table(&READINGS).unwrap().snapshot().await.unwrap();
    let entry = format!("{:020}.json", next.version() + 1);
    std::fs::write(log.join(entry), "rubbish").unwrap();
    let text = "[retention]\nreadings = \"1h\"\nevents = \"1h\"";
    let document = Document::new(Path::new("f.toml"), text, &|_| None);
    let settings = document.read(|root| RetentionSettings::read(&mut root.table(&RETENTION)?));
    let settings = settings.unwrap();
    let mut memory = RetentionMemory::default();
    let deleted = delete_old(lake, &settings, RollupLevels::NONE, &[], &mut memory, now);
    let error = deleted.await.unwrap_err().to_string();
    assert!(error.contains("readings"), "{error}");
    let events = lake.table(&EVENTS).unwrap().snapshot().await.unwrap();
    assert!(events.files().is_empty());
}

/// For large ones there is no room: they are asked at each look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_large_file_of_events_hides_no_other_one() {
    let bench = Bench::new().await;
    let lake = &bench.lake;
    for number in 1..=3 {
        let (found, now) = (found([number]), (bench.clock)());
        let written = write(lake, &EventNames::default(), &found.events, &mut 0, now).await;
        assert_eq!(written.unwrap(), 1);
    }
    let all = bench.rows("select event_id from events order by 1").await;
    let wanted: Vec<&str> = all.iter().map(String::as_str).collect();
    let mut cramped = KnownNames::with_room(0);
    let look = cramped.look(lake, &wanted).await;
    assert!(look.failed.is_none() && look.written.len() == 3, "{look:?}");
    let events = lake.table(&EVENTS).unwrap();
    let damaged = events.snapshot().await.unwrap().files().remove(1).path;
    let path = bench.folder.path().join("lake/events").join(damaged);
    let bytes = std::fs::metadata(&path).unwrap().len() as usize;
    std::fs::write(path, vec![b'x'; bytes]).unwrap();
    let look = cramped.look(lake, &wanted).await;
    assert!(look.failed.is_some() && look.written.len() == 2, "{look:?}");
}

/// The readings that brought them stay; what a server tells again is there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_are_deleted_and_told_again_are_there_once() {
    let bench = Bench::new().await;
    let names = EventNames::default();
    let put = async |numbers: std::ops::RangeInclusive<u64>, now: Timestamp| {
        let found = found(numbers);
        write(&bench.lake, &names, &found.events, &mut 0, now)
            .await
            .unwrap()
    };
    let later = |hours: i64| Timestamp::from_nanos(T0 + hours * 3_600_000_000_000);
    // Of 19:26:41 to 19:26:50, and of 22:13:20.
    let (then, now) = (later(-2), later(0));
    assert_eq!(
        put(1..=10, then).await + put(10_000..=10_000, now).await,
        11
    );
    let document = Document::new(Path::new("f.toml"), "[retention]\nevents = \"1h\"", &|_| {
        None
    });
    let settings = document.read(|root| RetentionSettings::read(&mut root.table(&RETENTION)?));
    let settings = settings.unwrap();
    let mut memory = RetentionMemory::default();
    let mut delete = async |now: Timestamp| {
        let would = would_delete(&bench.lake, &settings, RollupLevels::NONE, &[], now).await;
        let done = delete_old(
            &bench.lake,
            &settings,
            RollupLevels::NONE,
            &[],
            &mut memory,
            now,
        );
        let done = done.await.unwrap();
        assert_eq!(would.unwrap(), done, "a dry run says what is done");
        let shown = done.iter().map(|of| (of.table, of.expired.rows()));
        shown.collect::<Vec<_>>()
    };
    assert_eq!(delete(now).await, [("events", 10)]);
    assert_eq!(delete(now).await, []);
    assert_eq!(bench.rows(COUNTS).await, ["1 1"]);
    assert_eq!(put(5..=6, now).await + put(10_000..=10_000, now).await, 2);
    assert_eq!(bench.rows(COUNTS).await, ["3 3"]);
    // They are as new as the one of today.
    assert_eq!(delete(now).await, []);
    assert_eq!(delete(later(2)).await, [("events", 3)]);
}
