//! KEPServerEX's CSV of a device's tags, with the addresses of its Modbus drivers (PTC, *Modbus Ethernet Driver Help*, "Modbus
//! Addressing"): the first digit names the table, the rest counts from 1.

use csv::StringRecord;

use crate::{Outcome, Row, Tag, TagsError, Value};

/// What the list does not say and somebody has to look up: said where there are values of several registers.
const ORDER: &str = "check `order`: the list does not carry the device's word order, and values of 32 and 64 bits are read with the high \
                     word first unless it is set. Where First Word Low is enabled in the device's Data Encoding in KEPServerEX, set \
                     order = \"CDAB\" in [[connector]] (without Modbus Byte Order \"DCBA\", or \"BADC\" with the high word first); \
                     `forebay probe` shows an address under every order";
/// Types of one register, which have no order of words.
const OF_ONE_REGISTER: [&str; 3] = ["i16", "u16", "bcd16"];

/// A column by its name.
struct Columns(Vec<String>);

impl Columns {
    fn cell<'r>(&self, record: &'r StringRecord, name: &str) -> &'r str {
        let at = self.0.iter().position(|column| column == name);
        at.and_then(|at| record.get(at)).unwrap_or_default().trim()
    }
}

pub(crate) fn read(text: &str) -> Result<Vec<Row>, TagsError> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(text.as_bytes());
    let headers = reader.headers()?.iter();
    let columns = Columns(headers.map(|name| name.trim().to_owned()).collect());
    for column in ["Tag Name", "Address", "Data Type"] {
        if !columns.0.iter().any(|name| name == column) {
            return Err(TagsError::Column {
                column,
                columns: columns.0.join(", "),
            });
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        rows.push(Row::new(format!("line {line}"), tag(&columns, &record)));
    }
    Ok(rows)
}

/// What a person has to look up behind these rows.
pub(crate) fn reminder(rows: &[Row]) -> Option<&'static str> {
    rows.iter().any(has_word_order).then_some(ORDER)
}

fn has_word_order(row: &Row) -> bool {
    let Outcome::Tag(tag) = &row.outcome else {
        return false;
    };
    match tag.get("type") {
        Some(Value::Text(name)) => !name.contains(':') && !OF_ONE_REGISTER.contains(&name.as_str()),
        _ => false,
    }
}

fn tag(columns: &Columns, record: &StringRecord) -> Result<Tag, String> {
    let cell = |name| columns.cell(record, name);
    let name = cell("Tag Name");
    if name.is_empty() {
        return Err("it has no name".to_owned());
    }
    let mut tag = Tag::default();
    if !cell("Description").is_empty() {
        tag.note(cell("Description"));
    }
    let place = address(cell("Address"))?;
    let is_bits = matches!(place.register, "coil" | "discrete");
    tag.text("name", name.replace('.', "/"));
    tag.text("register", place.register);
    tag.set("address", Value::Integer(i64::from(place.address)));
    let data_type = match (is_bits, place.bit, place.length) {
        (true, ..) => None,
        (_, Some(bit), _) => Some(format!("bit:{bit}")),
        (_, _, Some(length)) => Some(format!("string:{length}")),
        _ => Some(data_type(cell("Data Type"))?.to_owned()),
    };
    if let Some(data_type) = data_type {
        tag.text("type", data_type);
    }
    if !cell("Eng Units").is_empty() {
        tag.text("unit", cell("Eng Units"));
    }
    scaling(columns, record, &mut tag)?;
    if let Some(every) = cell("Scan Rate").parse::<u64>().ok().filter(|ms| *ms > 0) {
        tag.text("every", format!("{every}ms"));
    }
    Ok(tag)
}

/// Where a value is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    register: &'static str,
    address: u16,
    bit: Option<u8>,
    /// Bytes of a text.
    length: Option<u16>,
}

