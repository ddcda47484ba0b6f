//! The units that industrial tags have: UCUM's codes, values and prefixes.

use super::{Dimensions, Exact, Ratio, Unit};

/// Whether a unit takes prefixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefixes {
    Metric,
    None,
}
use Prefixes::{Metric, None as Plain};

/// Code, prefixes, factor to the base units, exponents of m, s, g, rad, K, C, cd.
type Atom = (&'static str, Prefixes, f64, Dimensions);

const NUMBER: Dimensions = [0; 7];
const ANGLE: Dimensions = [0, 0, 0, 1, 0, 0, 0];
const LENGTH: Dimensions = [1, 0, 0, 0, 0, 0, 0];
const AREA: Dimensions = [2, 0, 0, 0, 0, 0, 0];
const VOLUME: Dimensions = [3, 0, 0, 0, 0, 0, 0];
const TIME: Dimensions = [0, 1, 0, 0, 0, 0, 0];
const RATE: Dimensions = [0, -1, 0, 0, 0, 0, 0];
const SPEED: Dimensions = [1, -1, 0, 0, 0, 0, 0];
const ACCELERATION: Dimensions = [1, -2, 0, 0, 0, 0, 0];
const MASS: Dimensions = [0, 0, 1, 0, 0, 0, 0];
const FORCE: Dimensions = [1, -2, 1, 0, 0, 0, 0];
const PRESSURE: Dimensions = [-1, -2, 1, 0, 0, 0, 0];
const ENERGY: Dimensions = [2, -2, 1, 0, 0, 0, 0];
const POWER: Dimensions = [2, -3, 1, 0, 0, 0, 0];
const TEMPERATURE: Dimensions = [0, 0, 0, 0, 1, 0, 0];
const CHARGE: Dimensions = [0, 0, 0, 0, 0, 1, 0];

const PI: f64 = std::f64::consts::PI;
/// Standard gravity, m/s².
const G: f64 = 9.806_65;
const INCH: f64 = 0.0254;
const FOOT: f64 = 0.3048;
/// Avoirdupois pound, g.
const POUND: f64 = 453.592_37;
/// Pound-force, g·m/s².
const POUND_FORCE: f64 = 4_448.221_615_260_5;
/// Square inch, m².
const SQUARE_INCH: f64 = 6.4516e-4;
/// Cubic inch, m³.
const CUBIC_INCH: f64 = 1.638_706_4e-5;
/// US gallon, m³: 231 cubic inches.
const GALLON: f64 = 3.785_411_784e-3;

#[rustfmt::skip]
const ATOMS: &[Atom] = &[
    // Numbers.
    ("%", Plain, 1e-2, NUMBER),
    ("[ppth]", Plain, 1e-3, NUMBER),
    ("[ppm]", Plain, 1e-6, NUMBER),
    ("[ppb]", Plain, 1e-9, NUMBER),
    ("[pptr]", Plain, 1e-12, NUMBER),
    ("mol", Metric, 6.022_136_7e23, NUMBER),
    ("bit", Metric, 1.0, NUMBER),
    ("By", Metric, 8.0, NUMBER),
    // Angles.
    ("rad", Metric, 1.0, ANGLE),
    ("sr", Metric, 1.0, [0, 0, 0, 2, 0, 0, 0]),
    ("deg", Plain, PI / 180.0, ANGLE),
    ("'", Plain, PI / 10_800.0, ANGLE),
    ("''", Plain, PI / 648_000.0, ANGLE),
    ("gon", Plain, PI / 200.0, ANGLE),
    ("circ", Plain, 2.0 * PI, ANGLE),
    // Length, area, volume.
    ("m", Metric, 1.0, LENGTH),
    ("[in_i]", Plain, INCH, LENGTH),
    ("[ft_i]", Plain, FOOT, LENGTH),
    ("[yd_i]", Plain, 0.9144, LENGTH),
    ("[mi_i]", Plain, 1_609.344, LENGTH),
    ("[nmi_i]", Plain, 1_852.0, LENGTH),
    ("[mil_i]", Plain, 2.54e-5, LENGTH),
    ("Ao", Plain, 1e-10, LENGTH),
    ("ar", Metric, 1e2, AREA),
    ("[sin_i]", Plain, SQUARE_INCH, AREA),
    ("[sft_i]", Plain, 0.092_903_04, AREA),
    ("[acr_us]", Plain, 4_046.872_609_874_252, AREA),
    ("l", Metric, 1e-3, VOLUME),
    ("L", Metric, 1e-3, VOLUME),
    ("st", Metric, 1.0, VOLUME),
    ("[cin_i]", Plain, CUBIC_INCH, VOLUME),
    ("[cft_i]", Plain, 0.028_316_846_592, VOLUME),
    ("[gal_us]", Plain, GALLON, VOLUME),
    ("[bbl_us]", Plain, 0.158_987_294_928, VOLUME),
    ("[gal_br]", Plain, 4.546_09e-3, VOLUME),
    // Time, speed, frequency.
    ("s", Metric, 1.0, TIME),
    ("min", Plain, 60.0, TIME),
    ("h", Plain, 3_600.0, TIME),
    ("d", Plain, 86_400.0, TIME),
    ("wk", Plain, 604_800.0, TIME),
    ("a", Plain, 31_557_600.0, TIME),
    ("Hz", Metric, 1.0, RATE),
    ("Bd", Metric, 1.0, RATE),
    ("Bq", Metric, 1.0, RATE),
    ("Ci", Metric, 3.7e10, RATE),
    ("kat", Metric, 6.022_136_7e23, RATE),
    ("[kn_i]", Plain, 1_852.0 / 3_600.0, SPEED),
    ("Gal", Metric, 1e-2, ACCELERATION),
    ("[g]", Metric, G, ACCELERATION),
    // Mass and force.
    ("g", Metric, 1.0, MASS),
    ("t", Metric, 1e6, MASS),
    ("[lb_av]", Plain, POUND, MASS),
    ("[oz_av]", Plain, 28.349_523_125, MASS),
    ("[ston_av]", Plain, 907_184.74, MASS),
    ("[lton_av]", Plain, 1_016_046.908_8, MASS),
    ("N", Metric, 1e3, FORCE),
    ("dyn", Metric, 1e-2, FORCE),
    ("gf", Metric, G, FORCE),
    ("[lbf_av]", Plain, POUND_FORCE, FORCE),
    // Pressure, viscosity.
    ("Pa", Metric, 1e3, PRESSURE),
    ("bar", Metric, 1e8, PRESSURE),
    ("atm", Plain, 101_325e3, PRESSURE),
    ("att", Plain, 98_066.5e3, PRESSURE),
    ("[psi]", Plain, POUND_FORCE / SQUARE_INCH, PRESSURE),
    ("m[Hg]", Metric, 133.322e6, PRESSURE),
    ("m[H2O]", Metric, 9.806_65e6, PRESSURE),
    ("[in_i'Hg]", Plain, 3_386_378.8, PRESSURE),
    ("[in_i'H2O]", Plain, 249_088.91, PRESSURE),
    ("P", Metric, 1e2, [-1, -1, 1, 0, 0, 0, 0]),
    ("St", Metric, 1e-4, [2, -1, 0, 0, 0, 0, 0]),
    // Energy and power.
    ("J", Metric, 1e3, ENERGY),
    ("eV", Metric, 1.602_177_33e-16, ENERGY),
    ("erg", Metric, 1e-4, ENERGY),
    ("cal", Metric, 4.184e3, ENERGY),
    ("cal_IT", Metric, 4.186_8e3, ENERGY),
    ("[Btu]", Plain, 1_055.055_852_62e3, ENERGY),
    ("[Btu_IT]", Plain, 1_055.055_852_62e3, ENERGY),
    ("W", Metric, 1e3, POWER),
    ("[HP]", Plain, 745_699.871_582_270_2, POWER),
    // Temperature; those with a zero of their own stand below.
    ("K", Metric, 1.0, TEMPERATURE),
    ("[degR]", Plain, 5.0 / 9.0, TEMPERATURE),
    // Electricity and magnetism.
    ("C", Metric, 1.0, CHARGE),
    ("A", Metric, 1.0, [0, -1, 0, 0, 0, 1, 0]),
    ("V", Metric, 1e3, [2, -2, 1, 0, 0, -1, 0]),
    ("Ohm", Metric, 1e3, [2, -1, 1, 0, 0, -2, 0]),
    ("S", Metric, 1e-3, [-2, 1, -1, 0, 0, 2, 0]),
    ("mho", Metric, 1e-3, [-2, 1, -1, 0, 0, 2, 0]),
    ("F", Metric, 1e-3, [-2, 2, -1, 0, 0, 2, 0]),
    ("H", Metric, 1e3, [2, 0, 1, 0, 0, -2, 0]),
    ("Wb", Metric, 1e3, [2, -1, 1, 0, 0, -1, 0]),
    ("T", Metric, 1e3, [0, -1, 1, 0, 0, -1, 0]),
    ("G", Metric, 1e-1, [0, -1, 1, 0, 0, -1, 0]),
    // Light and radiation.
    ("cd", Metric, 1.0, [0, 0, 0, 0, 0, 0, 1]),
    ("lm", Metric, 1.0, [0, 0, 0, 2, 0, 0, 1]),
    ("lx", Metric, 1.0, [-2, 0, 0, 2, 0, 0, 1]),
    ("Gy", Metric, 1.0, [2, -2, 0, 0, 0, 0, 0]),
    ("Sv", Metric, 1.0, [2, -2, 0, 0, 0, 0, 0]),
];

/// Code, degree in K, its zero in K: fractions.
const SCALES: &[(&str, Fraction, Fraction)] = &[
    ("Cel", (1, 1), (27_315, 100)),
    ("[degF]", (5, 9), (45_967 * 5, 900)),
    ("[degRe]", (5, 4), (27_315, 100)),
];

/// A number over another.
type Fraction = (i32, i32);

/// Factors that are no decimals. What stands in no list here is one, or is rounded.
const FRACTIONS: &[(&str, Fraction)] = &[("[degR]", (5, 9)), ("[kn_i]", (463, 900))];

#[rustfmt::skip]
const PREFIXES: &[(&str, f64)] = &[
    ("da", 1e1), ("Ki", 1_024.0), ("Mi", 1_048_576.0), ("Gi", 1_073_741_824.0), ("Ti", 1_099_511_627_776.0),
    ("Y", 1e24), ("Z", 1e21), ("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("h", 1e2),
    ("d", 1e-1), ("c", 1e-2), ("m", 1e-3), ("u", 1e-6), ("n", 1e-9), ("p", 1e-12), ("f", 1e-15), ("a", 1e-18),
    ("z", 1e-21), ("y", 1e-24),
];

/// Spellings that people write, and the code.
#[rustfmt::skip]
const MEANT: &[(&str, &str)] = &[
    ("°C", "Cel"), ("degC", "Cel"), ("celsius", "Cel"), ("°F", "[degF]"), ("degF", "[degF]"), ("fahrenheit", "[degF]"),
    ("psi", "[psi]"), ("PSI", "[psi]"), ("ft", "[ft_i]"), ("in", "[in_i]"), ("mi", "[mi_i]"),
    ("lb", "[lb_av]"), ("lbs", "[lb_av]"), ("gal", "[gal_us]"), ("hp", "[HP]"), ("HP", "[HP]"), ("kn", "[kn_i]"),
    ("mmHg", "mm[Hg]"), ("inHg", "[in_i'Hg]"), ("mmH2O", "mm[H2O]"), ("ppm", "[ppm]"), ("ppb", "[ppb]"),
    ("kWh", "kW.h"), ("Wh", "W.h"), ("MWh", "MW.h"), ("Ah", "A.h"), ("VA", "V.A"), ("kVA", "kV.A"),
    ("rpm", "{rev}/min"), ("°", "deg"), ("Ω", "Ohm"), ("ohm", "Ohm"), ("µm", "um"), ("sec", "s"), ("hr", "h"),
    ("day", "d"), ("kph", "km/h"), ("mph", "[mi_i]/h"), ("m³", "m3"), ("m²", "m2"), ("BTU", "[Btu_IT]"),
];

/// The unit of an atom with or without a prefix.
pub(super) fn unit(word: &str) -> Option<Unit> {
    // "ft" would be a femtotonne.
    if meant(word).is_some() {
        return None;
    }
    let found = atom(word).map(|(_, unit)| unit);
    found.or_else(|| PREFIXES.iter().find_map(|prefix| prefixed(word, *prefix)))
}

/// What is said of a word that is no unit.
pub(super) fn unknown(word: &str) -> String {
    match meant(word) {
        Some(code) => format!("{word:?} is not a UCUM code: write {code:?}"),
        None => format!("{word:?} is not a unit that is known here"),
    }
}

/// What a text begins with of what people write for codes, and the code.
pub(super) fn spelling_at(text: &str) -> Option<(&'static str, &'static str)> {
    let begins = MEANT
        .iter()
        .filter(|(written, _)| text.starts_with(written));
    begins.max_by_key(|(written, _)| written.len()).copied()
}

/// Whether people write it for a code.
pub(super) fn is_spelling(word: &str) -> bool {
    meant(word).is_some()
}

fn meant(word: &str) -> Option<&'static str> {
    let found = MEANT.iter().find(|(written, _)| *written == word);
    found.map(|(_, code)| *code)
}

fn prefixed(word: &str, (prefix, times): (&str, f64)) -> Option<Unit> {
    let (prefixes, unit) = atom(word.strip_prefix(prefix)?)?;
    if prefixes != Metric {
        return None;
    }
    Unit::new(NUMBER, times).times(unit)
}

fn atom(word: &str) -> Option<(Prefixes, Unit)> {
    let scale = SCALES.iter().find(|(code, ..)| *code == word);
    if let Some((_, factor, zero)) = scale {
        let unit = Unit {
            dimensions: TEMPERATURE,
            factor: number(*factor),
            zero: number(*zero),
            exact: ratio(*factor)
                .zip(ratio(*zero))
                .map(|(factor, zero)| Exact { factor, zero }),
        };
        return Some((Plain, unit));
    }
    let (_, prefixes, factor, dimensions) = ATOMS.iter().find(|(code, ..)| *code == word)?;
    let mut unit = Unit::new(*dimensions, *factor);
    if let Some((_, fraction)) = FRACTIONS.iter().find(|(code, _)| *code == word) {
        unit.exact = ratio(*fraction).map(Exact::of);
    }
    Some((*prefixes, unit))
}

fn number((over, under): Fraction) -> f64 {
    f64::from(over) / f64::from(under)
}

fn ratio((over, under): Fraction) -> Option<Ratio> {
    Ratio::new(i128::from(over), i128::from(under))
}

#[cfg(test)]
pub(super) fn codes() -> Vec<&'static str> {
    let scales = SCALES.iter().map(|(code, ..)| *code);
    ATOMS.iter().map(|(code, ..)| *code).chain(scales).collect()
}
