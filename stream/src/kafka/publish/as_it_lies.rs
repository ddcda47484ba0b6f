//! What is sent of a spool is, byte for byte and header for header, what decoding its records and encoding them again would send.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use forebay_schemas::{
    Epoch, GatewayId, Lane, LaneId, SiteId, Timestamp, Value,
    wire::{Gap, Outage, OutageWhy},
};
use rdkafka::message::Headers as _;
use ring::rand::SystemRandom;
use tempfile::TempDir;

use crate::{
    LogReader, LogWriter as _, Offset, OpenReceipt, ReceiptChanges,
    conformance::{drain, readings},
    kafka::{
        course::{Course, Known},
        record::Outgoing,
        split::fit,
    },
    local::{Limits, OnFull, Options, Spool, SpoolKey},
    raw::RawRecord,
};

/// Headers and bytes of a record of the topic.
type Sent = (Vec<(String, String)>, Vec<u8>);

/// A lane of which nothing was sent before.
struct Nothing;

impl Known for Nothing {
    fn begun(&self, _: Epoch) -> bool {
        false
    }

    fn open_before(&self, _: Epoch) -> Vec<Epoch> {
        Vec::new()
    }
}

fn lane() -> LaneId {
    LaneId {
        gateway: GatewayId::new("Werk 1/ü").unwrap(),
        lane: Lane(2),
    }
}

async fn open(path: &Path) -> Spool {
    let options = Options {
        path: path.to_owned(),
        lane: lane(),
        key: SpoolKey::new([7; 32]),
        limits: Limits::new(12 << 10, 4 << 10, OnFull::DropOldest).unwrap(),
        now: Timestamp::from_nanos(5_000_000_000_000),
        random: Arc::new(SystemRandom::new()),
    };
    Spool::open(options).await.unwrap()
}

/// A spool with every kind of entry: a dropped range, readings with and without receipts, damage, outages, a reading that is larger
/// than others, an end, and another epoch.
async fn spool_of_everything(path: &Path) -> Spool {
    let spool = open(path).await;
    let writer = spool.writer();
    for number in 0..150 {
        writer
            .append(readings(1 + 4 * number, 4).unwrap())
            .await
            .unwrap();
    }
    let segments = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = segments
        .filter(|path| path.extension().is_some_and(|of| of == "seg"))
        .collect();
    segments.sort();
    let middle = segments.len() / 2;
    let mut bytes = fs::read(&segments[middle]).unwrap();
    bytes[300] ^= 1;
    fs::write(&segments[middle], bytes).unwrap();
    let receipts = ReceiptChanges {
        ended: Vec::new(),
        opened: vec![OpenReceipt {
            owner: [1; 16],
            token: vec![2; 9],
        }],
    };
    writer
        .append_with(readings(601, 3).unwrap(), receipts)
        .await
        .unwrap();
    let (from, to) = (Timestamp::from_nanos(1), Timestamp::from_nanos(2));
    let outage = Outage {
        site: SiteId::new("plant").unwrap(),
        device: None,
        from,
        to,
        why: OutageWhy::SpoolFull,
    };
    writer.append_outages(vec![outage; 60]).await.unwrap();
    let mut large = readings(1, 3).unwrap();
    large[1].value = Some(Value::Text("x".repeat(1500)));
    writer.append(large).await.unwrap();
    writer.close().await.unwrap();
    drop(spool);
    let spool = open(path).await;
    spool
        .writer()
        .append(readings(1, 2).unwrap())
        .await
        .unwrap();
    spool
}

/// Headers and bytes of all that is sent for these records, none of it larger than `limit`.
fn sent(records: impl IntoIterator<Item = RawRecord>, limit: u64) -> Vec<Sent> {
    let mut course = Course::default();
    let outgoing = records
        .into_iter()
        .flat_map(|record| course.records(&lane(), record, &Nothing));
    let fitted = outgoing.flat_map(|outgoing| fit(outgoing, limit));
    let shown = |outgoing: &Outgoing| {
        let headers = outgoing.headers(None);
        let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
        headers
            .iter()
            .map(|header| (header.key.to_owned(), text(header.value)))
            .collect()
    };
    fitted
        .map(|fitted| (shown(&fitted.outgoing), fitted.bytes.to_vec()))
        .collect()
}

#[tokio::test]
async fn the_bytes_are_those_of_records_that_were_decoded_and_encoded_again() {
    let dir = TempDir::new().unwrap();
    let spool = spool_of_everything(dir.path()).await;
    let decoded = drain(&mut spool.reader(Offset(0))).await.unwrap();
    let mut raw = Vec::new();
    let mut reader = spool.reader(Offset(0));
    while raw.len() < decoded.len() {
        raw.push(reader.next_raw().await.unwrap());
    }
    for limit in [1 << 20, 1200] {
        let expected = sent(decoded.iter().cloned().map(RawRecord::from), limit);
        assert_eq!(
            sent(raw.clone(), limit),
            expected,
            "records of at most {limit} bytes"
        );
        let kind = |(headers, bytes): &Sent| match headers[0].1.as_str() {
            "gap" => format!("gap {}", Gap::decode(bytes).unwrap().why.as_str()),
            kind => kind.to_owned(),
        };
        let kinds: BTreeSet<String> = expected.iter().map(kind).collect();
        let all = [
            "epoch_end",
            "gap damaged",
            "gap dropped",
            "outages",
            "readings",
            "spool_loss",
        ];
        let refused = (limit == 1200).then_some("gap refused");
        let all: BTreeSet<String> = all.into_iter().chain(refused).map(str::to_owned).collect();
        assert_eq!(kinds, all, "records of at most {limit} bytes");
    }
}
