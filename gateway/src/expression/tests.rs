use std::sync::Arc;

use forebay_schemas::{DeviceId, Reading, Series, SiteId, Status, TagName, Timestamp, Value};
use proptest::prelude::*;

use super::*;

fn reading(tag: &str, value: Option<Value>) -> Reading {
    let at = Timestamp::from_nanos(1_500_000_000);
    Reading {
        series: Series {
            site: SiteId::new("s").unwrap(),
            device: DeviceId::new("pump").unwrap(),
            tag: TagName::new(tag).unwrap(),
        },
        event_time: at,
        observed_time: at,
        value,
        unit: Some(Arc::from("kW")),
        status: Status::GOOD,
    }
}

fn evaluated(source: &str, value: Option<Value>) -> Result<Term, ExpressionError> {
    let expression = Expression::parse(source)?;
    let mut last = LastValues::of(expression.tags());
    last.note(&reading("voltage", Some(Value::I64(230))));
    last.note(&reading("unasked", Some(Value::I64(1))));
    last.note(&reading("bad", Some(Value::I64(1))));
    last.note(&reading("bad", None));
    let reading = reading("current", value);
    let scope = Scope {
        reading: &reading,
        last: &last,
    };
    expression.evaluate(&scope)
}

#[test]
fn an_expression_has_the_value_that_c_would_give_it() {
    let number = |number: f64| Term::Number(number);
    let text = |text: &str| Value::Text(text.to_owned());
    let table = [
        ("value * 2", Value::F64(21.5), number(43.0)),
        ("value * 9 / 5 + 32", Value::I64(100), number(212.0)),
        ("2 + 3 * 4 - 10 / 4 % 2", Value::I64(0), number(13.5)),
        ("-2 - -3", Value::I64(0), number(1.0)),
        ("(2 + 3) * -(4)", Value::I64(0), number(-20.0)),
        ("1.5e3 + .5 + 2E-1", Value::I64(0), number(1_500.7)),
        ("value > 3 && value <= 5", Value::U64(5), Term::Truth(true)),
        ("!(value == 4) || false", Value::U64(4), Term::Truth(false)),
        ("value ? 1 : 2", Value::Bool(true), number(1.0)),
        (
            "value < 0 ? 'low' : value > 9 ? 'high' : \"mid\"",
            Value::I64(5),
            Term::Text("mid".into()),
        ),
        ("value == 'it\\'s on'", text("it's on"), Term::Truth(true)),
        (
            "starts_with(value, 'ER') && !ends_with(value, '0')",
            text("ER01"),
            Term::Truth(true),
        ),
        (
            "quality == 'good' && unit == 'kW' && tag != device",
            Value::I64(0),
            Term::Truth(true),
        ),
        ("value * last(\"voltage\")", Value::F64(2.0), number(460.0)),
        (
            "max(1, value, 3) - min(value, 2)",
            Value::I64(7),
            number(5.0),
        ),
        ("round(pow(sqrt(value), 4))", Value::I64(3), number(9.0)),
        (
            "abs(floor(-1.5) + ceil(1.2)) + log10(100) + ln(exp(1))",
            Value::I64(0),
            number(3.0),
        ),
        ("time", Value::I64(0), number(1.5)),
        ("value + 1", Value::Bool(true), number(2.0)),
        ("true == (1 < 2)", Value::I64(0), Term::Truth(true)),
    ];
    for (source, value, expected) in table {
        assert_eq!(evaluated(source, Some(value)), Ok(expected), "{source}");
    }
}

#[test]
fn what_is_no_expression_is_refused_at_its_column() {
    let table = [
        ("", 1, "a value is missing"),
        ("value >", 8, "a value is missing"),
        ("value > > 3", 9, "a value is expected, not \">\""),
        ("(value > 3", 11, "\")\" is expected"),
        (
            "valeu > 3",
            1,
            "\"valeu\" is not known; did you mean \"value\"?",
        ),
        ("3 + voltage", 5, "another tag's value is last(\"voltage\")"),
        ("sqr(value)", 1, "is not a function; did you mean \"sqrt\"?"),
        ("1 + pow(2)", 5, "pow takes 2 arguments, not 1"),
        (
            "contains(device + '', 'x')",
            10,
            "a number is expected, not a text",
        ),
        ("value + 'a'", 9, "a number is expected, not a text"),
        (
            "quality == 0",
            12,
            "a text is expected as on the other side, not a number",
        ),
        ("quality = 'good'", 9, "'=' is not expected"),
        ("!3", 2, "true or false is expected, not a number"),
        ("'open", 1, "not closed"),
        ("1.2.3", 1, "\"1.2.3\" is not a number"),
        ("1e999", 1, "is not a number"),
        ("0x10", 1, "is not a number"),
        ("last(voltage)", 6, "is not known"),
        ("last(value)", 1, "the name of a tag in quotes"),
        ("value value", 7, "\"value\" is not expected"),
        (
            "true ? 1 : 'a'",
            12,
            "a number is expected as on the other side",
        ),
    ];
    for (source, column, what) in table {
        let error = Expression::parse(source).unwrap_err();
        assert!(
            error.column == column && error.what.contains(what),
            "{source}: {error}"
        );
    }
    let deep = format!("{}1{}", "(".repeat(400), ")".repeat(400));
    assert!(
        Expression::parse(&deep)
            .unwrap_err()
            .what
            .contains("nested")
    );
    let signs = format!("{}1", "-".repeat(900));
    assert!(
        Expression::parse(&signs)
            .unwrap_err()
            .what
            .contains("nested")
    );
    let long = "1+".repeat(600);
    assert_eq!(Expression::parse(&long).unwrap_err().column, 1_001);
}

