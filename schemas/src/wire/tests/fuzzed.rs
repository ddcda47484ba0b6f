//! Kept records of each kind and damaged ones: what is read is written again as it was read, and the rest is refused.

use forebay_fuzz::{corpus, fuzz};

use super::*;
use crate::{SourceEvent, ledger::Ledger};

fn kind<T>(read: &Result<T, DecodeError>) -> String {
    let text = match read {
        Ok(_) => return "read".to_owned(),
        Err(error) => error.to_string(),
    };
    assert!(!text.is_empty());
    text.chars()
        .filter(|c| c.is_alphabetic())
        .take(30)
        .collect()
}

#[test]
fn fuzz_readings() {
    fuzz(corpus!("readings"), |bytes| {
        let read = ReadingBatch::decode(bytes);
        let columns = SeriesBatch::decode(bytes);
        assert_eq!(read.is_ok(), columns.is_ok());
        if let Ok(batch) = &read {
            assert!(batch.readings.len() <= bytes.len(), "bounded by its bytes");
            let again = ReadingBatch::decode(&batch.encode()).unwrap();
            assert_eq!(again.encode(), batch.encode());
        }
        let head = RecordHead::of_readings(bytes);
        (kind(&read), kind(&head))
    });
}

#[test]
fn fuzz_outages() {
    fuzz(corpus!("outages"), |bytes| {
        let read = Outages::decode(bytes);
        if let Ok(batch) = &read {
            assert_eq!(Outages::decode(&batch.encode()).as_ref(), Ok(batch));
        }
        (kind(&read), kind(&RecordHead::of_outages(bytes)))
    });
}

#[test]
fn fuzz_event() {
    fuzz(corpus!("event"), |bytes| {
        let read = SourceEvent::decode(bytes);
        if let Ok(event) = &read {
            let again = SourceEvent::decode(&event.encode()).unwrap();
            assert_eq!(again.identity(), event.identity());
        }
        kind(&read)
    });
}

#[test]
fn fuzz_gap() {
    fuzz(corpus!("gap"), |bytes| kind(&Gap::decode(bytes)));
}

#[test]
fn fuzz_epoch_end() {
    fuzz(corpus!("epoch_end"), |bytes| kind(&EpochEnd::decode(bytes)));
}

#[test]
fn fuzz_spool_loss() {
    fuzz(corpus!("spool_loss"), |bytes| {
        kind(&SpoolLoss::decode(bytes))
    });
}

#[test]
fn fuzz_ledger() {
    fuzz(corpus!("ledger"), |bytes| {
        let again = Ledger::decode(bytes)?.encode();
        assert!(Ledger::decode(&again).is_some());
        Some(again.len())
    });
}
