//! CBOR (RFC 8949) to a tree: one data item, of definite or indefinite length.
//!
//! Keys of maps are texts or integers; an integer becomes its decimal digits, so SenML's labels (RFC 8428) are selected as `['2']`.
//! Tags are skipped and their content is taken; of bignums those of 64 bits are integers and longer ones bytes. Undefined is null.

use serde_json::{Map, Value as Json};

use crate::{
    binary::{Cursor, TreeBuilder},
    document::Document,
};

/// The stop code of an item of indefinite length (RFC 8949, section 3.2.1).
const BREAK: u8 = 0xff;
const TAGS_IN_A_ROW_MAX: usize = 16;

/// Reads a whole payload.
pub(crate) fn parse(payload: &[u8]) -> Result<Document<'_>, String> {
    let mut cursor = Cursor::new(payload, "CBOR");
    let mut tree = TreeBuilder::default();
    let root = item(&mut cursor, &mut tree)?;
    if !cursor.is_empty() {
        return Err(cursor.fault("there is more behind its end"));
    }
    Ok(tree.finish(root))
}

/// The initial byte and its argument (RFC 8949, section 3).
struct Head {
    major: u8,
    info: u8,
    argument: u64,
}

impl Head {
    fn is_indefinite(&self) -> bool {
        self.info == 31
    }
}

fn head(cursor: &mut Cursor<'_>) -> Result<Head, String> {
    let initial = cursor.byte()?;
    let (major, info) = (initial >> 5, initial & 0x1f);
    let argument = match info {
        0..=23 => u64::from(info),
        24 => cursor.unsigned(1)?,
        25 => cursor.unsigned(2)?,
        26 => cursor.unsigned(4)?,
        27 => cursor.unsigned(8)?,
        // Only strings, arrays and maps may end with a stop code.
        31 if (2..=5).contains(&major) => 0,
        _ => return Err(cursor.fault("an item begins with a reserved byte")),
    };
    Ok(Head {
        major,
        info,
        argument,
    })
}

fn item(cursor: &mut Cursor<'_>, tree: &mut TreeBuilder) -> Result<Json, String> {
    let mut head_of = head(cursor)?;
    let mut bignum = None;
    for _ in 0..TAGS_IN_A_ROW_MAX {
        if head_of.major != 6 {
            break;
        }
        bignum = Some(head_of.argument);
        head_of = head(cursor)?;
    }
    match head_of.major {
        0 => Ok(head_of.argument.into()),
        1 => Ok(negative(head_of.argument, tree)),
        2 => {
            let bytes = string(cursor, &head_of)?;
            Ok(match (bignum, short(&bytes)) {
                (Some(2), Some(number)) => number.into(),
                (Some(3), Some(number)) => negative(number, tree),
                _ => tree.bytes(bytes),
            })
        }
        3 => text(cursor, &head_of).map(|text| tree.text(&text)),
        4 => array(cursor, tree, &head_of),
        5 => map(cursor, tree, &head_of),
        7 => simple(cursor, tree, &head_of),
        _ => Err(cursor.fault("too many tags in a row")),
    }
}

/// -1 - n.
fn negative(argument: u64, tree: &mut TreeBuilder) -> Json {
    match i64::try_from(argument) {
        Ok(argument) => (-1 - argument).into(),
        Err(_) => tree.float(-1.0 - argument as f64),
    }
}

/// A bignum that fits 64 bits.
fn short(bytes: &[u8]) -> Option<u64> {
    let used = bytes.iter().position(|byte| *byte != 0);
    let used = &bytes[used.unwrap_or(bytes.len())..];
    (used.len() <= 8).then(|| {
        used.iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    })
}

/// A byte string, or a text as bytes; the chunks of one of indefinite length are definite.
fn string(cursor: &mut Cursor<'_>, of: &Head) -> Result<Vec<u8>, String> {
    if !of.is_indefinite() {
        return cursor.take(of.argument).map(<[u8]>::to_vec);
    }
    let mut whole = Vec::new();
    while !at_break(cursor)? {
        let chunk = head(cursor)?;
        if chunk.major != of.major || chunk.is_indefinite() {
            return Err(cursor.fault("a string has a chunk of another kind"));
        }
        whole.extend_from_slice(cursor.take(chunk.argument)?);
    }
    Ok(whole)
}

fn text(cursor: &mut Cursor<'_>, of: &Head) -> Result<String, String> {
    if !of.is_indefinite() {
        return cursor.text(of.argument).map(str::to_owned);
    }
    String::from_utf8(string(cursor, of)?)
        .map_err(|error| cursor.fault(&format!("a text: {error}")))
}

fn array(cursor: &mut Cursor<'_>, tree: &mut TreeBuilder, of: &Head) -> Result<Json, String> {
    let mut items = Vec::new();
    let mut left = left(cursor, of, 1)?;
    while goes_on(cursor, &mut left)? {
        items.push(tree.within(|tree| item(cursor, tree))?);
    }
    Ok(Json::Array(items))
}

fn map(cursor: &mut Cursor<'_>, tree: &mut TreeBuilder, of: &Head) -> Result<Json, String> {
    let mut fields = Map::new();
    let mut left = left(cursor, of, 2)?;
    while goes_on(cursor, &mut left)? {
        let name = key(cursor)?;
        // Of two with one name the last counts, as in JSON.
        fields.insert(name, tree.within(|tree| item(cursor, tree))?);
    }
    Ok(Json::Object(fields))
}

fn key(cursor: &mut Cursor<'_>) -> Result<String, String> {
    let of = head(cursor)?;
    match of.major {
        0 => Ok(of.argument.to_string()),
        1 => Ok((-1 - i128::from(of.argument)).to_string()),
        3 => text(cursor, &of),
        _ => Err(cursor.fault("the key of a map is neither a text nor an integer")),
    }
}

fn simple(cursor: &Cursor<'_>, tree: &mut TreeBuilder, of: &Head) -> Result<Json, String> {
    let bits = of.argument;
    match of.info {
        20 => Ok(false.into()),
        21 => Ok(true.into()),
        22 | 23 => Ok(Json::Null),
        25 => Ok(tree.float(half(bits as u16))),
        26 => Ok(tree.float(f64::from(f32::from_bits(bits as u32)))),
        27 => Ok(tree.float(f64::from_bits(bits))),
        _ => Err(cursor.fault("a simple value that is not known")),
    }
}

/// A float of 16 bits (IEEE 754 binary16).
fn half(bits: u16) -> f64 {
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (fraction + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// Items that are still to come; none where a stop code ends them.
fn left(cursor: &Cursor<'_>, of: &Head, parts: u64) -> Result<Option<u64>, String> {
    if of.is_indefinite() {
        return Ok(None);
    }
    cursor.check_count(of.argument.saturating_mul(parts))?;
    Ok(Some(of.argument))
}

fn goes_on(cursor: &mut Cursor<'_>, left: &mut Option<u64>) -> Result<bool, String> {
    match left {
        None => at_break(cursor).map(|ends| !ends),
        Some(0) => Ok(false),
        Some(count) => {
            *count -= 1;
            Ok(true)
        }
    }
}

/// Takes a stop code if one comes.
fn at_break(cursor: &mut Cursor<'_>) -> Result<bool, String> {
    if cursor.peek() == Some(BREAK) {
        return cursor.byte().map(|_| true);
    }
    Ok(false)
}
