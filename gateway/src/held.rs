//! What steps hold back and what must not be lost with the process: open windows, and the reading behind a swinging door.
//!
//! One sealed file for each connector, synced before the receipts of the readings that it speaks of are given (E1). What was
//! held goes into the spool under a receipt of its own, and leaves the file after that: a crash in between leaves it in both,
//! and the receipt, which the spool gives back, says that it is stored (ADR 0033).
//!
//! Format, version 1, little-endian: items 4; each id 8 · next table 4 · readings 4; each site · device · tag · event time 8 ·
//! observed time 8 · value type 1 and value · unit flag 1 and unit · quality 1 · code flag 1 and code 8 · reason flag 1 and
//! reason. A text is its length 4 and its bytes.

use std::sync::Arc;

use forebay_connectors::{SessionId, Token};
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
    version: 1,
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
    pub(crate) fn load(&self) -> Result<Vec<HeldItem>, SealedError> {
        match self.0.load()? {
            Some(content) => decode(&content).ok_or_else(|| self.0.damaged()),
            None => Ok(Vec::new()),
        }
    }

    /// Replaces the file. Blocks until it is durable.
    pub(crate) fn save(&self, items: &[HeldItem]) -> Result<(), SealedError> {
        self.0.save(encode(items)).map(drop)
    }
}

fn encode(items: &[HeldItem]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((items.len() as u32).to_le_bytes());
    for HeldItem { id, next, readings } in items {
        out.extend(id.to_le_bytes());
        out.extend((*next as u32).to_le_bytes());
        out.extend((readings.len() as u32).to_le_bytes());
        readings.iter().for_each(|reading| put(&mut out, reading));
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

fn decode(bytes: &[u8]) -> Option<Vec<HeldItem>> {
    let mut fields = Fields(bytes);
    let count = fields.number()?;
    let items = (0..count)
        .map(|_| item(&mut fields))
        .collect::<Option<_>>()?;
    fields.0.is_empty().then_some(items)
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

    /// A change of these bytes is a change of a stored format.
    #[test]
    fn version_1_keeps_its_bytes_and_damage_is_seen() {
        let bytes = encode(&items());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, include_str!("../golden/held.v1.hex").trim());
        assert_eq!(decode(&bytes).unwrap(), items());
        for at in 0..bytes.len() {
            assert_eq!(decode(&bytes[..at]), None, "cut at {at}");
        }
    }
}
