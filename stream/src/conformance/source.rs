//! What every partition must do, be it a spool or Kafka's. Records may arrive later than their receipts, so the suite waits
//! for each, within a time-out, and records may be cut smaller than they were appended.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use forebay_schemas::{EpochNonce, Seq};
use tokio::time::timeout;

use super::some;
use crate::{
    Delivered, Entry, LastSeq, LogSource, LogWriter, Offset, PartitionReader, Receipt, StreamError,
};

/// How long a record may take to arrive.
const ARRIVES_MAX: Duration = Duration::from_secs(60);
const FAR: u64 = 1 << 40;

/// A partition under test, and the lane that comes through it.
#[async_trait]
pub trait SourceSubject: Send {
    /// Opens the lane anew, in a new epoch; the writer before has been closed.
    async fn open(&mut self) -> Result<Box<dyn LogWriter>, StreamError>;
    /// The partition; asked for after [`SourceSubject::open`].
    async fn source(&mut self) -> Result<Arc<dyn LogSource>, StreamError>;
    /// Whether its offsets are those of one history for ever. A spool's are not: it always begins at its oldest record.
    fn believes_offsets(&self) -> bool;
}

/// Runs the suite, each part on a new and empty partition.
///
/// # Errors
/// The first error of the partition that was not to be expected.
///
/// # Panics
/// Where the partition does not do as it must.
pub async fn check_source<S: SourceSubject, F: Future<Output = S>>(
    mut empty: impl FnMut() -> F,
) -> Result<(), StreamError> {
    reads_in_order_and_resumes_where_it_may(empty().await).await?;
    waits_and_sees_the_end(empty().await).await?;
    ends_an_epoch_before_the_next(empty().await).await?;
    begins_again_past_the_end(empty().await).await
}

async fn arrives(reader: &mut dyn PartitionReader) -> Result<Delivered, StreamError> {
    #[expect(clippy::panic, reason = "a suite tells of a failure by panicking")]
    match timeout(ARRIVES_MAX, reader.next()).await {
        Ok(record) => record,
        Err(_) => panic!("no record within {ARRIVES_MAX:?}"),
    }
}

/// Records until the readings are all there; they must come once each, in the order of their seqs.
async fn until(
    reader: &mut dyn PartitionReader,
    receipt: Receipt,
    from: Seq,
) -> Result<Vec<Delivered>, StreamError> {
    let (mut records, mut next) = (Vec::<Delivered>::new(), from);
    while next <= receipt.last_seq {
        let delivered = arrives(reader).await?;
        assert!(
            delivered.record.next > delivered.record.offset,
            "{delivered:?} makes no progress"
        );
        if let Some(before) = records.last() {
            assert!(
                before.record.next <= delivered.record.offset,
                "{delivered:?} overlaps {before:?}"
            );
        }
        if let Entry::Batch(batch) = &delivered.record.entry {
            assert_eq!(Some(&batch.lane), delivered.lane.as_ref());
            assert_eq!((batch.epoch, batch.first_seq), (receipt.epoch, next));
            let expected = some(next.0, batch.len() as u64);
            assert_eq!(batch.readings().collect::<Vec<_>>(), expected);
            next = Seq(next.0 + expected.len() as u64);
        }
        records.push(delivered);
    }
    Ok(records)
}

async fn reads_in_order_and_resumes_where_it_may(
    mut subject: impl SourceSubject,
) -> Result<(), StreamError> {
    let writer = subject.open().await?;
    let mut receipt = writer.append(some(1, 1)).await?;
    for (first, count) in [(2, 5), (7, 2)] {
        receipt = writer.append(some(first, count)).await?;
    }
    let source = subject.source().await?;
    let mut reader = source.open(Offset(0)).await?;
    let all = until(&mut *reader, receipt, Seq::FIRST).await?;
    for (at, delivered) in all.iter().enumerate() {
        let at = if subject.believes_offsets() { at } else { 0 };
        let mut same = source.open(delivered.record.offset).await?;
        assert_eq!(Some(&arrives(&mut *same).await?), all.get(at));
        let behind = if subject.believes_offsets() {
            at + 1
        } else {
            0
        };
        if let Some(after) = all.get(behind) {
            let mut next = source.open(delivered.record.next).await?;
            assert_eq!(arrives(&mut *next).await?, *after);
        }
    }
    assert!(!source.stream().is_empty());
    if let Some(last) = all.last() {
        reader.committed(last.record.next).await?;
    }
    writer.close().await
}

async fn waits_and_sees_the_end(mut subject: impl SourceSubject) -> Result<(), StreamError> {
    let writer = subject.open().await?;
    let source = subject.source().await?;
    let mut reader = source.open(Offset(0)).await?;
    assert_eq!(reader.try_next().await?, None);
    let (record, receipt) = tokio::join!(arrives(&mut *reader), writer.append(some(1, 1)));
    let (record, receipt) = (record?, receipt?);
    assert_eq!(
        (receipt.first_seq, receipt.last_seq),
        (Seq::FIRST, Seq::FIRST)
    );
    let Entry::Batch(batch) = record.record.entry else {
        panic_with(&record)
    };
    assert_eq!(batch.readings().collect::<Vec<_>>(), some(1, 1));
    assert_eq!(reader.try_next().await?, None);
    assert_eq!(reader.try_next().await?, None);
    writer.close().await
}

async fn ends_an_epoch_before_the_next(mut subject: impl SourceSubject) -> Result<(), StreamError> {
    let writer = subject.open().await?;
    let first = writer.append(some(1, 3)).await?;
    writer.close().await?;
    let writer = subject.open().await?;
    let second = writer.append(some(1, 1)).await?;
    let source = subject.source().await?;
    let mut reader = source.open(Offset(0)).await?;
    until(&mut *reader, first, Seq::FIRST).await?;
    let end = arrives(&mut *reader).await?;
    let Entry::EpochEnd { epoch, nonce, last } = end.record.entry else {
        panic_with(&end)
    };
    assert_eq!((epoch, last), (first.epoch, LastSeq::Known(Some(Seq(3)))));
    assert_ne!(nonce, EpochNonce::UNKNOWN);
    until(&mut *reader, second, Seq::FIRST).await?;
    writer.close().await
}

async fn begins_again_past_the_end(mut subject: impl SourceSubject) -> Result<(), StreamError> {
    let writer = subject.open().await?;
    let receipt = writer.append(some(1, 2)).await?;
    let source = subject.source().await?;
    let all = until(&mut *source.open(Offset(0)).await?, receipt, Seq::FIRST).await?;
    let again = until(&mut *source.open(Offset(FAR)).await?, receipt, Seq::FIRST).await?;
    assert_eq!(again, all);
    writer.close().await
}

#[expect(clippy::panic, reason = "a suite tells of a failure by panicking")]
fn panic_with(delivered: &Delivered) -> ! {
    panic!("not the batch that was appended: {delivered:?}")
}
