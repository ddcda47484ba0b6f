//! Units of measure by the Unified Code for Units of Measure (UCUM 2.2, case-sensitive codes).
//!
//! A code is parsed by UCUM's grammar (products, quotients, exponents, prefixes, annotations) over a table of the units that
//! industrial tags have. A unit is a factor to UCUM's base units (m, s, g, rad, K, C, cd) and their exponents; Celsius,
//! Fahrenheit and Réaumur have a zero of their own and so stand alone. Logarithmic units (dB, pH) and arbitrary ones are not
//! in the table: what is not known is refused, with the column in the code.

mod ratio;
mod table;
#[cfg(test)]
mod tests;

use thiserror::Error;

use self::ratio::Ratio;

/// Exponents of m, s, g, rad, K, C, cd.
pub(crate) type Dimensions = [i8; 7];

/// Most characters of a code: nobody writes longer ones, and nesting stays small.
const CODE_CHARS_MAX: usize = 100;

/// How one unit measures: base = value × factor + zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unit {
    dimensions: Dimensions,
    factor: f64,
    /// What 0 is in base units: other than 0 for temperatures on a scale of their own.
    zero: f64,
    /// Both, where they are fractions that fit.
    exact: Option<Exact>,
}

/// A unit's measure as fractions.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Exact {
    factor: Ratio,
    zero: Ratio,
}

/// From one unit to another: to = (from × times + plus) / over, whole numbers where the units are such fractions: decimals then come
/// out as decimals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Conversion {
    times: f64,
    plus: f64,
    over: f64,
}

/// Why a code is no unit, or two units measure different things.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum UnitError {
    #[error("column {column} of the unit {code:?}: {what}")]
    Code {
        code: String,
        /// In characters, from 1.
        column: usize,
        what: String,
        /// Whether people often write it for the code that `what` names.
        is_spelling: bool,
    },
    #[error("{from:?} cannot be converted to {to:?}: they measure different things")]
    Incommensurable { from: String, to: String },
}

impl Unit {
    /// Reads a code such as `kW.h`, `m3/h`, `mm[Hg]` or `[degF]`.
    pub(crate) fn parse(code: &str) -> Result<Self, UnitError> {
        let mut parser = Parser {
            chars: code.chars().collect(),
            at: 0,
            is_spelling: false,
        };
        let parsed = parser.whole();
        parsed.map_err(|(at, what)| UnitError::Code {
            code: code.to_owned(),
            column: at + 1,
            what,
            is_spelling: parser.is_spelling,
        })
    }

    /// The error of what people often write instead of a code, which names the code. Any other text may be a device's own word.
    pub(crate) fn misspelt(code: &str) -> Option<UnitError> {
        let error = Self::parse(code).err();
        error.filter(|error| {
            matches!(
                error,
                UnitError::Code {
                    is_spelling: true,
                    ..
                }
            )
        })
    }

    fn new(dimensions: Dimensions, factor: f64) -> Self {
        Self {
            dimensions,
            factor,
            zero: 0.0,
            exact: Ratio::of(factor).map(Exact::of),
        }
    }

    fn is_scale(&self) -> bool {
        self.zero != 0.0
    }

    fn times(self, other: Self) -> Option<Self> {
        let mut dimensions = self.dimensions;
        for (own, more) in dimensions.iter_mut().zip(other.dimensions) {
            *own = own.checked_add(more)?;
        }
        Some(Self {
            dimensions,
            factor: self.factor * other.factor,
            zero: 0.0,
            exact: self
                .exact
                .zip(other.exact)
                .and_then(|(own, more)| own.factor.times(more.factor))
                .map(Exact::of),
        })
    }

    fn power(self, exponent: i8) -> Option<Self> {
        let mut dimensions = self.dimensions;
        for own in &mut dimensions {
            *own = own.checked_mul(exponent)?;
        }
        Some(Self {
            dimensions,
            factor: self.factor.powi(i32::from(exponent)),
            zero: 0.0,
            exact: self
                .exact
                .and_then(|exact| exact.factor.power(exponent))
                .map(Exact::of),
        })
    }
}