#[test]
fn what_a_reading_lacks_is_named_when_it_is_asked() {
    let table = [
        ("value + 1", None, 1, "there is no value"),
        (
            "1 + last('bad')",
            Some(Value::I64(1)),
            5,
            "tag \"bad\" has no good value",
        ),
        (
            "last('current')",
            Some(Value::I64(1)),
            1,
            "tag \"current\" has no good value",
        ),
        (
            "value > 3",
            Some(Value::Text("on".into())),
            1,
            "not the text \"on\"",
        ),
        (
            "value == 3",
            Some(Value::Text("on".into())),
            10,
            "\"on\" is expected as on the other side, not 3",
        ),
        (
            "value && true",
            Some(Value::I64(1)),
            1,
            "true or false is expected, not 1",
        ),
        (
            "contains(value, 'x')",
            Some(Value::I64(1)),
            10,
            "a text is expected, not 1",
        ),
        ("value + 1", Some(Value::Bytes(vec![1])), 1, "bytes"),
    ];
    for (source, value, column, what) in table {
        let error = evaluated(source, value).unwrap_err();
        assert!(
            error.column == column && error.what.contains(what),
            "{source}: {error}"
        );
    }
}

proptest! {
    /// Nothing that a person may type ends the process, and what is read is evaluated.
    #[test]
    fn any_text_is_an_expression_or_an_error(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "value", "quality", "1", "2.5", "'a'", "true", "(", ")", "+", "-", "*", "/", "%", "<", "==",
                "&&", "||", "!", "?", ":", ",", "min(", "last('t')", " ", "é", "\\",
            ]),
            0..20,
        ),
        value in -1e9..1e9_f64,
    ) {
        let source = parts.concat();
        match Expression::parse(&source) {
            Ok(_) => drop(evaluated(&source, Some(Value::F64(value)))),
            Err(error) => prop_assert!((1..=source.chars().count() + 1).contains(&error.column)),
        }
    }

    /// Against the arithmetic of Rust, written with the same precedence.
    #[test]
    fn sums_and_products_are_those_of_rust(a in -1e3..1e3_f64, b in -1e3..1e3_f64, v in -1e3..1e3_f64) {
        let source = format!("({a}) + value * ({b}) - value / 3");
        prop_assert_eq!(evaluated(&source, Some(Value::F64(v))), Ok(Term::Number(a + v * b - v / 3.0)));
    }
}

#[test]
fn last_values_are_bounded_in_number_and_length() {
    let expression = Expression::parse("last(\"note\") == \"on\"").unwrap();
    let mut last = LastValues::of(expression.tags());
    let of = |device: &str, value: Value| {
        let mut reading = reading("note", Some(value));
        reading.series.device = DeviceId::new(device).unwrap();
        reading
    };
    let mut told = |device: &str, value: Value| {
        let reading = of(device, value);
        last.note(&reading);
        let scope = Scope {
            reading: &reading,
            last: &last,
        };
        expression.evaluate(&scope).map_err(|error| error.what)
    };
    let long = Value::Text("x".repeat(256 * 1024));
    let expected = "the text of tag \"note\" is longer than 1000 bytes";
    assert_eq!(told("pump", long), Err(expected.to_owned()));
    let on = || Value::Text("on".into());
    for place in 1..crate::pipeline::SERIES_MAX {
        assert_eq!(told(&format!("d{place}"), on()), Ok(Term::Truth(true)));
    }
    let expected = "tag \"note\" has no good value";
    assert_eq!(told("one more", on()), Err(expected.to_owned()));
    assert_eq!(told("pump", on()), Ok(Term::Truth(true)));
}
