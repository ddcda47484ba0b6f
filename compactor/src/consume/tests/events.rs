//! Events of devices: each is a row of `events` once, whatever comes twice and whoever is killed, and a reading all the same.

use forebay_schemas::{EventForm, EventStates, SourceEvent};

use super::{
    kills::{killed_after, numbers},
    *,
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
    for _ in 0..20 {
        let new = 1 + random(5);
        // Each time the server tells again what holds.
        let some = (next.max(3) - 2..next + new)
            .map(|number| carrying(&alarm(number), number))
            .collect();
        next += new;
        spool.writer().append(some).await.unwrap();
        let partition = bench.partition(&source, &CancellationToken::new());
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
    timeout(PATIENCE, bench.partition(&source, &stop).consume())
        .await
        .unwrap()
        .unwrap();
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
    let [one, other, third] = consumers;
    let (a, b, c, ()) = timeout(PATIENCE, async {
        tokio::join!(one.consume(), other.consume(), third.consume(), writing)
    })
    .await
    .unwrap();
    a.and(b).and(c).unwrap();
    assert_eq!(bench.rows(COUNTS).await, ["40 40"]);
}
