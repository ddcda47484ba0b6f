//! What every log must do, whatever it is made of. An implementation's tests call [`check`], and those of a partition
//! [`check_source`].
//!
//! The suite asserts; it knows nothing of files or brokers, and tests no damage, which each implementation has of its own kind.

mod source;

use async_trait::async_trait;
use forebay_schemas::{
    DeviceId, ErrorKind, InvalidName, Reading, Seq, Series, SiteId, Status, TagName, Timestamp,
    Value,
    wire::{Outage, OutageWhy, Outages, ReadingBatch, RecordHead},
};

pub use self::source::{SourceSubject, check_source};
use crate::{
    Entry, LastSeq, LogReader, LogWriter, Offset, OpenReceipt, ReceiptChanges, Record, StreamError,
    raw::{RawEntry, RawRecord},
};

/// A log under test.
#[async_trait]
pub trait Subject: Send {
    /// Opens the log anew, in a new epoch; the writer before has been closed.
    async fn open(&mut self) -> Result<Box<dyn LogWriter>, StreamError>;
    /// A reader of the open log.
    async fn reader(&self, from: Offset) -> Result<Box<dyn LogReader>, StreamError>;
}

/// Runs the suite, each part on a new and empty log.
///
/// # Errors
/// The first error of the log that was not to be expected.
///
/// # Panics
/// Where the log does not do as it must.
pub async fn check<S: Subject>(mut empty: impl FnMut() -> S) -> Result<(), StreamError> {
    reads_back_what_was_appended(empty()).await?;
    resumes_at_every_offset(empty()).await?;
    ends_epochs_and_begins_higher_ones(empty()).await?;
    forgets_for_ever(empty()).await?;
    waits_for_new_records(empty()).await?;
    shows_no_receipts(empty()).await?;
    yields_raw_what_it_yields_decoded(empty()).await?;
    refuses_what_it_must(empty()).await
}

/// Readings for tests: `count` of one series, numbered from `from` in their values.
///
/// # Errors
/// None; the names are valid.
pub fn readings(from: u64, count: u64) -> Result<Vec<Reading>, InvalidName> {
    let series = Series {
        site: SiteId::new("plant")?,
        device: DeviceId::new("pump")?,
        tag: TagName::new("flow")?,
    };
    let reading = |number: u64| Reading {
        series: series.clone(),
        event_time: Timestamp::from_nanos(number as i64),
        observed_time: Timestamp::from_nanos(number as i64 + 1),
        value: Some(Value::U64(number)),
        unit: Some("m3/h".into()),
        status: Status::GOOD,
    };
    Ok((from..from + count).map(reading).collect())
}

fn some(from: u64, count: u64) -> Vec<Reading> {
    readings(from, count).unwrap_or_default()
}

/// Everything up to the end of what is synced; checks that places follow each other.
///
/// # Errors
/// As the reader.
pub async fn drain(reader: &mut dyn LogReader) -> Result<Vec<Record>, StreamError> {
    let mut records: Vec<Record> = Vec::new();
    while let Some(record) = reader.try_next().await? {
        assert!(record.next > record.offset, "{record:?} makes no progress");
        if let Some(before) = records.last() {
            assert!(
                before.next <= record.offset,
                "{record:?} overlaps {before:?}"
            );
        }
        records.push(record);
    }
    Ok(records)
}

fn taken(records: &[Record]) -> Vec<Reading> {
    let batches = records.iter().filter_map(|record| {
        if let Entry::Batch(batch) = &record.entry {
            Some(batch)
        } else {
            None
        }
    });
    batches.flat_map(|batch| batch.readings.clone()).collect()
}