impl Exact {
    fn of(factor: Ratio) -> Self {
        Self {
            factor,
            zero: Ratio::ZERO,
        }
    }
}

impl Conversion {
    /// From one code to another.
    pub(crate) fn between(from: &str, to: &str) -> Result<Self, UnitError> {
        let source = Unit::parse(from)?;
        let target = Unit::parse(to)?;
        if source.dimensions != target.dimensions {
            return Err(UnitError::Incommensurable {
                from: from.to_owned(),
                to: to.to_owned(),
            });
        }
        Ok(Self::exact(source, target).unwrap_or(Self {
            times: source.factor / target.factor,
            plus: (source.zero - target.zero) / target.factor,
            over: 1.0,
        }))
    }

    fn exact(source: Unit, target: Unit) -> Option<Self> {
        let (source, target) = (source.exact?, target.exact?);
        let per = target.factor.inverse()?;
        let factor = source.factor.times(per)?;
        let offset = source.zero.minus(target.zero)?.times(per)?;
        let (times, plus, over) = Ratio::in_doubles(factor, offset)?;
        Some(Self { times, plus, over })
    }

    pub(crate) fn of(self, value: f64) -> f64 {
        (value * self.times + self.plus) / self.over
    }
}

/// What a unit is in UCUM where it is written as people often do, such as `{rev}/min` for `rpm`; none where nothing in it is known to be
/// another code. A list of another tool has such units.
pub fn as_ucum(unit: &str) -> Option<String> {
    let mut written = unit.to_owned();
    while let Some(UnitError::Code { column, .. }) = Unit::misspelt(&written) {
        let start = written.char_indices().nth(column - 1)?.0;
        let (before, rest) = written.split_at(start);
        let (word, code) = table::spelling_at(rest)?;
        let behind = &rest[word.len()..];
        let is_whole = before.is_empty() && behind.is_empty();
        written = if is_whole || !code.contains(['.', '/']) {
            format!("{before}{code}{behind}")
        } else {
            format!("{before}({code}){behind}")
        };
    }
    (written != unit).then_some(written)
}

/// Where it is wrong (in characters, from 0), and what.
type Wrong = (usize, String);

struct Parser {
    chars: Vec<char>,
    at: usize,
    /// Whether it stopped at what people often write for a code.
    is_spelling: bool,
}

impl Parser {
    fn whole(&mut self) -> Result<Unit, Wrong> {
        if self.chars.is_empty() {
            return Err((0, "a unit such as \"Cel\" or \"1\" is expected".to_owned()));
        }
        if self.chars.len() > CODE_CHARS_MAX {
            let what = format!("more than {CODE_CHARS_MAX} characters");
            return Err((CODE_CHARS_MAX, what));
        }
        let unit = self.term()?;
        match self.peek() {
            None => Ok(unit),
            Some(other) => Err((
                self.at,
                format!("{other:?} is not expected: write . for times and / for per"),
            )),
        }
    }

    /// Components by `.` and `/`, from left to right; `/` divides by the next component alone.
    fn term(&mut self) -> Result<Unit, Wrong> {
        let first_at = self.at;
        let mut product = if self.peek() == Some('/') {
            ONE
        } else {
            self.component()?
        };
        while let Some(operator @ ('.' | '/')) = self.peek() {
            let at = self.at;
            self.at += 1;
            let next = self.component()?;
            if product.is_scale() || next.is_scale() {
                let scale_at = if product.is_scale() { first_at } else { at + 1 };
                return Err((scale_at, SCALE_ALONE.to_owned()));
            }
            let exponent = if operator == '/' { -1 } else { 1 };
            product = next
                .power(exponent)
                .and_then(|next| product.times(next))
                .ok_or_else(|| (at, TOO_HIGH.to_owned()))?;
        }
        Ok(product)
    }

