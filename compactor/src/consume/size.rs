//! How much memory readings take, roughly: for budgets, not for bills.

use forebay_schemas::{
    Status,
    wire::{SeriesBatch, SeriesBlock},
};

/// A reading in a batch's columns: its position, two times, its value and its status.
const COLUMNS_BYTES: usize = 4 + 8 + 8 + 8 + 4;

/// A reading that waits for a commit: in the columns of its series, and in those of the file at
/// last, which take most.
const WAITING_BYTES: usize = 160;

/// A batch in memory, in bytes.
pub(super) fn batch_bytes(batch: &SeriesBatch) -> usize {
    let blocks: usize = batch.blocks().map(|block| block_bytes(&block)).sum();
    size_of::<SeriesBatch>() + batch.len() * COLUMNS_BYTES + blocks + shared_bytes(batch)
}

/// What a batch's readings take until they are committed, in bytes.
pub(super) fn waiting_bytes(batch: &SeriesBatch) -> usize {
    batch.len() * WAITING_BYTES + shared_bytes(batch)
}

/// What a block's readings share. Its site and device are mostly those of the block before.
fn block_bytes(block: &SeriesBlock<'_>) -> usize {
    size_of::<SeriesBlock<'_>>()
        + block.series.tag.as_str().len()
        + block.unit.map_or(0, |unit| unit.len())
}

/// Texts, bytes and statuses.
fn shared_bytes(batch: &SeriesBatch) -> usize {
    let texts: usize = batch
        .texts()
        .iter()
        .map(|text| size_of::<String>() + text.len())
        .sum();
    let bytes: usize = batch
        .byte_strings()
        .iter()
        .map(|bytes| size_of::<Vec<u8>>() + bytes.len())
        .sum();
    let reason = |status: &Status| status.reason.as_ref().map_or(0, String::len);
    let statuses: usize = batch
        .statuses()
        .iter()
        .map(|status| size_of::<Status>() + reason(status))
        .sum();
    texts + bytes + statuses
}
