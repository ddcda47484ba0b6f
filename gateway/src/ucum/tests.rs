use proptest::prelude::*;

use super::*;

#[test]
fn values_are_those_of_the_tables_of_physics() {
    // From, to, value, expected: factors from NIST SP 811, not computed here.
    let table = [
        ("Cel", "[degF]", 100.0, 212.0),
        ("[degF]", "Cel", -40.0, -40.0),
        ("Cel", "K", 21.5, 294.65),
        ("K", "Cel", 0.0, -273.15),
        ("[degRe]", "Cel", 80.0, 100.0),
        ("[degR]", "K", 491.67, 273.15),
        ("bar", "[psi]", 1.0, 14.503_773_8),
        ("[psi]", "kPa", 1.0, 6.894_757_293),
        ("mm[Hg]", "Pa", 1.0, 133.322),
        ("[in_i'H2O]", "Pa", 1.0, 249.088_91),
        ("kgf/cm2", "bar", 1.0, 0.980_665),
        ("kW.h", "MJ", 1.0, 3.6),
        ("kW.h/h", "kW", 2.5, 2.5),
        ("MW", "kW", 0.5, 500.0),
        ("[HP]", "W", 1.0, 745.699_871_6),
        ("[Btu_IT]/h", "W", 1.0, 0.293_071_07),
        ("V.A", "W", 230.0, 230.0),
        ("V/A", "Ohm", 5.0, 5.0),
        ("mA", "A", 20.0, 0.02),
        ("m3/h", "L/min", 6.0, 100.0),
        ("[gal_us]/min", "m3/h", 1.0, 0.227_124_707),
        ("[bbl_us]/d", "m3/d", 1.0, 0.158_987_294_9),
        ("[cft_i]/min", "m3/h", 1.0, 1.699_010_796),
        ("km/h", "m/s", 36.0, 10.0),
        ("[kn_i]", "km/h", 1.0, 1.852),
        ("m/s2", "[g]", 9.806_65, 1.0),
        ("deg", "rad", 180.0, std::f64::consts::PI),
        ("circ/min", "rad/s", 60.0, 2.0 * std::f64::consts::PI),
        ("%", "1", 50.0, 0.5),
        ("[ppm]", "%", 10_000.0, 1.0),
        ("KiBy", "By", 2.0, 2_048.0),
        ("uS/cm", "mS/m", 500.0, 50.0),
        ("10*3/ul", "10^6/mL", 1.0, 1.0),
        ("/min", "Hz", 60.0, 1.0),
        ("{rev}/min", "/s", 1_500.0, 25.0),
        ("mol/L", "mmol/l", 1.0, 1_000.0),
        ("kg/m3", "g/cm3", 1_000.0, 1.0),
        ("cP", "mPa.s", 1.0, 1.0),
        ("J/(kg.K)", "kJ/kg/K", 4_186.0, 4.186),
        ("m.s-2", "m/s2", 3.0, 3.0),
        ("daN", "N", 1.0, 10.0),
        ("t/h", "kg/s", 3.6, 1.0),
    ];
    for (from, to, value, expected) in table {
        let found = Conversion::between(from, to).unwrap().of(value);
        let error = (found - expected).abs();
        assert!(
            error <= expected.abs() * 1e-8 + 1e-9,
            "{value} {from} = {found} {to}, not {expected}"
        );
    }
}

