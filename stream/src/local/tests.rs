//! The spool on real files.

mod codec;
mod damage;
mod faults;
mod fuzzed;
mod ledger;
mod raw;
mod receipts;
mod room;

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use async_trait::async_trait;
use forebay_schemas::{
    DeviceId, Epoch, EpochNonce, GatewayId, Lane, LaneId, Seq, SiteId, Timestamp,
    wire::{Outage, OutageWhy},
};
use ring::rand::SystemRandom;
use tempfile::TempDir;

use super::{Limits, OnFull, Options, Spool, SpoolKey, medium::Medium, next_epoch};
use crate::{
    Entry, LastSeq, LogReader, LogSource, LogWriter, Offset, Record, SpoolSource, StreamError,
    conformance::{self, SourceSubject, Subject, drain, readings},
};

/// The clock of every opening here, in ms: past all that chance adds to the number of a new spool's first epoch.
const FIRST_EPOCH: Epoch = Epoch(5_000_000);

fn lane() -> LaneId {
    LaneId {
        gateway: GatewayId::new("gw").unwrap(),
        lane: Lane(0),
    }
}

fn roomy() -> Limits {
    Limits::new(1 << 20, 1 << 16, OnFull::Block).unwrap()
}

fn options(path: &Path, limits: Limits) -> Options {
    let now = Timestamp::from_nanos(FIRST_EPOCH.0 as i64 * 1_000_000);
    Options {
        path: path.to_owned(),
        lane: lane(),
        key: SpoolKey::new([7; 32]),
        limits,
        now,
        random: Arc::new(SystemRandom::new()),
    }
}

async fn open(path: &Path) -> Spool {
    Spool::open(options(path, roomy())).await.unwrap()
}

async fn open_on(path: &Path, limits: Limits, medium: Arc<dyn Medium>) -> Spool {
    Spool::open_on(options(path, limits), medium).await.unwrap()
}

async fn all(spool: &Spool) -> Vec<Record> {
    drain(&mut spool.reader(Offset(0))).await.unwrap()
}

async fn append(spool: &Spool, from: u64, count: u64) -> crate::Receipt {
    spool
        .writer()
        .append(readings(from, count).unwrap())
        .await
        .unwrap()
}

/// The directory as a crash at this moment would leave it.
fn image(dir: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    paths.sort();
    paths
}

fn batches(records: &[Record]) -> Vec<&Record> {
    records
        .iter()
        .filter(|record| matches!(record.entry, Entry::Batch(_)))
        .collect()
}

struct Subjected {
    dir: TempDir,
    spool: Option<Spool>,
}

#[async_trait]
impl Subject for Subjected {
    async fn open(&mut self) -> Result<Box<dyn LogWriter>, StreamError> {
        let spool = Spool::open(options(self.dir.path(), roomy())).await?;
        let writer = spool.writer();
        self.spool = Some(spool);
        Ok(Box::new(writer))
    }

    async fn reader(&self, from: Offset) -> Result<Box<dyn LogReader>, StreamError> {
        Ok(Box::new(
            self.spool.as_ref().ok_or(StreamError::Closed)?.reader(from),
        ))
    }
}

#[tokio::test]
async fn the_spool_conforms() {
    conformance::check(|| Subjected {
        dir: TempDir::new().unwrap(),
        spool: None,
    })
    .await
    .unwrap();
}

struct Partition(Subjected);

#[async_trait]
impl SourceSubject for Partition {
    async fn open(&mut self) -> Result<Box<dyn LogWriter>, StreamError> {
        self.0.open().await
    }

    async fn source(&mut self) -> Result<Arc<dyn LogSource>, StreamError> {
        let spool = self.0.spool.take().ok_or(StreamError::Closed)?;
        Ok(Arc::new(SpoolSource::new(Arc::new(spool), lane())))
    }

