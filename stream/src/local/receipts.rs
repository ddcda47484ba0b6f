//! Receipts as they are stored (E1): in the record of their readings, and in the mark.
//!
//! Layout of a list, little-endian: owners 4 · for each owner: owner 16 · receipts 4 · for each receipt: length 2 · token.
//! A record of kind `Receipted` begins with two lists, the ended and the opened; its batch follows. The receipts open at
//! a place of the log are those of the mark, changed by every record from the mark's place on.
//! docs/adr/0005-receipts-in-records-and-mark.md says why.

use std::collections::HashSet;

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::bytes::Fields;
use crate::{OpenReceipt, ReceiptChanges, StreamError};

/// What is open at one place of the log. Each message of QoS 1 comes and goes here, so nothing keeps them in order.
pub(super) type Open = HashSet<OpenReceipt, RandomState>;

/// Ends and opens.
pub(super) fn apply(open: &mut Open, changes: ReceiptChanges) {
    for ended in &changes.ended {
        open.remove(ended);
    }
    open.extend(changes.opened);
}

/// Appends the two lists of a record.
pub(super) fn encode_changes(
    changes: &ReceiptChanges,
    out: &mut Vec<u8>,
) -> Result<(), StreamError> {
    for list in [&changes.ended, &changes.opened] {
        encode(list.iter(), out)?;
    }
    Ok(())
}

/// The lists at the start of a record's content, and the bytes of its batch; `None` if they are none.
pub(super) fn decode_changes(content: &[u8]) -> Option<(ReceiptChanges, &[u8])> {
    let mut fields = Fields(content);
    let ended = decode(&mut fields)?;
    let opened = decode(&mut fields)?;
    Some((ReceiptChanges { ended, opened }, fields.0))
}

/// The batch of a record that begins with two lists, which are passed over; `None` if they are none. Copies nothing.
pub(super) fn batch_behind(content: &Bytes) -> Option<Bytes> {
    let mut fields = Fields(content);
    pass(&mut fields)?;
    pass(&mut fields)?;
    Some(content.slice(content.len() - fields.0.len()..))
}

/// Appends a list: ascending, each once.
pub(super) fn encode<'a>(
    receipts: impl Iterator<Item = &'a OpenReceipt>,
    out: &mut Vec<u8>,
) -> Result<(), StreamError> {
    // Many may be open, and lie all over the memory: what tells most of them apart is compared without going there.
    let mut receipts: Vec<(u128, u128, &OpenReceipt)> = receipts.map(in_order).collect();
    receipts.sort();
    receipts.dedup();
    let owners: Vec<_> = receipts
        .chunk_by(|(one, ..), (other, ..)| one == other)
        .collect();
    put_count(owners.len(), out)?;
    for receipts in owners {
        out.extend(
            receipts
                .iter()
                .take(1)
                .flat_map(|(_, _, first)| first.owner),
        );
        put_count(receipts.len(), out)?;
        for (_, _, OpenReceipt { token, .. }) in receipts {
            let too_long = |_| StreamError::TooLarge {
                found: token.len() as u64,
                max: u64::from(u16::MAX),
                unit: "bytes of a receipt",
            };
            out.extend_from_slice(&u16::try_from(token.len()).map_err(too_long)?.to_le_bytes());
            out.extend_from_slice(token);
        }
    }
    Ok(())
}

/// A receipt behind its owner and the beginning of its token, in which order it is theirs.
fn in_order(receipt: &OpenReceipt) -> (u128, u128, &OpenReceipt) {
    let mut beginning = [0; 16];
    for (to, from) in beginning.iter_mut().zip(&receipt.token) {
        *to = *from;
    }
    let owner = u128::from_be_bytes(receipt.owner);
    (owner, u128::from_be_bytes(beginning), receipt)
}

/// The list at the start of `fields`; `None` if it is none.
pub(super) fn decode(fields: &mut Fields<'_>) -> Option<Vec<OpenReceipt>> {
    let mut receipts = Vec::new();
    for _ in 0..fields.u32()? {
        let owner = fields.array()?;
        for _ in 0..fields.u32()? {
            let length = usize::from(fields.u16()?);
            receipts.push(OpenReceipt {
                owner,
                token: fields.bytes(length)?,
            });
        }
    }
    Some(receipts)
}

/// Goes behind the list at the start of `fields`; `None` if it is none.
fn pass(fields: &mut Fields<'_>) -> Option<()> {
    for _ in 0..fields.u32()? {
        fields.array::<16>()?;
        for _ in 0..fields.u32()? {
            let length = usize::from(fields.u16()?);
            fields.skip(length)?;
        }
    }
    Some(())
}

fn put_count(count: usize, out: &mut Vec<u8>) -> Result<(), StreamError> {
    let too_many = |_| StreamError::TooLarge {
        found: count as u64,
        max: u64::from(u32::MAX),
        unit: "receipts",
    };
    out.extend_from_slice(&u32::try_from(count).map_err(too_many)?.to_le_bytes());
    Ok(())
}
