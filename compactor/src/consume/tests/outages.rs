//! What no device can send later: each outage that a gateway tells of is one row of `gaps`, and so is what its spool lost.

use forebay_schemas::wire::{Outage, OutageWhy};
use forebay_stream::Damage;

use super::{
    kills::{killed_after, numbers},
    *,
};

fn outage(device: Option<&str>, why: OutageWhy, number: u64) -> Outage {
    let device = device.map(|device| DeviceId::new(device).unwrap());
    Outage {
        site: SiteId::new("plant").unwrap(),
        device,
        from: taken_at(number),
        to: taken_at(number + 120),
        why,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_one_row_that_names_device_time_and_reason() {
    let bench = Bench::new().await;
    let spool = bench.spool().await;
    let epoch = spool.opened().epoch.0;
    let writer = spool.writer();
    writer
        .append_outages(vec![
            outage(Some("pump"), OutageWhy::Stopped, 1),
            outage(None, OutageWhy::Stopped, 1),
        ])
        .await
        .unwrap();
    writer.append(readings(3, 5)).await.unwrap();
    writer
        .append_outages(vec![outage(Some("pump"), OutageWhy::SpoolFull, 200)])
        .await
        .unwrap();
    writer.append(readings(7, 8)).await.unwrap();
    let group = Box::new(FixedGroup::new(vec![Arc::new(SpoolSource::new(
        spool.clone(),
        lane(),
    ))]));
    bench
        .run_until(group, |progress| {
            progress.committed.load(Ordering::SeqCst) == 5
        })
        .await
        .unwrap();
    let rows = bench
        .rows(
            "select gateway, lane, first_seq, last_seq, site, coalesce(device, 'all'), \
             cast(from_time as bigint), cast(to_time as bigint), why, state from gaps order by 3",
        )
        .await;
    let times = |number| {
        format!(
            "{} {}",
            taken_at(number).micros(),
            taken_at(number + 120).micros()
        )
    };
    assert_eq!(
        rows,
        [
            format!("gw 0 1 1 plant pump {} stopped final", times(1)),
            format!("gw 0 2 2 plant all {} stopped final", times(1)),
            format!("gw 0 6 6 plant pump {} spool full final", times(200)),
        ]
    );
    assert_eq!(bench.seqs().await, [3, 4, 5, 7, 8].map(|seq| (epoch, seq)));
    let verdict = bench.verdict().await;
    assert!(
        verdict.starts_with("ok readings=5 ") && verdict.contains(" gaps=3 doubled=0 missing=0"),
        "{verdict}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_anywhere_each_outage_is_one_row() {
    let bench = Bench::new().await;
    let spool = bench.spool().await;
    let epoch = spool.opened().epoch.0;
    let source: Arc<dyn LogSource> = Arc::new(SpoolSource::new(spool.clone(), lane()));
    let (mut random, mut next, mut seqs, mut told) = (numbers(11), 1, Vec::new(), Vec::new());
    for _ in 0..20 {
        let count = 1 + random(10);
        spool
            .writer()
            .append(readings(next, next + count - 1))
            .await
            .unwrap();
        seqs.extend((next..next + count).map(|seq| (epoch, seq)));
        next += count;
        if random(2) == 0 {
            let outages =
                vec![outage(Some("pump"), OutageWhy::Stopped, next); 1 + random(2) as usize];
            let receipt = spool.writer().append_outages(outages).await.unwrap();
            assert_eq!(receipt.first_seq, Seq(next));
            told.extend((next..=receipt.last_seq.0).map(|seq| format!("{seq} {seq} pump final")));
            next = receipt.last_seq.0 + 1;
        }
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
    assert_eq!(bench.seqs().await, seqs);
    assert_eq!(
        bench
            .rows("select first_seq, last_seq, device, state from gaps order by 1")
            .await,
        told
    );
    let verdict = bench.verdict().await;
    assert!(
        verdict.starts_with("ok ") && verdict.contains(&format!(" gaps={} ", told.len())),
        "{verdict}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_that_a_gateways_spool_lost_on_the_way_to_kafka_are_one_row_of_quarantine() {
    let bench = Bench::new().await;
    let lost = Entry::SpoolLoss {
        from: Offset(5),
        to: Offset(90),
        why: Damage::Header,
    };
    // The first seqs are still to come: what is behind them is read again.
    let records = vec![batch(7, 3, 4), lost, batch(9, 1, 1)];
    bench
        .run_until(
            Box::new(MemoryGroup::new(vec![GroupEvent::Assigned(Arc::new(
                MemoryLog::new(0, records.clone()),
            ))])),
            |progress| progress.gaps.load(Ordering::SeqCst) > 0,
        )
        .await
        .unwrap();
    let source: Arc<dyn LogSource> = Arc::new(MemoryLog::new(0, records));
    let stop = CancellationToken::new();
    stop.cancel();
    timeout(PATIENCE, bench.partition(&source, &stop).consume())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        bench
            .rows("select source, \"offset\", why from quarantine")
            .await,
        [
            "spool of gw/0 5 offsets 5..90 of its gateway's spool are damaged: the header of their segment cannot be read"
        ]
    );
    assert!(
        bench.verdict().await.starts_with("ok readings=3 "),
        "{}",
        bench.verdict().await
    );
}
