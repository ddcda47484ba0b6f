//! Which series a `[[step]]` takes, and which patterns and units are refused.

use std::path::Path;

use forebay_config::Document;

use super::{
    settings::{SilentKind, context},
    steps::{at, number, pipeline, sample, shown},
};
use crate::connectors;

#[test]
fn a_star_stops_at_a_slash_and_two_do_not() {
    let table = [
        ("pm/*", ["pm/a 2 -", "pm/Boiler/I32 1 -", "q/a 1 -"]),
        ("pm/**", ["pm/a 2 -", "pm/Boiler/I32 2 -", "q/a 1 -"]),
        ("*/*/I32", ["pm/a 1 -", "pm/Boiler/I32 2 -", "q/a 1 -"]),
        ("**", ["pm/a 2 -", "pm/Boiler/I32 2 -", "q/a 2 -"]),
    ];
    for (pattern, expected) in table {
        let steps = format!("[[step]]\ntags = [\"{pattern}\"]\nscale = 2");
        let (mut pipeline, _) = pipeline("", &steps);
        let samples = ["pm/a", "pm/Boiler/I32", "q/a"].map(|name| sample(name, number(1.0)));
        let readings = pipeline.samples(samples.to_vec(), at(0.0));
        let found: Vec<String> = readings.iter().map(shown).collect();
        assert_eq!(found, expected, "{pattern}");
    }
}

#[test]
fn patterns_and_units_that_cannot_be_meant_are_refused() {
    let table = [
        (
            "[[step]]\ntags = [\"temp\"]\nscale = 2",
            "step.tags: \"temp\" fits nothing: a pattern is over \"device/tag\", such as \"*/temp\"",
        ),
        (
            "[[step]]\ntags = [\"*/a\", \"temp**\"]\nscale = 2",
            "step.tags: \"temp**\" fits nothing",
        ),
        (
            "[[step]]\ntags = [\"*/a\"]\nunit = \"°C\"",
            "step.unit: column 1 of the unit \"°C\": \"°C\" is not a UCUM code: write \"Cel\"",
        ),
        (
            "unit = \"kWh\"",
            "tag.unit: column 1 of the unit \"kWh\": \"kWh\" is not a UCUM code: write \"kW.h\"",
        ),
        (
            "unit = \"rpm\"\nto_unit = \"Hz\"",
            "tag.unit: column 1 of the unit \"rpm\": \"rpm\" is not a UCUM code: write \"{rev}/min\"",
        ),
        (
            "[[step]]\ntags = [\"truck/**\"]\npseudonym_key = \"0123456789012345678901234567890123\"",
            "",
        ),
        ("unit = \"pieces\"", ""),
    ];
    for (text, expected) in table {
        let head = "[[connector]]\nname = \"a\"\nkind = \"silent\"\ndepth = 1\n[[connector.tag]]\nname = \"t\"\n";
        let whole = format!("{head}{text}");
        let document = Document::new(Path::new("f.toml"), &whole, &|_| None);
        let read = document.read(|root| Some(connectors(root, &[&SilentKind], &context())));
        let found = read
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        let is_found = match expected {
            "" => found.is_empty(),
            expected => found.lines().count() == 1 && found.contains(expected),
        };
        assert!(is_found, "{text}\n{found}");
    }
}
