//! MessagePack to a tree: one object.
//!
//! Keys of maps are texts or integers; an integer becomes its decimal digits. The extension type -1 is a time and becomes a text of
//! RFC 3339, which the key `time` reads; other extensions are their bytes.

use serde_json::{Map, Value as Json};

use crate::{
    binary::{Cursor, TreeBuilder},
    document::Document,
};

/// The extension type of times.
const TIME: u8 = 0xff;

/// Reads a whole payload.
pub(crate) fn parse(payload: &[u8]) -> Result<Document<'_>, String> {
    let mut cursor = Cursor::new(payload, "MessagePack");
    let mut tree = TreeBuilder::default();
    let root = object(&mut cursor, &mut tree)?;
    if !cursor.is_empty() {
        return Err(cursor.fault("there is more behind its end"));
    }
    Ok(tree.finish(root))
}

fn object(cursor: &mut Cursor<'_>, tree: &mut TreeBuilder) -> Result<Json, String> {
    let first = cursor.byte()?;
    match first {
        0x00..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff => integer(cursor, first),
        0x80..=0x8f => map(cursor, tree, u64::from(first & 0x0f)),
        0x90..=0x9f => array(cursor, tree, u64::from(first & 0x0f)),
        0xa0..=0xbf | 0xd9..=0xdb => text(cursor, first).map(|text| tree.text(text)),
        0xc0 => Ok(Json::Null),
        0xc2 => Ok(false.into()),
        0xc3 => Ok(true.into()),
        0xc4..=0xc6 => {
            let length = cursor.unsigned(1 << (first - 0xc4))?;
            Ok(tree.bytes(cursor.take(length)?.to_vec()))
        }
        0xc7..=0xc9 => {
            let length = cursor.unsigned(1 << (first - 0xc7))?;
            extension(cursor, tree, length)
        }
        0xca => {
            let bits = cursor.unsigned(4)?;
            Ok(tree.float(f64::from(f32::from_bits(bits as u32))))
        }
        0xcb => {
            let bits = cursor.unsigned(8)?;
            Ok(tree.float(f64::from_bits(bits)))
        }
        0xd4..=0xd8 => extension(cursor, tree, 1 << (first - 0xd4)),
        0xdc | 0xdd => {
            let items = cursor.unsigned(2 << (first - 0xdc))?;
            array(cursor, tree, items)
        }
        0xde | 0xdf => {
            let fields = cursor.unsigned(2 << (first - 0xde))?;
            map(cursor, tree, fields)
        }
        0xc1 => Err(cursor.fault("the byte 0xc1 is never used")),
    }
}

fn integer(cursor: &mut Cursor<'_>, first: u8) -> Result<Json, String> {
    Ok(match first {
        0xcc..=0xcf => cursor.unsigned(1 << (first - 0xcc))?.into(),
        0xd0 => (cursor.unsigned(1)? as i8).into(),
        0xd1 => (cursor.unsigned(2)? as i16).into(),
        0xd2 => (cursor.unsigned(4)? as i32).into(),
        0xd3 => cursor.unsigned(8)?.cast_signed().into(),
        // The byte itself, -32 to 127.
        small => small.cast_signed().into(),
    })
}

fn text<'p>(cursor: &mut Cursor<'p>, first: u8) -> Result<&'p str, String> {
    let length = match first {
        0xd9..=0xdb => cursor.unsigned(1 << (first - 0xd9))?,
        short => u64::from(short & 0x1f),
    };
    cursor.text(length)
}

fn array(cursor: &mut Cursor<'_>, tree: &mut TreeBuilder, count: u64) -> Result<Json, String> {
    let mut items = Vec::new();
    for _ in 0..cursor.check_count(count)? {
        items.push(tree.within(|tree| object(cursor, tree))?);
    }
    Ok(Json::Array(items))
}

fn map(cursor: &mut Cursor<'_>, tree: &mut TreeBuilder, count: u64) -> Result<Json, String> {
    let mut fields = Map::new();
    cursor.check_count(count.saturating_mul(2))?;
    for _ in 0..count {
        let name = key(cursor)?;
        // Of two with one name the last counts, as in JSON.
        fields.insert(name, tree.within(|tree| object(cursor, tree))?);
    }
    Ok(Json::Object(fields))
}

fn key(cursor: &mut Cursor<'_>) -> Result<String, String> {
    let first = cursor.byte()?;
    match first {
        0xa0..=0xbf | 0xd9..=0xdb => text(cursor, first).map(str::to_owned),
        0x00..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff => {
            integer(cursor, first).map(|number| number.to_string())
        }
        _ => Err(cursor.fault("the key of a map is neither a text nor an integer")),
    }
}

fn extension(cursor: &mut Cursor<'_>, tree: &mut TreeBuilder, length: u64) -> Result<Json, String> {
    let kind = cursor.byte()?;
    let bytes = cursor.take(length)?;
    if kind != TIME {
        return Ok(tree.bytes(bytes.to_vec()));
    }
    let mut of_time = Cursor::new(bytes, "MessagePack");
    let (seconds, nanos) = match length {
        4 => (of_time.unsigned(4)?.cast_signed(), 0),
        8 => {
            let both = of_time.unsigned(8)?;
            ((both & 0x3_ffff_ffff).cast_signed(), both >> 34)
        }
        12 => {
            let nanos = of_time.unsigned(4)?;
            (of_time.unsigned(8)?.cast_signed(), nanos)
        }
        _ => return Err(cursor.fault("a time of another length than 4, 8 or 12 bytes")),
    };
    let nanos = i32::try_from(nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000);
    let time = nanos.and_then(|nanos| jiff::Timestamp::new(seconds, nanos).ok());
    match time {
        Some(time) => Ok(time.to_string().into()),
        None => Err(cursor.fault("a time out of range")),
    }
}
