//! What goes to quarantine, each with a key under which it is found again.

use forebay_schemas::{
    EpochNonce, Reading, Seq, Series,
    wire::{ReadingBatch, SeriesBatch},
};

/// Something to be quarantined.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::consume) struct Quarantined {
    /// What it is, the same whenever it is found again.
    pub(in crate::consume) key: String,
    pub(in crate::consume) why: String,
    /// Gateway, lane and epoch of a reading; none for a record, whose place is the partition.
    pub(in crate::consume) lane: Option<String>,
    /// The record's offset, or the reading's seq.
    pub(in crate::consume) at: u64,
    pub(in crate::consume) raw: Vec<u8>,
    /// Of a reading, whose it is, in words.
    pub(in crate::consume) detail: Option<String>,
}

/// A reading as a batch of its own, to be quarantined.
pub(super) fn alone(batch: &SeriesBatch, seq: u64, reading: Reading, why: &str) -> Quarantined {
    let SeriesBatch {
        lane, epoch, nonce, ..
    } = batch;
    let Series { site, device, tag } = &reading.series;
    let detail = format!("site {site}, device {device}, tag {tag}");
    let one = ReadingBatch {
        lane: lane.clone(),
        epoch: *epoch,
        nonce: *nonce,
        first_seq: Seq(seq),
        readings: vec![reading],
    };
    let lane = format!("{}/{}/{epoch}", lane.gateway, lane.lane);
    // Two openings of a spool may have given out the same number.
    let opening = if *nonce == EpochNonce::UNKNOWN {
        String::new()
    } else {
        format!(" of {:016x}", nonce.0)
    };
    Quarantined {
        key: format!("reading {lane}/{seq}{opening}"),
        why: why.to_owned(),
        lane: Some(lane),
        at: seq,
        raw: one.encode(),
        detail: Some(detail),
    }
}
