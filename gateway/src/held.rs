//! What steps hold back and what must not be lost with the process: open windows, and the reading behind a swinging door.
//!
//! One sealed file for each connector, synced before what follows from the same messages goes into the spool (E1). It names the
//! messages that it has readings of, so that one that comes again is not counted twice. What was held goes into the spool
//! under a receipt of its own, and leaves the file after that: a crash in between leaves it in both, and the receipt, which
//! the spool gives back, says that it is stored (ADR 0033).
//!
//! Format, version 2, little-endian: items 4; each id 8 · next table 4 · readings 4; each site · device · tag · event time 8 ·
//! observed time 8 · value type 1 and value · unit flag 1 and unit · quality 1 · code flag 1 and code 8 · reason flag 1 and
//! reason. Behind them session 16 · messages 4; each token · extent 1 (0 whole, 1 part) · passes 4 of 8 each. A text or token is
//! its length 4 and its bytes. Version 1 ends behind the items.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use forebay_connectors::{Extent, SessionId, Token};
use forebay_schemas::{
    DeviceId, Quality, Reading, Series, SiteId, Status, TagName, Value, path_segment,
};
use ring::digest::{SHA256, digest};

use crate::{
    SeriesFolder,
    kept::{Fields, text},
    sealed::{Format, SealedError, SealedFile},
};

const FORMAT: Format = Format {
    magic: b"FBHELD\0\0",
    version: 2,
    oldest: 1,
};

/// What one table holds back of one series: the readings that it would send if it had to send now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeldItem {
    /// Another one for each window and each held reading, for ever.
    pub(crate) id: u64,
    /// The `[[step]]` table that they go on to, from 0.
    pub(crate) next: usize,
    pub(crate) readings: Vec<Reading>,
}

/// The next table of what is through all of them.
pub(crate) const BEHIND_ALL: usize = u32::MAX as usize;

/// What of a message passed windows and doors that took the rest of it, as digests of its places.
pub(crate) type Passed = BTreeSet<u64>;

/// A message that windows or doors have readings of, and that may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fed {
    /// Whether all of it is held back.
    pub(crate) extent: Extent,
    pub(crate) passed: Passed,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Holdings {
    pub(crate) items: Vec<HeldItem>,
    /// Of a session: the messages that the items have readings of.
    pub(crate) fed: Option<(SessionId, BTreeMap<Token, Fed>)>,
}

/// Readings that were held back and go into the spool now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Released {
    pub(crate) id: u64,
    pub(crate) readings: Vec<Reading>,
}

impl Released {
    /// Under which receipt they are stored.
    pub(crate) fn token(&self) -> Token {
        token(self.id)
    }
}

/// The receipt of an item.
pub(crate) fn token(id: u64) -> Token {
    Token(id.to_le_bytes().to_vec())
}

/// Whose receipts those of a connector's steps are.
pub(crate) fn owner(connector: &str) -> SessionId {
    let whole = digest(&SHA256, format!("forebay.steps {connector}").as_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&whole.as_ref()[..16]);
    SessionId(half)
}

/// One connector's file.
#[derive(Clone)]
pub(crate) struct HeldFile(SealedFile);

impl HeldFile {
    /// The file of a connector; none where the key is none.
    pub(crate) fn of(folder: &SeriesFolder, connector: &str) -> Option<Self> {
        let path = folder
            .path
            .join(format!("{}.held", path_segment(connector)));
        folder.sealed(path, FORMAT, connector).map(Self)
    }

    /// What the last process held back; nothing where there is no file.
    pub(crate) fn load(&self) -> Result<Holdings, SealedError> {
        match self.0.load()? {
            Some(content) => decode(&content).ok_or_else(|| self.0.damaged()),
            None => Ok(Holdings::default()),
        }
    }

    /// Replaces the file. Blocks until it is durable.
    pub(crate) fn save(&self, holdings: &Holdings) -> Result<(), SealedError> {
        self.0.save(encode(holdings)).map(drop)
    }
}