    fn believes_offsets(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn the_spool_conforms_as_a_partition() {
    let empty = || async {
        Partition(Subjected {
            dir: TempDir::new().unwrap(),
            spool: None,
        })
    };
    conformance::check_source(empty).await.unwrap();
}

#[tokio::test]
async fn a_crash_keeps_all_receipts_and_begins_a_new_epoch() {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    assert_eq!(
        spool.opened().epoch,
        FIRST_EPOCH,
        "the clock in milliseconds"
    );
    append(&spool, 1, 3).await;
    append(&spool, 4, 1).await;
    let before = all(&spool).await;
    let crashed = image(dir.path());
    let spool = open(crashed.path()).await;
    let second = spool.opened().epoch;
    assert!(
        second > FIRST_EPOCH && second.0 <= FIRST_EPOCH.0 + 1 + (1 << 20),
        "past the last epoch, by chance"
    );
    assert_eq!(spool.opened().torn, None);
    append(&spool, 1, 1).await;
    let after = all(&spool).await;
    assert_eq!(after[..2], before);
    let Entry::Batch(batch) = &before[0].entry else {
        panic!("{before:?}")
    };
    let (nonce, last) = (batch.nonce, LastSeq::Known(Some(Seq(4))));
    assert_eq!(
        after[2].entry,
        Entry::EpochEnd {
            epoch: FIRST_EPOCH,
            nonce,
            last
        }
    );
    assert_eq!(after[2].offset, Offset(2));
    // Crash after crash: each epoch has one end record, the empty ones too.
    let crashed = image(crashed.path());
    let (third, kept) = open_and_keep(crashed.path()).await;
    let ends: Vec<_> = all(&open(kept.path()).await)
        .await
        .into_iter()
        .filter(|record| matches!(record.entry, Entry::EpochEnd { .. }))
        .collect();
    let end = |record: Record| match record.entry {
        Entry::EpochEnd {
            epoch,
            nonce,
            last: LastSeq::Known(last),
        } => (epoch, last, nonce),
        other => panic!("{other:?}"),
    };
    let ends: Vec<_> = ends.into_iter().map(end).collect();
    let bare: Vec<_> = ends
        .iter()
        .map(|(epoch, last, _)| (*epoch, *last))
        .collect();
    assert_eq!(
        bare,
        [
            (FIRST_EPOCH, Some(Seq(4))),
            (second, Some(Seq(1))),
            (third, None)
        ]
    );
    let nonces: BTreeSet<_> = ends.iter().map(|(_, _, nonce)| *nonce).collect();
    assert!(
        nonces.len() == 3 && !nonces.contains(&EpochNonce::UNKNOWN),
        "each end names its opening, from mark or readings"
    );
}

/// The epoch of an opening, and the directory as a crash right after it leaves it.
async fn open_and_keep(path: &Path) -> (Epoch, TempDir) {
    let spool = open(path).await;
    (spool.opened().epoch, image(path))
}

/// Two machines that were given one image, and whose clocks stand behind it (E3).
#[tokio::test]
async fn two_copies_of_an_image_number_their_readings_apart() {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    append(&spool, 1, 1).await;
    let copies = [image(dir.path()), image(dir.path())];
    let mut written = Vec::new();
    for copy in &copies {
        let behind = Options {
            now: Timestamp::from_nanos(0),
            ..options(copy.path(), roomy())
        };
        let spool = Spool::open(behind).await.unwrap();
        append(&spool, 1, 1).await;
        append(&spool, 2, 1).await;
        let records = all(&spool).await;
        let identity = |record: &Record| match &record.entry {
            Entry::Batch(batch) => Some((batch.epoch, batch.nonce)),
            _ => None,
        };
        let last: Vec<_> = records.iter().filter_map(identity).collect();
        assert_eq!(last[1], last[2], "one opening has one nonce");
        assert!(last[1].0 > FIRST_EPOCH, "epochs ascend");
        assert!(last.iter().all(|(_, nonce)| *nonce != EpochNonce::UNKNOWN));
        written.extend([last[0], last[1]]);
    }
    assert_eq!(written[0], written[2], "what the image held is the same");
    // Once in a million both draw the same epoch; then their nonces differ.
    assert_ne!(written[1], written[3]);
    assert_ne!(written[1].1, written[3].1);
}

/// As above, by the numbers that chance gives: 1 + chance past the last epoch, unless the clock is past that already.
#[test]
fn an_epoch_is_past_the_last_by_chance() {
    let at = |last: u64, millis: i64, chance: u32| {
        next_epoch(
            Epoch(last),
            Timestamp::from_nanos(millis * 1_000_000),
            chance,
        )
        .map(|epoch| epoch.0)
    };
    assert_eq!(at(5_000_000, 0, 0).unwrap(), 5_000_001);
    assert_eq!(at(5_000_000, 5_000_000, 41).unwrap(), 5_000_042);
    assert_eq!(
        at(5_000_000, 5_000_000, (1 << 20) + 41).unwrap(),
        5_000_042,
        "below 2^20"
    );
    assert_eq!(
        at(5_000_000, 5_000_000, (1 << 20) - 1).unwrap(),
        5_000_000 + (1 << 20)
    );
    assert_ne!(
        at(5_000_000, 7, 3).unwrap(),
        at(5_000_000, 7, 4).unwrap(),
        "one clock, two copies"
    );
    assert_eq!(
        at(5_000_000, 9_000_000, 41).unwrap(),
        9_000_000,
        "the clock, where it is well past"
    );
    assert_eq!(at(5_000_000, -1, 0).unwrap(), 5_000_001);
    assert!(at(u64::MAX, 0, 0).is_err());
}

/// And by what an opening does: three copies that draw one number alike happen once in 10^12.
#[tokio::test]
async fn openings_under_one_clock_draw_their_epochs() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()).await);
    let mut epochs = BTreeSet::new();
    for _ in 0..3 {
        let copy = image(dir.path());
        epochs.insert(open(copy.path()).await.opened().epoch);
    }
    assert!(
        epochs.len() > 1 && epochs.iter().all(|epoch| *epoch > FIRST_EPOCH),
        "{epochs:?}"
    );
}

