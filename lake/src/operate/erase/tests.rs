use forebay_schemas::{GatewayId, Lane};

use super::*;
use crate::{
    EpochMark, MergeOutcome, MergePolicy, Sealed, merge, plan,
    testing::{Bench, DAY_START, SITE, at, batch},
};

/// Two epochs of one lane; the second is to leave.
struct Two {
    bench: Bench,
    spec: EraseSpec,
}

impl Two {
    async fn new(sealed: Sealed) -> Self {
        let bench = Bench::new(sealed).await;
        bench
            .ingest("kept", &batch(1, 40, DAY_START), at(DAY_START))
            .await;
        let mut leaving = batch(1, 25, DAY_START + 10_000_000);
        leaving.epoch = Epoch(2);
        bench
            .ingest("leaving", &leaving, at(DAY_START + 1_000))
            .await;
        let spec = EraseSpec {
            site: SiteId::new(SITE).unwrap(),
            lane: LaneId {
                gateway: GatewayId::new("gw").unwrap(),
                lane: Lane(0),
            },
            epoch: Epoch(2),
            times: (DAY_START + 10_000_000, DAY_START + 34_000_000),
            app_id: "leaving".into(),
            from_state: 1,
            state: StreamState::new(0, Vec::new()),
        };
        Self { bench, spec }
    }

    async fn erase(&self) -> Result<Erased, LakeError> {
        erase(&self.bench.writer, &self.spec, at(DAY_START + 5_000_000)).await
    }

    async fn merge(&self) {
        let files = self.bench.readings().snapshot().await.unwrap().files();
        let policy = MergePolicy {
            min_files: 2,
            ..MergePolicy::settled_before(at(DAY_START + 60_000_000))
        };
        let spec = plan(&self.bench.writer, &READINGS, &files, &policy).remove(0);
        let merged = merge(&self.bench.writer, &spec, at(DAY_START + 3_000_000))
            .await
            .unwrap();
        assert!(
            matches!(merged, MergeOutcome::Merged { rows: 65, .. }),
            "{merged:?}"
        );
    }

    async fn counts(&self) -> String {
        self.bench
            .query("SELECT epoch, count(*), sum(seq) FROM readings GROUP BY 1 ORDER BY 1 LIMIT 2")
            .await
    }
}

#[tokio::test]
async fn a_file_of_its_own_is_removed_and_no_other_is_touched() {
    for sealed in [Sealed::Columns, Sealed::None] {
        let two = Two::new(sealed).await;
        let before = two.bench.readings().snapshot().await.unwrap().paths();
        assert_eq!(
            two.erase().await.unwrap(),
            Erased {
                readings: 25,
                removed: 1,
                rewritten: 0
            }
        );
        let after = two.bench.readings().snapshot().await.unwrap().paths();
        assert!(
            after.len() == 1 && before.contains(&after[0]),
            "{before:?} {after:?}"
        );
        assert_eq!(
            two.bench
                .query("SELECT count(*), max(epoch), sum(seq) FROM readings")
                .await,
            "| 40       | 1                   | 820               |"
        );
    }
}

#[tokio::test]
async fn of_a_merged_file_just_the_rows_leave_in_the_same_order() {
    let two = Two::new(Sealed::Columns).await;
    let kept = "SELECT count(*), sum(seq), sum(seq * value) FROM readings WHERE epoch = 1";
    let before = two.bench.query(kept).await;
    two.merge().await;
    assert_eq!(
        two.erase().await.unwrap(),
        Erased {
            readings: 25,
            removed: 0,
            rewritten: 1
        }
    );
    assert_eq!(two.bench.query(kept).await, before);
    assert!(
        two.counts().await.starts_with("| 1 "),
        "{}",
        two.counts().await
    );
    let files = two.bench.readings().snapshot().await.unwrap().files();
    let [file] = files.as_slice() else {
        panic!("{files:?}")
    };
    // The stats are those of the rows that are left.
    assert_eq!(
        two.bench.writer.event_times(&READINGS, file),
        Some((DAY_START, DAY_START + 39_000_000))
    );
    let rows = two
        .bench
        .readings()
        .read(file, &two.bench.writer.decrypter())
        .await
        .unwrap();
    let devices: Vec<_> = rows
        .iter()
        .flat_map(|rows| rows.column(0).as_string::<i32>().iter().flatten())
        .collect();
    assert!(devices.is_sorted() && devices.len() == 40, "{devices:?}");
}

#[tokio::test]
async fn who_writes_to_the_stream_meanwhile_wins() {
    let two = Two::new(Sealed::Columns).await;
    let mut more = batch(26, 5, DAY_START + 40_000_000);
    more.epoch = Epoch(2);
    two.bench
        .ingest("leaving", &more, at(DAY_START + 2_000))
        .await;
    let refused = two.erase().await.unwrap_err();
    assert!(
        matches!(&refused, LakeError::Fenced { app_id, .. } if app_id == "leaving"),
        "{refused}"
    );
    assert_eq!(
        two.bench.query("SELECT count(*) FROM readings").await,
        "| 70       |"
    );
}

#[tokio::test]
async fn a_second_erasure_finds_the_state_that_the_first_has_left() {
    let mut two = Two::new(Sealed::Columns).await;
    two.erase().await.unwrap();
    let table = two.bench.readings();
    let state = table
        .snapshot()
        .await
        .unwrap()
        .state_of("leaving")
        .await
        .unwrap()
        .unwrap();
    let found: StreamState = two
        .bench
        .writer
        .keeper()
        .load(table, "leaving", state)
        .await
        .unwrap();
    assert_eq!(found, StreamState::new(0, Vec::<EpochMark>::new()));
    two.spec.from_state = state;
    assert_eq!(two.erase().await.unwrap(), Erased::default());
}