/// `40001`, `400001`, `40001.3` (a bit), `400100.20H` (a text of 20 bytes, high byte first).
fn address(text: &str) -> Result<Place, String> {
    let unknown = || {
        format!(
            "address {text:?}: a Modbus address such as 400001, 400001.3 or 400100.20H is expected"
        )
    };
    if text.contains('[') {
        return Err(format!(
            "address {text:?}: an array is not taken over; list its elements"
        ));
    }
    let (place, rest) = match text.split_once('.') {
        Some((place, rest)) => (place, Some(rest)),
        None => (text, None),
    };
    let digits = place.len();
    if !(5..=6).contains(&digits) || !place.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unknown());
    }
    let register = match &place[..1] {
        "0" => "coil",
        "1" => "discrete",
        "3" => "input",
        "4" => "holding",
        _ => return Err(unknown()),
    };
    let counted: u32 = place[1..].parse().map_err(|_| unknown())?;
    let address = counted
        .checked_sub(1)
        .and_then(|address| u16::try_from(address).ok())
        .ok_or_else(unknown)?;
    let (mut bit, mut length) = (None, None);
    match rest {
        None => {}
        Some(rest) if rest.ends_with(['H', 'h']) => {
            length = Some(rest[..rest.len() - 1].parse().map_err(|_| unknown())?);
        }
        Some(rest) if rest.ends_with(['L', 'l']) => {
            return Err(format!(
                "address {text:?}: a text with its low bytes first is not taken over"
            ));
        }
        Some(rest) => {
            bit = Some(
                rest.parse()
                    .ok()
                    .filter(|bit| *bit < 16)
                    .ok_or_else(unknown)?,
            );
        }
    }
    Ok(Place {
        register,
        address,
        bit,
        length,
    })
}

fn data_type(name: &str) -> Result<&'static str, String> {
    Ok(match name {
        "Short" => "i16",
        "Word" => "u16",
        "Long" => "i32",
        "DWord" => "u32",
        "Float" => "f32",
        "Double" => "f64",
        "LLong" => "i64",
        "QWord" => "u64",
        "BCD" => "bcd16",
        "LBCD" => "bcd32",
        "Boolean" => {
            return Err(
                "a Boolean in a register: its address names no bit, such as 400001.0".to_owned(),
            );
        }
        other => return Err(format!("data type {other:?} is not taken over")),
    })
}

