//! Kept bytes of the spool's files and damaged ones: read or refused, no panic and no hang.

use bytes::Bytes;
use forebay_fuzz::{corpus, fuzz};

use super::codec::key;
use crate::local::{
    header::Header,
    ledger::LedgerFile,
    mark::Mark,
    receipts::{batch_behind, decode_changes},
    record::{decode_end, index_at},
};

#[test]
fn fuzz_content() {
    fuzz(corpus!("content"), |content| {
        let changes = decode_changes(content);
        let behind = batch_behind(&Bytes::copy_from_slice(content));
        let rest = changes.as_ref().map(|(_, rest)| *rest);
        assert_eq!(rest, behind.as_deref(), "both find the same batch");
        let counts = changes.map(|(changes, _)| (changes.ended.len(), changes.opened.len()));
        (
            counts,
            decode_end(content).is_some(),
            index_at(content).is_some(),
        )
    });
}

#[test]
fn fuzz_header() {
    fuzz(corpus!("header"), |bytes| {
        Header::decode(bytes, &key())
            .map(drop)
            .map_err(|bad| format!("{bad:?}"))
    });
}

#[test]
fn fuzz_mark() {
    fuzz(corpus!("mark"), |bytes| {
        Mark::decode(bytes, &key())
            .map(drop)
            .map_err(|bad| format!("{bad:?}"))
    });
}

#[test]
fn fuzz_ledger() {
    fuzz(corpus!("ledger"), |bytes| {
        LedgerFile::decode(bytes, &key())
            .map(drop)
            .map_err(|bad| format!("{bad:?}"))
    });
}