/// Fractions in whole numbers, so that what a thermometer or a scale shows in decimals comes out as one.
#[test]
fn decimals_become_decimals() {
    let table = [
        ("Cel", "[degF]", 100.0, 212.0),
        ("Cel", "[degF]", 0.0, 32.0),
        ("Cel", "[degF]", -40.0, -40.0),
        ("Cel", "[degF]", 37.0, 98.6),
        ("[degF]", "Cel", 32.0, 0.0),
        ("[degF]", "Cel", 98.6, 37.0),
        ("[degF]", "Cel", -459.67, -273.15),
        ("[degF]", "K", -459.67, 0.0),
        ("[degF]", "[degR]", 0.0, 459.67),
        ("Cel", "K", 21.5, 294.65),
        ("K", "Cel", 294.65, 21.5),
        ("[degRe]", "[degF]", 80.0, 212.0),
        ("bar", "kPa", 1.5, 150.0),
        ("kPa", "bar", 110.0, 1.1),
        ("Pa", "mbar", 101_325.0, 1013.25),
        ("[in_i'H2O]", "Pa", 1.0, 249.088_91),
        ("W", "kW", 1_234.5, 1.2345),
        ("W.h", "kW.h", 7.0, 0.007),
        ("kW.h", "MJ", 1.0, 3.6),
        ("kW.h/d", "kW", 24.0, 1.0),
        ("L/min", "m3/h", 100.0, 6.0),
        ("[gal_us]", "L", 1.0, 3.785_411_784),
        ("[bbl_us]", "[gal_us]", 1.0, 42.0),
        ("[lb_av]", "kg", 1.0, 0.453_592_37),
        ("kg", "[lb_av]", 0.453_592_37, 1.0),
        ("[ft_i]", "[in_i]", 1.0, 12.0),
        ("[kn_i]", "km/h", 1.0, 1.852),
        ("km/h", "[kn_i]", 1.852, 1.0),
        ("%", "1", 7.0, 0.07),
        ("uS/cm", "mS/m", 550.0, 55.0),
        ("{rev}/min", "Hz", 1_500.0, 25.0),
    ];
    for (from, to, value, expected) in table {
        let found = Conversion::between(from, to).unwrap().of(value);
        assert_eq!(found, expected, "{value} {from} in {to}");
    }
    // The number before the factor is rounded too: no double is 1.1, and 100 times the nearest is this.
    let found = Conversion::between("bar", "kPa").unwrap().of(1.1);
    assert_eq!(found, 1.1 * 100.0);
}

#[test]
fn only_what_people_write_for_a_code_is_a_misspelling() {
    let spellings = [
        "°C", "kWh", "rpm", "psi", "m³/h", "kg/(hr)", "in", "Ω.m", "°C/min",
    ];
    for code in spellings {
        assert!(Unit::misspelt(code).is_some(), "{code}");
    }
    for code in [
        "Cel", "kW.h", "[psi]", "dB[mW]", "pieces", "", "Cel/min", "m-",
    ] {
        assert_eq!(Unit::misspelt(code), None, "{code}");
    }
}

#[test]
fn what_people_write_becomes_the_code_that_they_mean() {
    let table = [
        ("rpm", Some("{rev}/min")),
        ("°C", Some("Cel")),
        ("m³/hr", Some("m3/h")),
        ("lbs/gal", Some("[lb_av]/[gal_us]")),
        ("1/kWh", Some("1/(kW.h)")),
        ("°C/min", Some("Cel/min")),
        ("kW.h", None),
        ("pieces", None),
        ("", None),
    ];
    for (written, expected) in table {
        assert_eq!(as_ucum(written).as_deref(), expected, "{written}");
    }
}

