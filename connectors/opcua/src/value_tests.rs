use super::*;

fn target() -> Target {
    Target {
        rule: RuleId(3),
        device: DeviceId::new("press").unwrap(),
        tag: TagName::new("force").unwrap(),
    }
}

fn at(ticks: i64, value: impl Into<Variant>) -> DataValue {
    DataValue {
        value: Some(value.into()),
        source_timestamp: Some(DateTime::from(ticks)),
        ..DataValue::null()
    }
}

#[test]
fn severity_decides_the_quality_and_the_code_is_kept() {
    let cases = [
        (0x0000_0000, Quality::Good, None, None),
        (0x00A3_0000, Quality::Good, Some(0x00A3_0000), None),
        (
            0x4090_0000,
            Quality::Uncertain,
            Some(0x4090_0000),
            Some("UncertainLastUsableValue"),
        ),
        (
            0x808B_0000,
            Quality::Bad,
            Some(0x808B_0000),
            Some("BadDeviceFailure"),
        ),
        (
            0xC000_0000,
            Quality::Bad,
            Some(0xC000_0000),
            Some("0xC0000000"),
        ),
        (
            0x80FE_0000,
            Quality::Bad,
            Some(0x80FE_0000),
            Some("0x80FE0000"),
        ),
    ];
    for (bits, quality, code, reason) in cases {
        let expected = Status {
            quality,
            code,
            reason: reason.map(str::to_owned),
        };
        assert_eq!(status(StatusCode::from(bits)), expected, "{bits:#x}");
    }
    let overflowed = status(StatusCode::from(0x0000_0480));
    assert_eq!(overflowed.quality, Quality::Good);
    assert!(overflowed.reason.unwrap().contains("queue overflowed"));
    assert_eq!(
        status(StatusCode::from(0x0000_0080)).reason,
        None,
        "the bit means overflow only for data values"
    );
}

#[test]
fn the_source_time_goes_before_the_server_time_and_impossible_times_are_none() {
    let mut data = at(UNIX_EPOCH_TICKS + 15, 1.5_f64);
    data.server_timestamp = Some(DateTime::from(UNIX_EPOCH_TICKS + 20));
    assert_eq!(event_time(&data), Some(Timestamp::from_nanos(1500)));
    data.source_timestamp = None;
    assert_eq!(event_time(&data), Some(Timestamp::from_nanos(2000)));
    data.server_timestamp = None;
    assert_eq!(event_time(&data), None);
    for ticks in [0, 1, i64::MIN, i64::MAX, i64::MAX - 1] {
        assert_eq!(event_time(&at(ticks, 1.5_f64)), None, "{ticks}");
    }
}

