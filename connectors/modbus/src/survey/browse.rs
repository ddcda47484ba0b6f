//! Which addresses of a device answer.
//!
//! A range is read in the largest pieces, and a piece that is refused is halved until what answers is told from what does not.
//! The result is a connector in TOML, to be reviewed: each register that answers is a tag of type u16, since a device does not
//! say where a longer value begins.

use std::{collections::VecDeque, fmt::Write as _, io, ops::RangeInclusive};

use super::{Outcome, Survey, SurveyError, Surveyor};
use crate::{
    client::Data,
    endpoint::{Endpoint, SerialLine},
    keys,
    plan::Register,
};

const REGISTERS_MAX: u16 = 125;
const BITS_MAX: u16 = 2000;

/// Reads in a row, of one address each, without any answer: then the device is taken for gone.
const SILENCES_MAX: u32 = 5;

const ILLEGAL_FUNCTION: u8 = 1;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Browsed {
    /// Addresses that answer.
    pub found: u64,
    /// Addresses that are refused or silent.
    pub missing: u64,
    /// Requests that it took.
    pub requests: u64,
}

/// Looks which addresses of these ranges answer, and writes a connector with a tag for each of them.
///
/// A range is a table ("holding", "input", "coil" or "discrete") and its addresses, such as ("holding", 0..=999). A range of
/// which nothing is there takes twice as many requests as it has addresses: mind `rate`.
///
/// # Errors
/// Settings or a range that make no sense; a device that cannot be reached or stops answering; `out`.
pub async fn browse(
    survey: &Survey,
    ranges: &[(String, RangeInclusive<u16>)],
    out: &mut (dyn io::Write + Send),
) -> Result<Browsed, SurveyError> {
    let mut surveyor = Surveyor::new(survey)?;
    let mut tags = String::new();
    let mut browsed = Browsed::default();
    for (table, range) in ranges {
        let Some(register) = Register::named(table) else {
            let message =
                format!("{table:?} is not one of \"holding\", \"input\", \"coil\", \"discrete\"");
            return Err(SurveyError::Asked(message));
        };
        if range.is_empty() {
            let message = format!("{table} {}-{}: no addresses", range.start(), range.end());
            return Err(SurveyError::Asked(message));
        }
        for (address, value) in table_of(&mut surveyor, register, range, &mut browsed).await? {
            let _never_fails = write_tag(&mut tags, register, address, &value);
        }
    }
    out.write_all(head(survey, &surveyor.endpoint, browsed).as_bytes())?;
    out.write_all(tags.as_bytes())?;
    out.flush()?;
    Ok(browsed)
}

/// The connector without its tags. What reached the device stands in it: a line that others than the defaults hold for is silent
/// without them.
fn head(survey: &Survey, endpoint: &Endpoint, browsed: Browsed) -> String {
    let Browsed {
        found,
        missing,
        requests,
    } = browsed;
    let (url, unit) = (endpoint, survey.unit);
    let timeout = if survey.timeout == keys::TIMEOUT.default() {
        String::new()
    } else {
        format!("timeout = \"{}ms\"\n", survey.timeout.as_millis())
    };
    let line = match endpoint {
        Endpoint::Serial(line) => line_keys(line),
        _ => String::new(),
    };
    format!(
        "# {found} addresses of {url}, unit {unit}, answered; {missing} did not. It took {requests} requests.\n\
         # Each tag is a guess, with what it held: remove what is of no use, give the others names, and look with probe\n\
         # whether two or more registers in a row are one value.\n\
         [[connector]]\nname = \"browsed\"\nkind = \"modbus\"\nurl = \"{url}\"\ndevice = \"device\"\nunit_id = {unit}\nevery = \"10s\"\n\
         {timeout}{line}"
    )
}

fn line_keys(line: &SerialLine) -> String {
    let SerialLine {
        baud_rate,
        parity,
        data_bits,
        stop_bits,
        ..
    } = line;
    let parity = parity.name();
    format!(
        "baud_rate = {baud_rate}\nparity = \"{parity}\"\ndata_bits = {data_bits}\nstop_bits = {stop_bits}\n"
    )
}

