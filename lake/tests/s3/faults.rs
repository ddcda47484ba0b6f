//! Commits and merges over a link that fails at every upload in turn.

use std::collections::BTreeMap;

use forebay_lake::{MergeOutcome, MergePolicy, merge, plan};
use forebay_schemas::table::READINGS;

use crate::{
    Bench, DAY_START, at, batch, count, ingest,
    moto::Moto,
    proxy::{Fault, Proxy},
    settings, settings_of,
};

/// Each upload of two steps (file, state object, log entry, twice) fails in each way, once and until no retry is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_fails_loses_and_doubles_nothing() {
    /// A commit's: the file, the state, the log entry.
    const PUTS: usize = 3;
    let store = Moto::start(&[]);
    let proxy = Proxy::to(store.address);
    let bench = Bench::new();
    for fault in [
        Fault::Refused,
        Fault::DoneAnd500,
        Fault::DoneAndCut,
        Fault::DoneAndSilent,
    ] {
        // A lake each: every commit reads the log before it.
        let lake = bench
            .writer(&settings_of(&format!("{fault:?}"), proxy.url()))
            .await;
        let cells = [1, 3]
            .into_iter()
            .flat_map(|times| (0..PUTS).map(move |nth| (times, nth)));
        let mut hit: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for ((times, nth), epoch) in cells.zip(1..) {
            let app_id = lake.keeper().app_id("spool", epoch as u32);
            proxy.fail_put(nth, times, fault);
            for n in 0..2 {
                ingest(&lake, &app_id, &batch(epoch, n * 5 + 1, 5)).await;
            }
            hit.entry(times).or_default().extend(proxy.heal());
            let found = count(&lake, &format!("epoch = {epoch}")).await;
            assert_eq!(
                found, "|10|10|55.0|",
                "{fault:?} {times} times from put {nth} on"
            );
        }
        for (times, hit) in hit {
            // A request that got no answer is not retried on its own.
            let tries = if fault == Fault::DoneAndSilent {
                1
            } else {
                times.min(2)
            };
            for part in ["part-", "_forebay/state", "_delta_log"] {
                let hits = hit.iter().filter(|path| path.contains(part)).count();
                assert!(
                    hits >= tries,
                    "{fault:?}: {part} was hit {hits} times: {hit:?}"
                );
            }
        }
    }
}

/// The same at a merge: the new file and its log entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_over_a_bad_link_loses_and_doubles_nothing() {
    let store = Moto::start(&[]);
    let proxy = Proxy::to(store.address);
    let (bench, settings) = (Bench::new(), settings(proxy.url()));
    let lake = bench.writer(&settings).await;
    let table = lake.table(&READINGS).unwrap();
    let mut epoch = 0;
    for fault in [
        Fault::Refused,
        Fault::DoneAnd500,
        Fault::DoneAndCut,
        Fault::DoneAndSilent,
    ] {
        for nth in 0..2 {
            epoch += 1;
            let app_id = lake.keeper().app_id("spool", epoch as u32);
            for n in 0..3 {
                ingest(&lake, &app_id, &batch(epoch, n * 5 + 1, 5)).await;
            }
            let policy = MergePolicy {
                min_files: 2,
                ..MergePolicy::settled_before(at(DAY_START + 1_000_000))
            };
            let spec = plan(
                &lake,
                &READINGS,
                &table.snapshot().await.unwrap().files(),
                &policy,
            )
            .remove(0);
            proxy.fail_put(nth, 1, fault);
            let outcome = merge(&lake, &spec, at(DAY_START)).await.unwrap();
            assert!(
                matches!(outcome, MergeOutcome::Merged { .. }),
                "{fault:?} {nth}: {outcome:?}"
            );
            assert_eq!(proxy.heal().len(), 1);
            let expected = format!("|{}|{}|{}.0|", epoch * 15, epoch * 15, epoch * 120);
            assert_eq!(
                count(&lake, "true").await,
                expected,
                "{fault:?} at put {nth}"
            );
        }
    }
}
