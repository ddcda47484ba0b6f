//! What a file says of its readings' quality, in words or in the numbers of OPC.

use forebay_schemas::{Quality, Status};

use super::{QualityCodes, quarantine::Why};

/// The quality that a cell names; a blank one is good.
///
/// Words are read by how they begin, as in `Bad - no communication` or `UncertainLastUsableValue`.
///
/// # Errors
/// A word that is none of them, and a number where none is expected.
pub(super) fn status(cell: &str, codes: Option<QualityCodes>) -> Result<Status, Why> {
    if let Ok(code) = cell.parse::<i64>() {
        return of_code(cell, code, codes);
    }
    let quality = match first_word(cell).as_str() {
        "" if cell.is_empty() => return Ok(Status::GOOD),
        word if word.starts_with("good") => Quality::Good,
        word if word.starts_with("uncertain") || word.starts_with("questionable") => {
            Quality::Uncertain
        }
        word if word.starts_with("bad") => Quality::Bad,
        _ => return Err(unknown(cell)),
    };
    let is_good = quality == Quality::Good;
    Ok(Status {
        quality,
        code: None,
        reason: (!is_good).then(|| format!("the file says {cell:?}")),
    })
}

fn first_word(cell: &str) -> String {
    cell.chars()
        .take_while(|c| c.is_ascii_alphabetic())
        .collect::<String>()
        .to_ascii_lowercase()
}

fn of_code(cell: &str, code: i64, codes: Option<QualityCodes>) -> Result<Status, Why> {
    let Some(codes) = codes else {
        let detail = format!("{cell}: --quality-codes says what numbers mean");
        return Err(Why::new("the quality is a number", detail));
    };
    let quality = match (codes, code) {
        (QualityCodes::OpcDa, 0..=0xffff) => match (code >> 6) & 0b11 {
            0b11 => Quality::Good,
            0b01 => Quality::Uncertain,
            _ => Quality::Bad,
        },
        (QualityCodes::OpcUa, 0..=0xffff_ffff) => match code >> 30 {
            0b00 => Quality::Good,
            0b01 => Quality::Uncertain,
            _ => Quality::Bad,
        },
        (QualityCodes::Forebay, 0) => Quality::Good,
        (QualityCodes::Forebay, 1) => Quality::Uncertain,
        (QualityCodes::Forebay, 2) => Quality::Bad,
        _ => return Err(unknown(cell)),
    };
    let is_good = quality == Quality::Good;
    Ok(Status {
        quality,
        code: (!is_good).then_some(code),
        reason: (!is_good).then(|| format!("the file says {cell}")),
    })
}

fn unknown(cell: &str) -> Why {
    Why::new("the quality is unknown", format!("{cell:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_the_numbers_of_opc_are_read() {
        use Quality::{Bad, Good, Uncertain};
        use QualityCodes::{Forebay, OpcDa, OpcUa};
        for (cell, codes, expected) in [
            ("", None, Some(Good)),
            ("Good", None, Some(Good)),
            ("GOOD, local override", None, Some(Good)),
            ("UncertainLastUsableValue", None, Some(Uncertain)),
            ("Questionable", None, Some(Uncertain)),
            ("Bad - no communication", None, Some(Bad)),
            ("fine", None, None),
            ("-", None, None),
            ("192", None, None),
            ("192", Some(OpcDa), Some(Good)),
            ("216", Some(OpcDa), Some(Good)),
            ("64", Some(OpcDa), Some(Uncertain)),
            ("24", Some(OpcDa), Some(Bad)),
            ("0", Some(OpcDa), Some(Bad)),
            ("0", Some(OpcUa), Some(Good)),
            ("1083179008", Some(OpcUa), Some(Uncertain)),
            ("2147614720", Some(OpcUa), Some(Bad)),
            ("2", Some(Forebay), Some(Bad)),
            ("3", Some(Forebay), None),
            ("-1", Some(OpcDa), None),
            ("Bad", Some(OpcDa), Some(Bad)),
        ] {
            let found = status(cell, codes).ok().map(|status| status.quality);
            assert_eq!(found, expected, "{cell:?} {codes:?}");
        }
    }
}