fn reason(data: DataValue) -> String {
    match item_value(&target(), &data) {
        ItemValue::Missing(status) => status.reason.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn scalar(data: &DataValue) -> Sample {
    match item_value(&target(), data) {
        ItemValue::Scalar(sample) => sample,
        other => panic!("{other:?}"),
    }
}

fn array<T>(values: Vec<T>) -> Vec<Sample>
where
    Variant: From<Vec<T>>,
{
    match item_value(&target(), &at(UNIX_EPOCH_TICKS, Variant::from(values))) {
        ItemValue::Elements(samples) => samples,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bad_status_carries_no_value_and_an_uncertain_one_does() {
    let mut data = at(UNIX_EPOCH_TICKS, 7_i32);
    data.status = Some(StatusCode::BadSensorFailure);
    assert_eq!(reason(data.clone()), "BadSensorFailure");
    data.status = Some(StatusCode::UncertainSubNormal);
    assert_eq!(scalar(&data).value, Some(Value::I64(7)));
}

#[test]
fn what_is_not_finite_is_bad_and_keeps_its_bits() {
    let cases: [(Variant, &str, i64); 6] = [
        (
            f32::from_bits(0x7FC0_0000).into(),
            "not a number",
            0x7FC0_0000,
        ),
        (f32::INFINITY.into(), "infinite", 0x7F80_0000),
        (f32::NEG_INFINITY.into(), "infinite", 0xFF80_0000),
        (
            f64::from_bits(0x7FF8_0000_0000_0001).into(),
            "not a number",
            0x7FF8_0000_0000_0001,
        ),
        (f64::INFINITY.into(), "infinite", 0x7FF0 << 48),
        (f64::NEG_INFINITY.into(), "infinite", 0xFFF0 << 48),
    ];
    for (value, reason, code) in cases {
        let expected = ItemValue::Missing(Status::bad(Some(code), reason));
        assert_eq!(
            item_value(&target(), &at(UNIX_EPOCH_TICKS, value)),
            expected
        );
    }
    let found = array(vec![1.5, f32::NAN]);
    assert_eq!(
        (found[0].value.as_ref(), found[0].status.quality),
        (Some(&Value::F64(1.5)), Quality::Good)
    );
    assert_eq!(
        (found[1].value.as_ref(), found[1].status.reason.as_deref()),
        (None, Some("not a number"))
    );
}

#[test]
fn a_text_ends_at_its_first_nul() {
    for (text, expected) in [
        ("VN-3\0\0-9rest!!!!", "VN-3"),
        ("\0", ""),
        ("plain", "plain"),
    ] {
        let expected = Some(Value::Text(expected.to_owned()));
        assert_eq!(scalar(&at(UNIX_EPOCH_TICKS, text)).value, expected);
        assert_eq!(
            scalar(&at(
                UNIX_EPOCH_TICKS,
                opcua::types::LocalizedText::from(text)
            ))
            .value,
            expected
        );
        assert_eq!(
            scalar(&at(
                UNIX_EPOCH_TICKS,
                opcua::types::QualifiedName::new(0, text)
            ))
            .value,
            expected
        );
    }
}

#[test]
fn arrays_become_numbered_tags_and_too_much_is_refused_with_a_reason() {
    let found = array(vec![1.5_f32, 2.5]);
    let tags: Vec<&str> = found.iter().map(|sample| sample.tag.as_str()).collect();
    assert_eq!(tags, ["force[0]", "force[1]"]);
    assert_eq!(found[0].value, Some(Value::F64(1.5)));
    assert_eq!(array(vec![0.0_f32; 1000]).len(), 1000);
    assert_eq!(
        reason(at(0, Variant::from(vec![0.0_f32; 1001]))),
        "array of 1001 elements: at most 1000 are taken"
    );
    let matrix = Array {
        value_type: opcua::types::VariantScalarTypeId::Int32,
        values: vec![Variant::Int32(1); 4],
        dimensions: Some(vec![2, 2]),
    };
    assert_eq!(
        reason(at(0, Variant::Array(Box::new(matrix)))),
        "unsupported type: array of 2 dimensions"
    );
    assert_eq!(reason(at(0, Variant::Empty)), "the server sent no value");
    let nested = Variant::Variant(Box::new(Variant::Variant(Box::new(Variant::Int32(1)))));
    assert_eq!(reason(at(0, nested)), "unsupported type nested Variant");
}

#[test]
fn a_repeat_has_the_same_source_time_value_and_status() {
    let first = at(UNIX_EPOCH_TICKS, f64::NAN);
    assert!(is_repeat(&first, &first.clone()));
    assert!(!is_repeat(&first, &at(UNIX_EPOCH_TICKS + 1, f64::NAN)));
    assert!(!is_repeat(&first, &at(UNIX_EPOCH_TICKS, 1.0_f64)));
    let bad = DataValue {
        status: Some(StatusCode::BadSensorFailure),
        ..first.clone()
    };
    assert!(!is_repeat(&first, &bad));
    let timeless = DataValue {
        source_timestamp: None,
        ..first
    };
    assert!(!is_repeat(&timeless, &timeless.clone()));
}