    fn component(&mut self) -> Result<Unit, Wrong> {
        match self.peek() {
            Some('(') => {
                let opened = self.at;
                self.at += 1;
                let inner = self.term()?;
                if self.peek() != Some(')') {
                    return Err((opened, "this bracket is not closed".to_owned()));
                }
                self.at += 1;
                self.annotation()?;
                Ok(inner)
            }
            Some('{') => {
                self.annotation()?;
                Ok(ONE)
            }
            Some(digit) if digit.is_ascii_digit() => self.factor(),
            Some(_) => {
                let unit = self.simple()?;
                self.annotation()?;
                Ok(unit)
            }
            None => Err((self.at, "a unit is missing".to_owned())),
        }
    }

    /// A positive integer, or `10*` and `10^` with an exponent.
    fn factor(&mut self) -> Result<Unit, Wrong> {
        let at = self.at;
        let digits = self.digits();
        let number: f64 = digits
            .parse()
            .map_err(|_| (at, format!("{digits:?} is not a number")))?;
        let unit = Unit::new(ONE.dimensions, number);
        if digits == "10" && matches!(self.peek(), Some('*' | '^')) {
            self.at += 1;
            return self.exponent(unit, at);
        }
        if number == 0.0 {
            return Err((at, "a factor of 0".to_owned()));
        }
        Ok(unit)
    }

    /// An atom, perhaps with a prefix, perhaps with an exponent.
    fn simple(&mut self) -> Result<Unit, Wrong> {
        let at = self.at;
        let mut word = String::new();
        while let Some(next) = self.peek() {
            if next == '[' {
                while let Some(inside) = self.peek() {
                    word.push(inside);
                    self.at += 1;
                    if inside == ']' {
                        break;
                    }
                }
            } else if "./(){}+-".contains(next) || next.is_ascii_digit() {
                break;
            } else {
                word.push(next);
                self.at += 1;
            }
        }
        if word.is_empty() {
            return Err((at, "a unit is missing".to_owned()));
        }
        self.is_spelling = table::is_spelling(&word);
        let unit = table::unit(&word).ok_or_else(|| (at, table::unknown(&word)))?;
        self.exponent(unit, at)
    }

    fn exponent(&mut self, unit: Unit, at: usize) -> Result<Unit, Wrong> {
        let from = self.at;
        let is_negative = self.peek() == Some('-');
        if matches!(self.peek(), Some('+' | '-')) {
            self.at += 1;
        }
        let digits = self.digits();
        if digits.is_empty() {
            return if self.at == from {
                Ok(unit)
            } else {
                Err((from, "an exponent is expected".to_owned()))
            };
        }
        let exponent: i8 = digits.parse().map_err(|_| (from, TOO_HIGH.to_owned()))?;
        if unit.is_scale() {
            return Err((at, SCALE_ALONE.to_owned()));
        }
        let signed = if is_negative { -exponent } else { exponent };
        unit.power(signed)
            .ok_or_else(|| (from, TOO_HIGH.to_owned()))
    }

    /// Says nothing of the measure.
    fn annotation(&mut self) -> Result<(), Wrong> {
        let opened = self.at;
        if self.peek() != Some('{') {
            return Ok(());
        }
        while let Some(next) = self.peek() {
            self.at += 1;
            if next == '}' {
                return Ok(());
            }
        }
        Err((opened, "this brace is not closed".to_owned()))
    }

    fn digits(&mut self) -> String {
        let mut digits = String::new();
        while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
            digits.push(digit);
            self.at += 1;
        }
        digits
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }
}

const ONE: Unit = Unit {
    dimensions: [0; 7],
    factor: 1.0,
    zero: 0.0,
    exact: Some(Exact {
        factor: Ratio::ONE,
        zero: Ratio::ZERO,
    }),
};

const SCALE_ALONE: &str =
    "a temperature with a zero of its own stands alone: write K in products and quotients";
const TOO_HIGH: &str = "the exponent is too high";
