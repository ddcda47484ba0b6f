//! What an address means under every type and order.

use std::io;

use super::{Outcome, Survey, SurveyError, Surveyor};
use crate::{
    client::Data,
    plan::Register,
    value::{Decoded, Layout, Order, PLAIN, ValueKind},
};

/// Registers of the longest number, and of the text that is shown.
const REGISTERS_MAX: u16 = 8;

/// Low word first, bytes of a register swapped: an order that says it for values of four bytes.
const ORDERS: [&str; 4] = ["ABCD", "CDAB", "BADC", "DCBA"];

/// Reads an address, and the ones behind it as far as they answer, and writes a table: each type in each order, and its value.
///
/// `table` is "holding", "input", "coil" or "discrete".
///
/// # Errors
/// Settings or a table that make no sense; a device that cannot be reached or that refuses the address; `out`.
pub async fn probe(
    survey: &Survey,
    table: &str,
    address: u16,
    out: &mut (dyn io::Write + Send),
) -> Result<(), SurveyError> {
    let Some(register) = Register::named(table) else {
        let message =
            format!("{table:?} is not one of \"holding\", \"input\", \"coil\", \"discrete\"");
        return Err(SurveyError::Asked(message));
    };
    let mut surveyor = Surveyor::new(survey)?;
    let data = longest(&mut surveyor, register, address).await?;
    let (url, unit) = (&surveyor.endpoint, survey.unit);
    match data {
        Data::Bits(bits) => {
            let bit = bits.first().copied().unwrap_or_default();
            writeln!(out, "{table} {address} of {url}, unit {unit}: {bit}")?;
        }
        Data::Words(words) => {
            let hex: Vec<String> = words.iter().map(|word| format!("{word:04X}")).collect();
            writeln!(
                out,
                "{table} {address} of {url}, unit {unit}: {}",
                hex.join(" ")
            )?;
            writeln!(out, "{:<10} {:<9} value", "type", "order")?;
            for row in rows(&words) {
                writeln!(out, "{:<10} {:<9} {}", row.kind, row.order, row.value)?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

/// As many registers from an address on as the device gives, up to those of a text.
async fn longest(
    surveyor: &mut Surveyor,
    register: Register,
    address: u16,
) -> Result<Data, SurveyError> {
    let room = u16::MAX - address;
    let mut counts = if register.is_bits() {
        vec![1]
    } else {
        vec![REGISTERS_MAX, 4, 3, 2, 1]
    };
    counts.retain(|count| count - 1 <= room);
    let mut reason = String::new();
    for count in counts {
        match surveyor.read(register, address, count).await? {
            Outcome::Data(data) => return Ok(data),
            Outcome::Refused(exception) => reason = exception.to_string(),
            Outcome::Silent(why) => reason = why,
        }
    }
    let table = register.name();
    Err(SurveyError::Device(format!("{table} {address}: {reason}")))
}

/// A line of the table.
struct Row {
    kind: String,
    order: String,
    value: String,
}

/// Every type that fits into these registers, in every order that makes a difference.
fn rows(words: &[u16]) -> Vec<Row> {
    let mut rows = Vec::new();
    let text = u16::try_from(words.len() * 2).map(ValueKind::Text).ok();
    let numbers = PLAIN
        .iter()
        .map(|(_, kind)| *kind)
        .filter(|kind| *kind != ValueKind::Bool);
    for kind in numbers.chain(text) {
        let Some(words) = words.get(..usize::from(kind.registers())) else {
            continue;
        };
        let mut orders: Vec<Order> = Vec::new();
        for letters in ORDERS {
            let order = Order::parse_any(letters).ok();
            let order = order.and_then(|order| order.for_bytes(kind.ordered_bytes()));
            orders.extend(order.filter(|order| !orders.contains(order)));
        }
        for order in orders {
            let letters = order.letters();
            let layout = Layout {
                kind,
                order,
                invalid: Vec::new(),
            };
            rows.push(Row {
                kind: kind.name(),
                order: letters,
                value: shown(layout.decode(words)),
            });
        }
    }
    rows
}

fn shown(decoded: Decoded) -> String {
    use forebay_schemas::Value;
    match decoded.value {
        Some(Value::F64(float)) => float.to_string(),
        Some(Value::I64(integer)) => integer.to_string(),
        Some(Value::U64(integer)) => integer.to_string(),
        Some(Value::Bool(bit)) => bit.to_string(),
        Some(Value::Text(text)) => format!("{text:?}"),
        Some(Value::Bytes(bytes)) => format!("{bytes:02X?}"),
        None => format!("({})", decoded.status.reason.unwrap_or_default()),
    }
}