async fn reads_back_what_was_appended(mut subject: impl Subject) -> Result<(), StreamError> {
    let writer = subject.open().await?;
    let mut expected = 1;
    for count in [1, 5, 2] {
        let receipt = writer.append(some(expected, count)).await?;
        assert_eq!(
            (receipt.first_seq, receipt.last_seq),
            (Seq(expected), Seq(expected + count - 1))
        );
        expected += count;
    }
    let mut reader = subject.reader(Offset(0)).await?;
    let records = drain(&mut *reader).await?;
    assert_eq!(taken(&records), some(1, expected - 1));
    for record in &records {
        let Entry::Batch(batch) = &record.entry else {
            continue;
        };
        assert_eq!(
            batch
                .readings
                .first()
                .and_then(|reading| reading.value.clone()),
            Some(Value::U64(batch.first_seq.0))
        );
    }
    assert_eq!(reader.try_next().await?, None);
    writer.close().await
}

async fn resumes_at_every_offset(mut subject: impl Subject) -> Result<(), StreamError> {
    let writer = subject.open().await?;
    for number in 1..=4 {
        writer.append(some(number, 1)).await?;
    }
    let all = drain(&mut *subject.reader(Offset(0)).await?).await?;
    assert_eq!(all.len(), 4);
    for (at, record) in all.iter().enumerate() {
        assert_eq!(
            drain(&mut *subject.reader(record.offset).await?).await?,
            all[at..]
        );
        assert_eq!(
            drain(&mut *subject.reader(record.next).await?).await?,
            all[at + 1..]
        );
    }
    writer.close().await
}

async fn ends_epochs_and_begins_higher_ones(mut subject: impl Subject) -> Result<(), StreamError> {
    let writer = subject.open().await?;
    let first = writer.append(some(1, 3)).await?;
    writer.close().await?;
    let writer = subject.open().await?;
    let second = writer.append(some(1, 1)).await?;
    assert!(second.epoch > first.epoch);
    assert_eq!(second.first_seq, Seq::FIRST);
    let records = drain(&mut *subject.reader(Offset(0)).await?).await?;
    let entries: Vec<_> = records.iter().map(|record| &record.entry).collect();
    let [Entry::Batch(one), end, Entry::Batch(two)] = entries[..] else {
        panic_with(&records)
    };
    assert_eq!((one.epoch, two.epoch), (first.epoch, second.epoch));
    assert_eq!(
        *end,
        Entry::EpochEnd {
            epoch: first.epoch,
            nonce: one.nonce,
            last: LastSeq::Known(Some(Seq(3)))
        }
    );
    assert_ne!(one.nonce, two.nonce, "each opening has its own");
    writer.close().await
}

#[expect(clippy::panic, reason = "a suite tells of a failure by panicking")]
fn panic_with(records: &[Record]) -> ! {
    panic!("not a batch, an end and a batch: {records:?}")
}

async fn forgets_for_ever(mut subject: impl Subject) -> Result<(), StreamError> {
    let writer = subject.open().await?;
    for number in 1..=3 {
        writer.append(some(number, 1)).await?;
    }
    let mut reader = subject.reader(Offset(0)).await?;
    let all = drain(&mut *reader).await?;
    reader.forget(all[1].next).await?;
    assert_eq!(
        drain(&mut *subject.reader(Offset(0)).await?).await?,
        all[2..]
    );
    writer.close().await?;
    let writer = subject.open().await?;
    let again = drain(&mut *subject.reader(Offset(0)).await?).await?;
    assert_eq!(again.first(), all.last());
    writer.close().await
}

async fn waits_for_new_records(mut subject: impl Subject) -> Result<(), StreamError> {
    let writer = subject.open().await?;
    let mut reader = subject.reader(Offset(0)).await?;
    let (record, receipt) = tokio::join!(reader.next(), writer.append(some(1, 1)));
    receipt?;
    assert_eq!(taken(&[record?]), some(1, 1));
    writer.close().await
}