#[test]
fn what_is_no_unit_is_refused_at_its_column() {
    let table = [
        ("", 1, "a unit such as"),
        ("°C", 1, "write \"Cel\""),
        ("kWh", 1, "write \"kW.h\""),
        ("ft", 1, "write \"[ft_i]\""),
        (
            "m3/fortnight",
            4,
            "\"fortnight\" is not a unit that is known",
        ),
        ("kW*h", 1, "\"kW*h\" is not a unit"),
        ("m3 /h", 3, "' ' is not expected"),
        ("Cel/min", 1, "stands alone"),
        ("W/(m2.Cel)", 7, "stands alone"),
        ("Cel2", 1, "stands alone"),
        ("J/(kg.K", 3, "not closed"),
        ("J/", 3, "a unit is missing"),
        ("{rev", 1, "not closed"),
        ("m-", 2, "an exponent is expected"),
        ("m999", 2, "too high"),
        ("m100.m100", 5, "too high"),
        ("mmin", 1, "not a unit"),
        ("dB", 1, "not a unit"),
        ("[pH]", 1, "not a unit"),
        ("0", 1, "factor of 0"),
    ];
    for (code, column, what) in table {
        let Err(UnitError::Code {
            column: found,
            what: said,
            ..
        }) = Unit::parse(code)
        else {
            panic!("{code:?} is taken for a unit");
        };
        assert!(
            found == column && said.contains(what),
            "{code:?}: column {found}: {said}"
        );
    }
    let different = Conversion::between("bar", "Cel").unwrap_err().to_string();
    assert_eq!(
        different,
        "\"bar\" cannot be converted to \"Cel\": they measure different things"
    );
}

#[test]
fn no_code_can_be_read_in_two_ways() {
    for code in table::codes() {
        let alone = Unit::parse(code).unwrap();
        assert_eq!(
            Conversion::between(code, code).unwrap().of(3.0),
            3.0,
            "{code}"
        );
        let twice = table::codes()
            .iter()
            .filter(|other| **other == code)
            .count();
        assert_eq!(twice, 1, "{code} stands twice: {alone:?}");
    }
}

proptest! {
    /// Whole degrees and tenths of them come back as they were.
    #[test]
    fn tenths_of_degrees_survive_there_and_back(tenths in -100_000..100_000_i32) {
        let value = f64::from(tenths) / 10.0;
        for (from, to) in [("Cel", "[degF]"), ("[degF]", "Cel"), ("bar", "kPa"), ("W", "kW")] {
            let there = Conversion::between(from, to).unwrap().of(value);
            let back = Conversion::between(to, from).unwrap().of(there);
            prop_assert!((back - value).abs() <= value.abs().max(300.0) * 4.0 * f64::EPSILON, "{} {}: {}", from, value, back);
        }
    }

    /// A whole number of one unit that is a whole number of another is exactly that.
    #[test]
    fn whole_numbers_stay_whole(fives in -200_000_000..200_000_000_i64) {
        let (celsius, fahrenheit) = (fives * 5, fives * 9 + 32);
        let there = Conversion::between("Cel", "[degF]").unwrap().of(celsius as f64);
        prop_assert_eq!(there, fahrenheit as f64);
        let back = Conversion::between("[degF]", "Cel").unwrap().of(fahrenheit as f64);
        prop_assert_eq!(back, celsius as f64);
    }

    #[test]
    fn there_and_back_is_the_same(value in -1e6..1e6_f64, from in 0..500_usize, to in 0..500_usize) {
        let codes = table::codes();
        let (from, to) = (codes[from % codes.len()], codes[to % codes.len()]);
        if let Ok(there) = Conversion::between(from, to) {
            let back = Conversion::between(to, from).unwrap().of(there.of(value));
            prop_assert!((back - value).abs() <= value.abs() * 1e-9 + 1e-6, "{} {}: {}", from, to, back);
        }
    }

    #[test]
    fn any_text_has_no_spelling_left(parts in proptest::collection::vec("°C|kWh|rpm|ft|in|[a-zµ³²°./(){}-]", 0..8)) {
        let text = parts.concat();
        let written = as_ucum(&text).unwrap_or(text);
        prop_assert_eq!(Unit::misspelt(&written), None);
    }

    #[test]
    fn any_text_is_a_unit_or_an_error(code in "[a-zA-Z0-9./()\\[\\]{}'%*^+ -]{0,24}") {
        if let Err(UnitError::Code { column, .. }) = Unit::parse(&code) {
            prop_assert!(column >= 1 && column <= code.chars().count() + 1);
        }
    }
}
