//! One record of the topic: key, headers and bytes.
//!
//! The key is gateway and lane, percent-encoded and joined by '/'. Headers repeat what tools want to see without decoding;
//! a reader believes only `forebay-record`, which tells the kinds of records apart, and then the bytes themselves. What
//! is not ours is yielded as undecodable; what a later release wrote stops the reader (E13).

use bytes::Bytes;
use forebay_runtime::trace::TraceContext;
use forebay_schemas::{
    Epoch, ErrorKind, LaneId, Seq,
    wire::{
        DecodeError, EpochEnd, Gap, LastSeq, Outages, SeriesBatch, SeriesDecoder, SpoolLoss,
        WIRE_VERSION,
    },
};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};

use super::transit::{TRACE_BYTES, TRACEPARENT, transit, with_trace};
use crate::{Delivered, Entry, Offset, Record, StreamError, Transit, raw::RawBatch};

const KIND: &str = "forebay-record";
const SCHEMA_VERSION: &str = "schema_version";
const READINGS: &str = "readings";
const EPOCH_END: &str = "epoch_end";
const GAP: &str = "gap";
const OUTAGES: &str = "outages";
const SPOOL_LOSS: &str = "spool_loss";
/// What a record takes in a request besides key, headers and bytes: lengths, times, and its share of the batch's head.
const FRAME_BYTES: usize = 128;
/// Headers with numbers, their names included.
const NUMBERS_BYTES: usize = 192;

/// A record to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outgoing {
    Readings(RawBatch),
    End(EpochEnd),
    Gap(Gap),
    Outages(RawBatch),
    Loss(SpoolLoss),
}

impl Outgoing {
    /// How many readings it carries.
    pub(super) fn readings(&self) -> u64 {
        match self {
            Self::Readings(batch) => batch.head.count.into(),
            Self::End(_) | Self::Gap(_) | Self::Outages(_) | Self::Loss(_) => 0,
        }
    }

    pub(super) fn epoch(&self) -> Epoch {
        match self {
            Self::Readings(batch) | Self::Outages(batch) => batch.head.epoch,
            Self::End(end) => end.epoch,
            Self::Gap(gap) => gap.epoch,
            Self::Loss(loss) => loss.epoch,
        }
    }

    pub(super) fn lane(&self) -> &LaneId {
        match self {
            Self::Readings(batch) | Self::Outages(batch) => &batch.head.lane,
            Self::End(end) => &end.lane,
            Self::Gap(gap) => &gap.lane,
            Self::Loss(loss) => &loss.lane,
        }
    }

    /// Its bytes; those of readings and outages as they were read.
    pub(super) fn bytes(&self) -> Bytes {
        match self {
            Self::Readings(batch) | Self::Outages(batch) => batch.bytes.clone(),
            Self::End(end) => end.encode().into(),
            Self::Gap(gap) => gap.encode().into(),
            Self::Loss(loss) => loss.encode().into(),
        }
    }

    /// Its headers; with that of the span in which it is published, if that is kept.
    pub(super) fn headers(&self, trace: Option<TraceContext>) -> OwnedHeaders {
        let lane = self.lane();
        let text = |headers: OwnedHeaders, key, value: &str| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        };
        let (kind, numbers) = match self {
            Self::Readings(RawBatch { head, .. }) => {
                (READINGS, Some((head.first_seq, u64::from(head.count))))
            }
            Self::End(_) => (EPOCH_END, None),
            Self::Gap(gap) => (
                GAP,
                Some((gap.first_seq, gap.last_seq.0 - gap.first_seq.0 + 1)),
            ),
            Self::Outages(RawBatch { head, .. }) => {
                (OUTAGES, Some((head.first_seq, u64::from(head.count))))
            }
            Self::Loss(_) => (SPOOL_LOSS, None),
        };
        let mut headers = text(OwnedHeaders::new_with_capacity(8), KIND, kind);
        headers = text(headers, SCHEMA_VERSION, &WIRE_VERSION.to_string());
        headers = text(headers, "gateway", lane.gateway.as_str());
        headers = text(headers, "lane", &lane.lane.to_string());
        headers = text(headers, "epoch", &self.epoch().to_string());
        if let Some((first_seq, count)) = numbers {
            headers = text(headers, "first_seq", &first_seq.to_string());
            headers = text(headers, "count", &count.to_string());
        }
        with_trace(headers, trace)
    }
}

/// The key of a lane's records.
pub(super) fn key(lane: &LaneId) -> String {
    format!("{}/{}", lane.gateway.path_segment(), lane.lane)
}

/// What a record of this lane takes besides its bytes.
pub(super) fn overhead(lane: &LaneId) -> u64 {
    (key(lane).len() + lane.gateway.as_str().len() + NUMBERS_BYTES + TRACE_BYTES + FRAME_BYTES)
        as u64
}

/// A record as it came, free of the client library.
pub(super) struct Incoming {
    pub(super) offset: u64,
    kind: Option<String>,
    schema_version: Option<u32>,
    transit: Transit,
    pub(super) payload: Vec<u8>,
}