/// What no one can read later is reported by the spool itself: in order with readings, and once.
#[tokio::test]
async fn outages_are_numbered_among_readings_and_the_next_opening_knows_when_the_newest_record_was_taken()
 {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    assert_eq!(spool.opened().stored_at, None, "a new spool");
    append(&spool, 1, 3).await;
    let outage = |from, to| Outage {
        site: SiteId::new("plant").unwrap(),
        device: Some(DeviceId::new("boiler-1").unwrap()),
        from: Timestamp::from_nanos(from),
        to: Timestamp::from_nanos(to),
        why: OutageWhy::Stopped,
    };
    let some = vec![outage(1, 5), outage(2, 6)];
    let receipt = spool.writer().append_outages(some.clone()).await.unwrap();
    assert_eq!((receipt.first_seq, receipt.last_seq), (Seq(4), Seq(5)));
    assert_eq!(append(&spool, 4, 1).await.first_seq, Seq(6));
    assert!(matches!(
        spool.writer().append_outages(Vec::new()).await,
        Err(StreamError::Empty)
    ));
    let many = vec![outage(1, 5); 1025];
    assert!(matches!(
        spool.writer().append_outages(many).await,
        Err(StreamError::TooLarge { found: 1025, .. })
    ));
    let records = all(&spool).await;
    let [
        Entry::Batch(first),
        Entry::Outages(told),
        Entry::Batch(last),
    ] = &records
        .iter()
        .map(|record| record.entry.clone())
        .collect::<Vec<_>>()[..]
    else {
        panic!("{records:?}")
    };
    assert_eq!(
        (&told.outages, told.first_seq, told.nonce, told.epoch),
        (&some, Seq(4), first.nonce, first.epoch)
    );
    let taken_at = last.readings.last().map(|reading| reading.observed_time);
    // From the records after a crash; from the mark once they are forgotten; and of the outage, where that came last.
    let crashed = image(dir.path());
    let spool = open(crashed.path()).await;
    assert_eq!(spool.opened().stored_at, taken_at);
    let mut reader = spool.reader(Offset(0));
    let end = drain(&mut reader).await.unwrap().pop().unwrap();
    assert!(
        matches!(
            end.entry,
            Entry::EpochEnd {
                last: LastSeq::Known(Some(Seq(6))),
                ..
            }
        ),
        "{end:?}"
    );
    reader.forget(end.next).await.unwrap();
    spool.writer().close().await.unwrap();
    assert_eq!(open(crashed.path()).await.opened().stored_at, taken_at);
    let crashed = image(crashed.path());
    let spool = open(crashed.path()).await;
    spool.writer().append_outages(some).await.unwrap();
    assert_eq!(
        open(image(crashed.path()).path()).await.opened().stored_at,
        Some(Timestamp::from_nanos(6))
    );
}

#[tokio::test]
async fn a_clean_close_is_known_from_a_crash_by_its_own_time() {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    let one = readings(1, 1).unwrap();
    let taken_at = one[0].observed_time;
    spool.writer().append(one).await.unwrap();
    let crashed = image(dir.path());
    let while_it_runs = std::time::Duration::from_millis(20);
    tokio::time::sleep(while_it_runs).await;
    spool.writer().close().await.unwrap();
    assert_eq!(
        open(crashed.path()).await.opened().stored_at,
        Some(taken_at)
    );
    let closed_at = open(dir.path()).await.opened().stored_at.unwrap();
    assert!(
        closed_at.nanos() - taken_at.nanos() >= while_it_runs.as_nanos() as i64,
        "{closed_at:?} after {taken_at:?}"
    );
}

#[tokio::test]
async fn a_second_opener_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    match Spool::open(options(dir.path(), roomy())).await {
        Err(StreamError::Held { holder, .. }) => assert_eq!(holder, std::process::id().to_string()),
        other => panic!("not refused: {other:?}"),
    }
    spool.writer().close().await.unwrap();
    open(dir.path()).await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    append(&spool, 1, 2).await;
    let before = all(&spool).await;
    let crashed = image(dir.path());
    let contents = |dir: &Path| {
        segments(dir)
            .into_iter()
            .map(|path| fs::read(path).unwrap())
            .collect::<Vec<_>>()
    };
    let untouched = contents(crashed.path());
    let wrong = Options {
        key: SpoolKey::new([8; 32]),
        ..options(crashed.path(), roomy())
    };
    assert!(matches!(
        Spool::open(wrong).await,
        Err(StreamError::WrongKey { .. })
    ));
    assert_eq!(contents(crashed.path()), untouched);
    assert_eq!(all(&open(crashed.path()).await).await[..1], before);
}

#[tokio::test]
async fn no_byte_on_disk_shows_a_reading() {
    let dir = TempDir::new().unwrap();
    let spool = open(dir.path()).await;
    let mut canaries = readings(1, 2).unwrap();
    canaries[0].value = Some(forebay_schemas::Value::Text("canary value".to_owned()));
    spool.writer().append(canaries).await.unwrap();
    spool.writer().close().await.unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for canary in ["canary value", "pump", "flow", "plant", "m3/h"] {
            assert!(
                !bytes
                    .windows(canary.len())
                    .any(|window| window == canary.as_bytes()),
                "{canary}"
            );
        }
    }
    assert!(!format!("{:?}", SpoolKey::new([7; 32])).contains('7'));
}