/// The addresses of one table that answer, each with its value.
async fn table_of(
    surveyor: &mut Surveyor,
    register: Register,
    range: &RangeInclusive<u16>,
    browsed: &mut Browsed,
) -> Result<Vec<(u16, String)>, SurveyError> {
    let count_max = if register.is_bits() {
        BITS_MAX
    } else {
        REGISTERS_MAX
    };
    let mut pieces: VecDeque<(u16, u16)> = pieces(range, count_max).into();
    let mut found = Vec::new();
    let mut silences = 0;
    while let Some((first, count)) = pieces.pop_front() {
        browsed.requests += 1;
        let outcome = surveyor.read(register, first, count).await?;
        if let Outcome::Silent(reason) = &outcome
            && count == 1
        {
            silences += 1;
            if silences >= SILENCES_MAX && browsed.found == 0 && found.is_empty() {
                return Err(SurveyError::Device(reason.clone()));
            }
        }
        match outcome {
            Outcome::Data(data) => {
                silences = 0;
                browsed.found += u64::from(count);
                found.extend((first..=first + (count - 1)).zip(values(&data)));
            }
            // The device does not have the table.
            Outcome::Refused(exception) if exception.0 == ILLEGAL_FUNCTION => {
                let left = pieces.drain(..).map(|(_, count)| u64::from(count));
                browsed.missing += u64::from(count) + left.sum::<u64>();
            }
            Outcome::Refused(_) | Outcome::Silent(_) if count == 1 => browsed.missing += 1,
            Outcome::Refused(_) | Outcome::Silent(_) => {
                let half = count / 2;
                pieces.push_front((first + half, count - half));
                pieces.push_front((first, half));
            }
        }
    }
    Ok(found)
}

/// A range in pieces that one request can read.
fn pieces(range: &RangeInclusive<u16>, count_max: u16) -> Vec<(u16, u16)> {
    let last = u32::from(*range.end());
    let firsts = (u32::from(*range.start())..=last).step_by(usize::from(count_max));
    let piece = |first: u32| {
        let count = (last - first + 1).min(u32::from(count_max));
        Some((u16::try_from(first).ok()?, u16::try_from(count).ok()?))
    };
    firsts.filter_map(piece).collect()
}

fn values(data: &Data) -> Vec<String> {
    match data {
        Data::Words(words) => words
            .iter()
            .map(|word| format!("{word} = 0x{word:04X}"))
            .collect(),
        Data::Bits(bits) => bits.iter().map(ToString::to_string).collect(),
    }
}

fn write_tag(text: &mut String, register: Register, address: u16, value: &str) -> std::fmt::Result {
    let table = register.name();
    let kind = if register.is_bits() { "bool" } else { "u16" };
    write!(
        text,
        "\n[[connector.tag]]\nname = \"{table}_{address}\"\nregister = \"{table}\"\naddress = {address}\ntype = \"{kind}\" # {value}\n"
    )
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use forebay_config::Document;

    use super::*;
    use crate::{config::Settings, survey::endpoint};

    #[test]
    fn a_connector_that_was_browsed_has_the_line_over_which_its_device_answered() {
        let serial = |baud_rate, parity: &str, stop_bits| Survey {
            url: "serial:///dev/ttyUSB0".to_owned(),
            baud_rate,
            parity: parity.to_owned(),
            stop_bits,
            timeout: Duration::from_millis(2500),
            ..Survey::default()
        };
        let tcp = Survey {
            url: "modbus://plc".to_owned(),
            ..Survey::default()
        };
        let surveys = [
            serial(19_200, "even", 1),
            serial(9600, "none", 2),
            serial(115_200, "odd", 1),
            tcp,
        ];
        for survey in surveys {
            let asked = endpoint(&survey).unwrap();
            let mut text = head(&survey, &asked, Browsed::default());
            write_tag(&mut text, Register::Holding, 7, "0 = 0x0000").unwrap();
            let document = Document::new(Path::new("forebay.toml"), &text, &|_| None);
            let settings = document
                .read(|root| {
                    let mut connectors = root.tables(&keys::KEYS.connector);
                    let connector = connectors.first_mut().unwrap();
                    let mut tags = connector.tables(&keys::KEYS.tag);
                    Settings::read(connector, &mut tags)
                })
                .unwrap();
            assert_eq!(settings.endpoint, asked, "{text}");
            assert_eq!(settings.timeout, survey.timeout, "{text}");
            assert_eq!(text.contains("parity"), survey.url.starts_with("serial"));
        }
    }
}