impl Incoming {
    pub(super) fn new(message: &BorrowedMessage<'_>) -> Self {
        let header = |name: &str| {
            let headers = message.headers()?;
            let found = headers.iter().find(|header| header.key == name)?;
            Some(String::from_utf8_lossy(found.value?).into_owned())
        };
        Self {
            offset: message.offset().max(0) as u64,
            kind: header(KIND),
            schema_version: header(SCHEMA_VERSION).and_then(|version| version.parse().ok()),
            transit: transit(message.timestamp(), header(TRACEPARENT).as_deref()),
            payload: message.payload().unwrap_or_default().to_vec(),
        }
    }

    /// The record; `Fatal` if a later release wrote it.
    pub(super) fn decode(self, decoder: &mut SeriesDecoder) -> Result<Delivered, StreamError> {
        let (offset, next) = (Offset(self.offset), Offset(self.offset + 1));
        let (lane, entry) = match self.entry(decoder) {
            Ok((lane, entry)) => (Some(lane), entry),
            Err(Unreadable::Bytes(source)) if source.kind() == ErrorKind::Fatal => {
                return Err(StreamError::Record {
                    offset: self.offset,
                    source,
                });
            }
            Err(why) => (
                None,
                Entry::Undecodable {
                    why: why.to_string(),
                    bytes: self.payload,
                },
            ),
        };
        Ok(Delivered {
            lane,
            record: Record {
                offset,
                next,
                entry,
            },
            transit: self.transit,
        })
    }

    fn entry(
        &self,
        decoder: &mut SeriesDecoder,
    ) -> Result<(LaneId, Entry<SeriesBatch>), Unreadable> {
        Ok(match self.kind.as_deref() {
            Some(READINGS) => {
                let batch = decoder.decode(&self.payload)?;
                (batch.lane.clone(), Entry::Batch(batch))
            }
            Some(EPOCH_END) => {
                let end = EpochEnd::decode(&self.payload)?;
                (
                    end.lane,
                    Entry::EpochEnd {
                        epoch: end.epoch,
                        nonce: end.nonce,
                        last: end.last,
                    },
                )
            }
            Some(GAP) => {
                let Gap {
                    lane,
                    epoch,
                    nonce,
                    first_seq,
                    last_seq,
                    why,
                } = Gap::decode(&self.payload)?;
                (
                    lane,
                    Entry::Gap {
                        epoch,
                        nonce,
                        first_seq,
                        last_seq,
                        why,
                    },
                )
            }
            Some(OUTAGES) => {
                let outages = Outages::decode(&self.payload)?;
                (outages.lane.clone(), Entry::Outages(outages))
            }
            Some(SPOOL_LOSS) => {
                let SpoolLoss {
                    lane,
                    from,
                    to,
                    why,
                    ..
                } = SpoolLoss::decode(&self.payload)?;
                (
                    lane,
                    Entry::SpoolLoss {
                        from: Offset(from),
                        to: Offset(to),
                        why,
                    },
                )
            }
            kind => match self.schema_version {
                Some(found) if found > WIRE_VERSION && kind.is_some() => {
                    return Err(DecodeError::NewerVersion { found }.into());
                }
                _ => return Err(Unreadable::Kind(kind.map(str::to_owned))),
            },
        })
    }
}

#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Bytes(#[from] DecodeError),
    #[error(
        "the header forebay-record is {0:?}, not \"readings\", \"outages\", \"epoch_end\", \"gap\" or \"spool_loss\""
    )]
    Kind(Option<String>),
}

/// The last seq that an end names, whether it is the very last or not.
pub(super) fn named(last: LastSeq) -> Option<Seq> {
    match last {
        LastSeq::Known(last) => last,
        LastSeq::Unknown { at_least } => at_least,
    }
}

#[cfg(test)]
mod tests {
    use forebay_schemas::{
        EpochNonce, GatewayId, Lane, SiteId, Timestamp,
        wire::{GapWhy, Outage, OutageWhy, ReadingBatch},
    };

    use super::*;
    use crate::{Damage, conformance::readings};

    fn lane() -> LaneId {
        LaneId {
            gateway: GatewayId::new("Werk 1/a.b").unwrap(),
            lane: Lane(2),
        }
    }

    const NONCE: EpochNonce = EpochNonce(0xA);

    fn batch() -> ReadingBatch {
        let (epoch, first_seq, readings) = (Epoch(9), Seq(4), readings(1, 3).unwrap());
        ReadingBatch {
            lane: lane(),
            epoch,
            nonce: NONCE,
            first_seq,
            readings,
        }
    }

    fn outages() -> Outages {
        let (from, to) = (Timestamp::from_nanos(1), Timestamp::from_nanos(2));
        let outage = Outage {
            site: SiteId::new("s").unwrap(),
            device: None,
            from,
            to,
            why: OutageWhy::Stopped,
        };
        Outages {
            lane: lane(),
            epoch: Epoch(9),
            nonce: NONCE,
            first_seq: Seq(4),
            outages: vec![outage],
        }
    }