fn encode(Holdings { items, fed }: &Holdings) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((items.len() as u32).to_le_bytes());
    for HeldItem { id, next, readings } in items {
        out.extend(id.to_le_bytes());
        out.extend((*next as u32).to_le_bytes());
        out.extend((readings.len() as u32).to_le_bytes());
        readings.iter().for_each(|reading| put(&mut out, reading));
    }
    let Some((SessionId(session), fed)) = fed else {
        return out;
    };
    out.extend(session);
    out.extend((fed.len() as u32).to_le_bytes());
    for (Token(token), Fed { extent, passed }) in fed {
        out.extend((token.len() as u32).to_le_bytes());
        out.extend(token);
        out.push(u8::from(*extent == Extent::Part));
        out.extend((passed.len() as u32).to_le_bytes());
        passed.iter().for_each(|one| out.extend(one.to_le_bytes()));
    }
    out
}

fn put(out: &mut Vec<u8>, reading: &Reading) {
    let Series { site, device, tag } = &reading.series;
    [site.as_str(), device.as_str(), tag.as_str()]
        .iter()
        .for_each(|name| text(out, name));
    out.extend(reading.event_time.nanos().to_le_bytes());
    out.extend(reading.observed_time.nanos().to_le_bytes());
    match &reading.value {
        None => out.push(0),
        Some(Value::F64(value)) => tagged(out, 1, &value.to_bits().to_le_bytes()),
        Some(Value::I64(value)) => tagged(out, 2, &value.to_le_bytes()),
        Some(Value::U64(value)) => tagged(out, 3, &value.to_le_bytes()),
        Some(Value::Bool(value)) => tagged(out, 4, &u64::from(*value).to_le_bytes()),
        Some(Value::Text(value)) => {
            out.push(5);
            text(out, value);
        }
        // No step holds bytes back.
        Some(Value::Bytes(_)) => out.push(0),
    }
    optional(out, reading.unit.as_deref());
    out.push(reading.status.quality.code());
    match reading.status.code {
        Some(code) => tagged(out, 1, &code.to_le_bytes()),
        None => out.push(0),
    }
    optional(out, reading.status.reason.as_deref());
}

fn tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend(bytes);
}

fn optional(out: &mut Vec<u8>, written: Option<&str>) {
    out.push(u8::from(written.is_some()));
    written.iter().for_each(|written| text(out, written));
}

fn decode(bytes: &[u8]) -> Option<Holdings> {
    let mut fields = Fields(bytes);
    let count = fields.number()?;
    let items = (0..count)
        .map(|_| item(&mut fields))
        .collect::<Option<_>>()?;
    let fed = if fields.0.is_empty() {
        None
    } else {
        let session = SessionId(fields.array()?);
        let count = fields.number()?;
        let fed = (0..count).map(|_| fed(&mut fields));
        Some((session, fed.collect::<Option<_>>()?))
    };
    let holdings = Holdings { items, fed };
    fields.0.is_empty().then_some(holdings)
}

fn fed(fields: &mut Fields<'_>) -> Option<(Token, Fed)> {
    let length = fields.number()? as usize;
    let (token, rest) = fields.0.split_at_checked(length)?;
    fields.0 = rest;
    let extent = match fields.array()? {
        [0] => Extent::Whole,
        [1] => Extent::Part,
        [_] => return None,
    };
    let count = fields.number()?;
    let passed = (0..count).map(|_| fields.array().map(u64::from_le_bytes));
    let passed = passed.collect::<Option<_>>()?;
    Some((Token(token.to_vec()), Fed { extent, passed }))
}

fn item(fields: &mut Fields<'_>) -> Option<HeldItem> {
    let id = u64::from_le_bytes(fields.array()?);
    let next = fields.number()? as usize;
    let count = fields.number()?;
    let readings = (0..count).map(|_| reading(fields)).collect::<Option<_>>()?;
    Some(HeldItem { id, next, readings })
}

