//! Addresses that must not be read: the key `never`.
//!
//! Pure.

use super::Register;

/// Ranges of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Forbidden(Vec<Range>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    /// None: all four tables.
    register: Option<Register>,
    first: u16,
    last: u16,
}

impl Forbidden {
    /// The ranges of these texts, each "7", "100-120" or one of them behind a table, such as "holding 100-120".
    pub(crate) fn parse(texts: &[String]) -> Result<Self, String> {
        let ranges = texts.iter().map(|text| {
            Range::parse(text).ok_or_else(|| {
                format!("{text:?}: addresses such as \"100-120\", \"7\" or \"holding 100-120\" are expected")
            })
        });
        ranges.collect::<Result<_, _>>().map(Self)
    }

    /// Those of another list as well.
    pub(crate) fn extend(&mut self, other: Option<&Self>) {
        self.0.extend(other.iter().flat_map(|other| &other.0));
    }

    /// Whether one of the addresses `first..=last` is among them.
    pub(crate) fn touches(&self, register: Register, first: u16, last: u16) -> bool {
        self.0.iter().any(|range| {
            range.register.is_none_or(|own| own == register)
                && range.first <= last
                && first <= range.last
        })
    }

    /// The same for `from..to`.
    pub(super) fn is_between(&self, register: Register, from: u32, to: u16) -> bool {
        let last = to.saturating_sub(1);
        u16::try_from(from).is_ok_and(|from| from <= last && self.touches(register, from, last))
    }
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (register, numbers) = match text.split_once(' ') {
            Some((name, numbers)) => (Some(Register::named(name)?), numbers.trim()),
            None => (None, text),
        };
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let first = first.trim().parse().ok()?;
        let last = last.trim().parse().ok()?;
        (first <= last).then_some(Self {
            register,
            first,
            last,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Result<Forbidden, String> {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        Forbidden::parse(&texts)
    }

    #[test]
    fn ranges_hold_for_one_table_or_for_all() {
        let never = ranges(&["100-120", "holding 7", " coil  0 - 3 "]).unwrap();
        for (register, first, last, expected) in [
            (Register::Input, 100, 100, true),
            (Register::Coil, 90, 100, true),
            (Register::Coil, 121, 130, false),
            (Register::Holding, 7, 7, true),
            (Register::Input, 7, 7, false),
            (Register::Coil, 3, 9, true),
            (Register::Coil, 4, 9, false),
        ] {
            assert_eq!(
                never.touches(register, first, last),
                expected,
                "{register:?} {first}"
            );
        }
        assert!(never.is_between(Register::Input, 90, 101));
        assert!(!never.is_between(Register::Input, 90, 100));
        assert!(!never.is_between(Register::Input, 120, 120));
        for wrong in ["", "a", "5-3", "70000", "registers 5", "1-2-3"] {
            assert!(ranges(&[wrong]).is_err(), "{wrong}");
        }
    }
}