async fn shows_no_receipts(mut subject: impl Subject) -> Result<(), StreamError> {
    let writer = subject.open().await?;
    let receipt = |number: u8| OpenReceipt {
        owner: [7; 16],
        token: vec![number; 20],
    };
    for number in 1..=3 {
        let receipts = ReceiptChanges {
            ended: vec![receipt(number - 1)],
            opened: vec![receipt(number)],
        };
        writer
            .append_with(some(u64::from(number), 1), receipts)
            .await?;
    }
    writer.end_receipts(vec![receipt(3), receipt(9)]).await?;
    let records = drain(&mut *subject.reader(Offset(0)).await?).await?;
    assert_eq!((records.len(), taken(&records)), (3, some(1, 3)));
    writer.close().await?;
    let late = writer.end_receipts(vec![receipt(3)]).await;
    assert_eq!(late.map_err(|error| error.kind()), Err(ErrorKind::Fatal));
    Ok(())
}

/// A raw record as a reader that decodes would yield it; checks that its bytes are those of its readings or outages, and that its
/// head is theirs.
///
/// # Errors
/// `Corrupt` if its bytes cannot be decoded.
pub(crate) fn decoded(raw: RawRecord) -> Result<Record, StreamError> {
    let RawRecord {
        offset,
        next,
        entry,
    } = raw;
    let failed = |source| StreamError::Record {
        offset: offset.0,
        source,
    };
    let entry = match entry {
        RawEntry::Readings(raw) => {
            let batch = ReadingBatch::decode(&raw.bytes).map_err(failed)?;
            assert_eq!(
                (raw.head, &raw.bytes[..]),
                (RecordHead::from(&batch), &batch.encode()[..])
            );
            Entry::Batch(batch)
        }
        RawEntry::Outages(raw) => {
            let outages = Outages::decode(&raw.bytes).map_err(failed)?;
            assert_eq!(
                (raw.head, &raw.bytes[..]),
                (RecordHead::from(&outages), &outages.encode()[..])
            );
            Entry::Outages(outages)
        }
        RawEntry::Decoded(entry) => entry,
    };
    Ok(Record {
        offset,
        next,
        entry,
    })
}

async fn yields_raw_what_it_yields_decoded(mut subject: impl Subject) -> Result<(), StreamError> {
    let writer = subject.open().await?;
    writer.append(some(1, 3)).await?;
    let opened = vec![OpenReceipt {
        owner: [7; 16],
        token: vec![1; 20],
    }];
    writer
        .append_with(
            some(4, 2),
            ReceiptChanges {
                ended: Vec::new(),
                opened,
            },
        )
        .await?;
    for series in some(1, 1).into_iter().map(|reading| reading.series) {
        let (from, to) = (Timestamp::from_nanos(1), Timestamp::from_nanos(2));
        let outage = Outage {
            site: series.site,
            device: Some(series.device),
            from,
            to,
            why: OutageWhy::Stopped,
        };
        writer.append_outages(vec![outage; 2]).await?;
    }
    writer.close().await?;
    let writer = subject.open().await?;
    writer.append(some(1, 1)).await?;
    let all = drain(&mut *subject.reader(Offset(0)).await?).await?;
    assert!(all.len() > 4, "{all:?}");
    let (mut raw, mut mixed) = (
        subject.reader(Offset(0)).await?,
        subject.reader(Offset(0)).await?,
    );
    for (at, record) in all.iter().enumerate() {
        assert_eq!(decoded(raw.next_raw().await?)?, *record);
        let same = if at % 2 == 0 {
            decoded(mixed.next_raw().await?)?
        } else {
            mixed.next().await?
        };
        assert_eq!(same, *record, "one reader in both forms");
    }
    writer.close().await
}

async fn refuses_what_it_must(mut subject: impl Subject) -> Result<(), StreamError> {
    let writer = subject.open().await?;
    let empty = writer.append(Vec::new()).await;
    assert_eq!(empty.map_err(|error| error.kind()), Err(ErrorKind::Reject));
    writer.close().await?;
    let late = writer.append(some(1, 1)).await;
    assert_eq!(late.map_err(|error| error.kind()), Err(ErrorKind::Fatal));
    Ok(())
}
