mod fuzzed;

use opcua::types::{Array, ByteString, ByteStringBody, ExtensionObject, NodeId};

use super::*;
use crate::types::{Field, FieldKind, Structure, StructureKind};

fn target() -> Target {
    Target {
        rule: RuleId(3),
        device: DeviceId::new("press").unwrap(),
        tag: TagName::new("force").unwrap(),
        compound: Compound::Split,
        enumeration: EnumerationForm::Number,
    }
}

fn item_value(target: &Target, data: &DataValue) -> ItemValue {
    super::item_value(target, data, &Types::default(), None)
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
    assert_eq!(overflowed.quality, Quality::Uncertain, "values are lost");
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
        ItemValue::Parts(Form::Scalar, mut samples) => samples.remove(0),
        other => panic!("{other:?}"),
    }
}

fn array<T>(values: Vec<T>) -> Vec<Sample>
where
    Variant: From<Vec<T>>,
{
    match item_value(&target(), &at(UNIX_EPOCH_TICKS, Variant::from(values))) {
        ItemValue::Parts(Form::Array(_), samples) => samples,
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
    assert_eq!(reason(at(0, Variant::Empty)), "the server sent no value");
}

/// Tag and value of each sample.
fn rows(target: &Target, value: &Variant, types: &Types) -> Vec<(String, Value)> {
    let data = at(UNIX_EPOCH_TICKS, value.clone());
    match super::item_value(target, &data, types, None) {
        ItemValue::Parts(_, samples) => samples
            .into_iter()
            .map(|sample| (sample.tag.to_string(), sample.value.unwrap()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn row(tag: &str, value: Value) -> (String, Value) {
    (tag.to_owned(), value)
}

#[test]
fn matrices_and_nested_variants_are_taken_apart() {
    let cells = [1, 2, 3, 4, 5, 6].map(Variant::Int32).to_vec();
    let kind = opcua::types::VariantScalarTypeId::Int32;
    let matrix = Variant::from(Array::new_multi(kind, cells, vec![2, 3]).unwrap());
    let found = rows(&target(), &matrix, &Types::default());
    assert_eq!(found[0], row("force[0,0]", Value::I64(1)));
    assert_eq!(found[4], row("force[1,1]", Value::I64(5)));
    let json = Target {
        compound: Compound::Json,
        ..target()
    };
    let text = Value::Text("[[1,2,3],[4,5,6]]".to_owned());
    assert_eq!(
        rows(&json, &matrix, &Types::default()),
        [row("force", text)]
    );
    let deep = |levels: usize| {
        (0..levels).fold(Variant::Int32(1), |inner, _| {
            Variant::Variant(Box::new(inner))
        })
    };
    let found = rows(&target(), &deep(3), &Types::default());
    assert_eq!(found, [row("force", Value::I64(1))]);
    assert!(reason(at(0, deep(40))).starts_with("unsupported type value of more than"));
}

fn field(name: &str, kind: FieldKind, rank: usize, is_optional: bool) -> Field {
    Field {
        name: name.into(),
        kind,
        rank,
        is_optional,
    }
}

/// A structure of each kind, by the encodings 1 (plain), 2 (optional fields) and 3 (union).
fn types() -> Types {
    let state = NodeId::new(2, 100_u32);
    let inner = NodeId::new(2, 101_u32);
    let builtin = |number| FieldKind::Builtin(number);
    let mut types = Types::default();
    let mut add = |id: NodeId, kind, fields| {
        let name = id.to_string();
        types
            .structures
            .insert(id, Structure { name, kind, fields }.into());
    };
    add(
        inner.clone(),
        StructureKind::Plain,
        vec![field("x", builtin(11), 0, false)],
    );
    add(
        NodeId::new(2, 1_u32),
        StructureKind::Plain,
        vec![
            field("speed", builtin(6), 0, false),
            field("name", builtin(12), 0, false),
            field("axes", FieldKind::Structure(inner), 1, false),
            field("state", FieldKind::Enumeration(state.clone()), 0, false),
            field("any", builtin(24), 0, false),
        ],
    );
    let optional = vec![
        field("a", builtin(1), 0, true),
        field("b", builtin(3), 0, false),
        field("c", builtin(3), 0, true),
    ];
    add(
        NodeId::new(2, 2_u32),
        StructureKind::Optional,
        optional.clone(),
    );
    add(NodeId::new(2, 3_u32), StructureKind::Union, optional);
    let names = [(0, "off".into()), (2, "running".into())];
    types
        .enumerations
        .insert(state, Enumeration(names.into()).into());
    types
}

fn structure(encoding: u32, bytes: &[u8]) -> Variant {
    let body = ByteStringBody::new(ByteString::from(bytes.to_vec()), NodeId::new(2, encoding));
    Variant::from(ExtensionObject::from_message(body))
}

/// Part 6, 5.2.6: fields one after the other; 5.2.2.4: a text after its length; 5.2.2.16: a Variant after its type.
fn plain() -> Vec<u8> {
    let mut bytes = 1500_i32.to_le_bytes().to_vec();
    bytes.extend(4_i32.to_le_bytes());
    bytes.extend(b"saw1");
    bytes.extend(2_i32.to_le_bytes());
    bytes.extend(0.5_f64.to_le_bytes());
    bytes.extend((-2.0_f64).to_le_bytes());
    bytes.extend(2_i32.to_le_bytes());
    bytes.extend([4, 7, 0]);
    bytes
}

#[test]
fn structures_become_their_fields() {
    let types = types();
    let plain = structure(1, &plain());
    let mut expected = vec![
        row("force.speed", Value::I64(1500)),
        row("force.name", Value::Text("saw1".to_owned())),
        row("force.axes[0].x", Value::F64(0.5)),
        row("force.axes[1].x", Value::F64(-2.0)),
        row("force.state", Value::I64(2)),
        row("force.any", Value::I64(7)),
    ];
    assert_eq!(rows(&target(), &plain, &types), expected);
    let named = Target {
        enumeration: EnumerationForm::NumberAndText,
        ..target()
    };
    let text = Value::Text("running".to_owned());
    expected.insert(5, row("force.state.text", text));
    assert_eq!(rows(&named, &plain, &types), expected);
    let json = Target {
        compound: Compound::Json,
        ..target()
    };
    let text = r#"{"speed":1500,"name":"saw1","axes":[{"x":0.5},{"x":-2.0}],"state":2,"any":7}"#;
    let text = Value::Text(text.to_owned());
    assert_eq!(rows(&json, &plain, &types), [row("force", text)]);
    // The mask says that c is there and a is not.
    let some = structure(2, &[2, 0, 0, 0, 8, 9]);
    assert_eq!(
        rows(&target(), &some, &types),
        [row("force.b", Value::U64(8)), row("force.c", Value::U64(9))]
    );
    let chosen = structure(3, &[1, 0, 0, 0, 1]);
    assert_eq!(
        rows(&target(), &chosen, &types),
        [row("force.a", Value::Bool(true))]
    );
}

#[test]
fn structures_that_do_not_fit_their_description_are_bad_with_the_reason() {
    let types = types();
    let reason = |value: Variant| {
        let data = at(UNIX_EPOCH_TICKS, value);
        match super::item_value(&target(), &data, &types, None) {
            ItemValue::Missing(status) => status.reason.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let whole = plain();
    for length in 0..whole.len() {
        let cut = reason(structure(1, &whole[..length]));
        assert!(cut.contains("decoding structure ns=2;i=1 failed"), "{cut}");
    }
    let long = reason(structure(1, &[whole.as_slice(), &[0]].concat()));
    assert!(long.contains("1 bytes are left over"), "{long}");
    let strange = reason(structure(9, &[]));
    assert!(
        strange.contains("the server does not describe"),
        "{strange}"
    );
    let wrong = reason(structure(3, &[9, 0, 0, 0]));
    assert!(wrong.contains("it has no field 9"), "{wrong}");
    let mut giant = 0_i32.to_le_bytes().to_vec();
    giant.extend((-1_i32).to_le_bytes());
    giant.extend(i32::MAX.to_le_bytes());
    let giant = reason(structure(1, &giant));
    assert!(giant.contains("more than 1000 elements"), "{giant}");
}

#[test]
fn definitions_that_stand_for_any_number_of_parts_are_refused_and_parts_with_bytes_are_taken() {
    let mut types = Types::default();
    let mut add = |number: u32, kind: FieldKind, count: usize| {
        let id = NodeId::new(2, number);
        let structure = Structure {
            name: id.to_string(),
            kind: StructureKind::Plain,
            fields: vec![field("x", kind, 0, false); count],
        };
        types.structures.insert(id, structure.into());
    };
    // Forty to the power of ten parts, and not one byte of them.
    let levels = 10;
    add(levels, FieldKind::Builtin(1), 0);
    for level in 0..levels {
        add(level, FieldKind::Structure(NodeId::new(2, level + 1)), 40);
    }
    add(20, FieldKind::Builtin(3), 6000);
    let json = Target {
        compound: Compound::Json,
        ..target()
    };
    let of = |encoding: u32, bytes: &[u8]| {
        let data = at(UNIX_EPOCH_TICKS, structure(encoding, bytes));
        super::item_value(&json, &data, &types, None)
    };
    match of(0, &[]) {
        ItemValue::Missing(status) => {
            let reason = status.reason.unwrap();
            assert!(reason.contains("it has too many parts"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let whole = of(20, &[7; 6000]);
    assert!(
        matches!(whole, ItemValue::Parts(Form::Scalar, _)),
        "{whole:?}"
    );
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