fn reading(fields: &mut Fields<'_>) -> Option<Reading> {
    let series = Series {
        site: SiteId::new(&fields.text()?).ok()?,
        device: DeviceId::new(&fields.text()?).ok()?,
        tag: TagName::new(&fields.text()?).ok()?,
    };
    let event_time = fields.time()?;
    let observed_time = fields.time()?;
    let value = value(fields)?;
    let unit = written(fields)?.map(Arc::from);
    let [quality] = fields.array()?;
    let code = match fields.array()? {
        [0] => None,
        _ => Some(i64::from_le_bytes(fields.array()?)),
    };
    let status = Status {
        quality: Quality::try_from(u32::from(quality)).ok()?,
        code,
        reason: written(fields)?,
    };
    Some(Reading {
        series,
        event_time,
        observed_time,
        value,
        unit,
        status,
    })
}

fn value(fields: &mut Fields<'_>) -> Option<Option<Value>> {
    Some(match fields.array()? {
        [0] => None,
        [1] => Some(Value::F64(f64::from_bits(u64::from_le_bytes(
            fields.array()?,
        )))),
        [2] => Some(Value::I64(i64::from_le_bytes(fields.array()?))),
        [3] => Some(Value::U64(u64::from_le_bytes(fields.array()?))),
        [4] => Some(Value::Bool(fields.array::<8>()?[0] != 0)),
        [5] => Some(Value::Text(fields.text()?)),
        _ => return None,
    })
}

fn written(fields: &mut Fields<'_>) -> Option<Option<String>> {
    match fields.array()? {
        [0] => Some(None),
        [1] => fields.text().map(Some),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use forebay_schemas::Timestamp;

    use super::*;

    fn items() -> Vec<HeldItem> {
        let reading = |value: Option<Value>, status: Status| Reading {
            series: Series {
                site: SiteId::new("s").unwrap(),
                device: DeviceId::new("gerät").unwrap(),
                tag: TagName::new("t.mean").unwrap(),
            },
            event_time: Timestamp::from_nanos(-1),
            observed_time: Timestamp::from_nanos(2),
            value,
            unit: Some(Arc::from("Cel")),
            status,
        };
        let values = [
            Value::F64(-0.5),
            Value::I64(-7),
            Value::U64(u64::MAX),
            Value::Bool(true),
            Value::Text("auto".into()),
        ];
        let mut readings: Vec<Reading> = values
            .into_iter()
            .map(|value| reading(Some(value), Status::GOOD))
            .collect();
        readings.push(Reading {
            unit: None,
            ..reading(None, Status::bad(Some(-3), "gone"))
        });
        let second = HeldItem {
            id: 2,
            next: 0,
            readings: Vec::new(),
        };
        vec![
            HeldItem {
                id: 1,
                next: 3,
                readings,
            },
            second,
        ]
    }

    fn holdings() -> Holdings {
        let fed = |extent, passed: &[u64]| Fed {
            extent,
            passed: passed.iter().copied().collect(),
        };
        let all = [
            (Token(vec![1, 2]), fed(Extent::Whole, &[])),
            (Token(vec![]), fed(Extent::Part, &[7, u64::MAX])),
        ];
        Holdings {
            items: items(),
            fed: Some((SessionId([9; 16]), BTreeMap::from(all))),
        }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits = hex.trim().as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        digits.map(|pair| byte(pair).unwrap()).collect()
    }

    /// A change of these bytes is a change of a stored format.
    #[test]
    fn version_2_keeps_its_bytes_and_damage_is_seen() {
        let encoded = encode(&holdings());
        assert_eq!(encoded, bytes(include_str!("../golden/held.v2.hex")));
        assert_eq!(decode(&encoded).unwrap(), holdings());
        let of_items = bytes(include_str!("../golden/held.v1.hex")).len();
        for at in (0..encoded.len()).filter(|at| *at != of_items) {
            assert_eq!(decode(&encoded[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn version_1_is_read() {
        let decoded = decode(&bytes(include_str!("../golden/held.v1.hex"))).unwrap();
        let expected = Holdings {
            items: items(),
            fed: None,
        };
        assert_eq!(decoded, expected);
        assert_eq!(FORMAT.oldest, 1);
    }
}