    fn outgoing() -> [Outgoing; 5] {
        let (lane, epoch, first_seq, nonce) = (lane(), Epoch(9), Seq(4), NONCE);
        [
            Outgoing::Readings(RawBatch::from(&batch())),
            Outgoing::End(EpochEnd {
                lane: lane.clone(),
                epoch,
                nonce,
                last: LastSeq::Known(Some(Seq(8))),
            }),
            Outgoing::Gap(Gap {
                lane: lane.clone(),
                epoch,
                nonce,
                first_seq,
                last_seq: Seq(6),
                why: GapWhy::Refused,
            }),
            Outgoing::Outages(RawBatch::from(&outages())),
            Outgoing::Loss(SpoolLoss {
                lane,
                epoch,
                from: 3,
                to: 5,
                why: Damage::Header,
            }),
        ]
    }

    fn headers(outgoing: &Outgoing) -> Vec<(String, String)> {
        let headers = outgoing.headers(None);
        let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
        headers
            .iter()
            .map(|header| (header.key.to_owned(), text(header.value)))
            .collect()
    }

    fn incoming(outgoing: &Outgoing) -> Incoming {
        let headers = headers(outgoing);
        let get = |name: &str| {
            headers
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
        };
        Incoming {
            offset: 7,
            kind: get(KIND),
            schema_version: get(SCHEMA_VERSION).and_then(|version| version.parse().ok()),
            transit: Transit::default(),
            payload: outgoing.bytes().to_vec(),
        }
    }

    #[test]
    fn headers_say_what_tools_want_to_know() {
        let shown = outgoing().map(|outgoing| {
            headers(&outgoing)
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
                .join(" ")
        });
        assert_eq!(
            shown,
            [
                "forebay-record=readings schema_version=1 gateway=Werk 1/a.b lane=2 epoch=9 first_seq=4 count=3",
                "forebay-record=epoch_end schema_version=1 gateway=Werk 1/a.b lane=2 epoch=9",
                "forebay-record=gap schema_version=1 gateway=Werk 1/a.b lane=2 epoch=9 first_seq=4 count=3",
                "forebay-record=outages schema_version=1 gateway=Werk 1/a.b lane=2 epoch=9 first_seq=4 count=1",
                "forebay-record=spool_loss schema_version=1 gateway=Werk 1/a.b lane=2 epoch=9",
            ]
        );
        assert_eq!(key(&lane()), "Werk%201%2Fa%2Eb/2");
    }

    #[test]
    fn what_was_sent_is_what_comes() {
        let [of_readings, end, gap, of_outages, loss] = outgoing();
        for (sent, expected) in [
            (&of_readings, Entry::Batch(SeriesBatch::from(&batch()))),
            (
                &end,
                Entry::EpochEnd {
                    epoch: Epoch(9),
                    nonce: NONCE,
                    last: LastSeq::Known(Some(Seq(8))),
                },
            ),
            (
                &gap,
                Entry::Gap {
                    epoch: Epoch(9),
                    nonce: NONCE,
                    first_seq: Seq(4),
                    last_seq: Seq(6),
                    why: GapWhy::Refused,
                },
            ),
            (&of_outages, Entry::Outages(outages())),
            (
                &loss,
                Entry::SpoolLoss {
                    from: Offset(3),
                    to: Offset(5),
                    why: Damage::Header,
                },
            ),
        ] {
            let came = incoming(sent)
                .decode(&mut SeriesDecoder::default())
                .unwrap();
            assert_eq!((came.lane, came.record.entry), (Some(lane()), expected));
            assert_eq!(
                (came.record.offset, came.record.next),
                (Offset(7), Offset(8))
            );
        }
    }

    #[test]
    fn what_is_not_ours_is_kept_and_what_is_newer_stops() {
        let [batch, ..] = outgoing();
        let undecodable = |change: &dyn Fn(&mut Incoming), expected: &str| {
            let mut changed = incoming(&batch);
            change(&mut changed);
            let payload = changed.payload.clone();
            let came = changed.decode(&mut SeriesDecoder::default()).unwrap();
            let Entry::Undecodable { bytes, why } = came.record.entry else {
                panic!("decoded")
            };
            assert!(why.contains(expected), "{why}");
            assert_eq!((bytes, came.lane), (payload, None));
        };
        undecodable(
            &|came| came.payload = b"{}".to_vec(),
            "not a protobuf message",
        );
        undecodable(&|came| came.payload.clear(), "states no wire version");
        undecodable(&|came| came.kind = None, "forebay-record is None");
        undecodable(
            &|came| came.kind = Some("alert".to_owned()),
            "forebay-record is Some(\"alert\")",
        );
        let mut newer = incoming(&batch);
        (newer.kind, newer.schema_version) = (Some("alert".to_owned()), Some(2));
        assert_eq!(
            newer
                .decode(&mut SeriesDecoder::default())
                .unwrap_err()
                .kind(),
            ErrorKind::Fatal
        );
        let mut newer = incoming(&batch);
        newer.payload[1] = 2;
        let error = newer.decode(&mut SeriesDecoder::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal);
        assert_eq!(error.to_string(), "record at offset 7 cannot be read");
    }
}