/// Linear scaling and clamping.
fn scaling(columns: &Columns, record: &StringRecord, tag: &mut Tag) -> Result<(), String> {
    let cell = |name| columns.cell(record, name);
    match cell("Scaling") {
        "" | "None" => return Ok(()),
        "Linear" => {}
        other => return Err(format!("scaling {other:?} is not taken over")),
    }
    let number = |name| {
        let cell = cell(name);
        cell.parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .ok_or_else(|| format!("{name} {cell:?}: a number is expected"))
    };
    let [raw_low, raw_high, low, high] = [
        number("Raw Low")?,
        number("Raw High")?,
        number("Scaled Low")?,
        number("Scaled High")?,
    ];
    if raw_low == raw_high {
        return Err("linear scaling over an empty range".to_owned());
    }
    let sign = if cell("Negate Value") == "1" {
        -1.0
    } else {
        1.0
    };
    let scale = sign * (high - low) / (raw_high - raw_low);
    let offset = sign * low - scale * raw_low;
    tag.set("scale", Value::Float(scale));
    if offset != 0.0 {
        tag.set("offset", Value::Float(offset));
    }
    // KEPServerEX negates what it has clamped; the sum makes 0 of -0.
    let [low, high] = [low, high].map(|bound| sign * bound + 0.0);
    match (cell("Clamp Low") == "1", cell("Clamp High") == "1") {
        (false, false) => {}
        (true, true) => tag.set("clamp", Value::Range(low.min(high), low.max(high))),
        (of_low, _) => {
            let (name, bound) = if of_low {
                ("Clamp Low", low)
            } else {
                ("Clamp High", high)
            };
            tag.missing.push(format!(
                "{name} at {bound:?} is not taken over: clamp = [low, high] has two bounds, give the other one"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Tag Name,Address,Data Type,Respect Data Type,Client Access,Scan Rate,Scaling,Raw Low,Raw High,\
        Scaled Low,Scaled High,Scaled Data Type,Clamp Low,Clamp High,Eng Units,Description,Negate Value";

    #[track_caller]
    fn gives(row: &str, expected: &str) {
        let rows = read(&format!("{HEADER}\n{row}\n")).unwrap();
        let text = match &rows[0].outcome {
            Outcome::Tag(tag) => tag.toml().replace("[[connector.tag]]\n", ""),
            Outcome::LeftOut(why) => why.clone(),
        };
        assert_eq!(text.trim_end().replace('\n', "; "), expected, "{row}");
    }

    #[test]
    fn addresses_types_and_scaling_are_taken_over() {
        for (row, expected) in [
            (
                "Pump.Speed,400001,Float,1,R/O,500,,,,,,,,,rpm,\"Speed, shaft\",",
                "# Speed, shaft; name = \"Pump/Speed\"; register = \"holding\"; address = 0; type = \"f32\"; unit = \"rpm\"; every = \"500ms\"",
            ),
            (
                "Run,000010,Boolean,1,R/W,100,,,,,,,,,,,",
                "name = \"Run\"; register = \"coil\"; address = 9; every = \"100ms\"",
            ),
            (
                "Door,10003,Boolean,1,R/O,0,,,,,,,,,,,",
                "name = \"Door\"; register = \"discrete\"; address = 2",
            ),
            (
                "Alarm,300007.15,Boolean,1,R/O,0,,,,,,,,,,,",
                "name = \"Alarm\"; register = \"input\"; address = 6; type = \"bit:15\"",
            ),
            (
                "Name,400100.20H,String,1,R/O,0,,,,,,,,,,,",
                "name = \"Name\"; register = \"holding\"; address = 99; type = \"string:20\"",
            ),
            (
                "Level,40012,Word,1,R/O,0,Linear,0,1000,-10,40,Double,1,1,m,,0",
                "name = \"Level\"; register = \"holding\"; address = 11; type = \"u16\"; unit = \"m\"; scale = 0.05; offset = -10.0; clamp = [-10.0, 40.0]",
            ),
            (
                "Y,40012,Word,1,R/O,0,Linear,0,100,0,10,Double,1,1,,,1",
                "name = \"Y\"; register = \"holding\"; address = 11; type = \"u16\"; scale = -0.1; clamp = [-10.0, 0.0]",
            ),
            (
                "Z,40012,Word,1,R/O,0,Linear,0,100,0,10,Double,0,1,,,",
                "# Clamp High at 10.0 is not taken over: clamp = [low, high] has two bounds, give the other one; name = \"Z\"; \
                 register = \"holding\"; address = 11; type = \"u16\"; scale = 0.1",
            ),
            (
                "X,40012,Word,1,R/O,0,Linear,0,100,0,10,Double,0,0,,,1",
                "name = \"X\"; register = \"holding\"; address = 11; type = \"u16\"; scale = -0.1",
            ),
        ] {
            gives(row, expected);
        }
    }

    #[test]
    fn the_word_order_is_to_be_checked_where_there_are_values_of_several_registers() {
        for (row, is_due) in [
            ("A,40001,Float", true),
            ("A,40001,LBCD", true),
            ("A,40001,Word", false),
            ("A,40001.3,Boolean", false),
            ("A,400100.20H,String", false),
            ("A,000001,Boolean", false),
            ("A,40001,Date", false),
        ] {
            let rows = read(&format!("{HEADER}\n{row}\n")).unwrap();
            assert_eq!(reminder(&rows).is_some(), is_due, "{row}");
        }
    }

    #[test]
    fn what_is_not_taken_over_is_said() {
        for (row, expected) in [
            (",40001,Word", "it has no name"),
            (
                "A,N7:0,Word",
                "address \"N7:0\": a Modbus address such as 400001, 400001.3 or 400100.20H is expected",
            ),
            (
                "A,400000,Word",
                "address \"400000\": a Modbus address such as 400001, 400001.3 or 400100.20H is expected",
            ),
            (
                "A,466000 [5],Word",
                "address \"466000 [5]\": an array is not taken over; list its elements",
            ),
            ("A,40001,Date", "data type \"Date\" is not taken over"),
            (
                "A,40001,Boolean",
                "a Boolean in a register: its address names no bit, such as 400001.0",
            ),
            (
                "A,40001,Word,1,R/O,0,Square Root,0,1,0,1",
                "scaling \"Square Root\" is not taken over",
            ),
        ] {
            gives(row, expected);
        }
        assert!(matches!(
            read("Name,Address\n"),
            Err(TagsError::Column {
                column: "Tag Name",
                ..
            })
        ));
    }
}
