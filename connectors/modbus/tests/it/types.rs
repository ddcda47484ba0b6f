//! Every type in several orders, encoded by Python's struct and served by pymodbus.

use forebay_connectors::RuleId;
use forebay_schemas::{Quality, Status, Value};

use crate::peer::{Peer, head, served, start, tag, unit};

/// Every order of a value of so many bytes: registers in any order, their bytes swapped in all or in none.
fn orders(bytes: usize) -> Vec<String> {
    let mut words: Vec<Vec<&str>> = vec![vec![]];
    for word in ["AB", "CD", "EF", "GH"].into_iter().take(bytes / 2) {
        let insert = |(place, before): (usize, &Vec<&'static str>)| {
            let mut words = before.clone();
            words.insert(place, word);
            words
        };
        words = words
            .iter()
            .flat_map(|before| (0..=before.len()).map(move |place| (place, before)))
            .map(insert)
            .collect();
    }
    let swapped = |words: &Vec<&str>| words.iter().flat_map(|word| word.chars().rev()).collect();
    words
        .iter()
        .flat_map(|words| [words.concat(), swapped(words)])
        .collect()
}

/// Type, bytes that its order names, the value in JSON, and as it must arrive.
fn cases() -> Vec<(&'static str, usize, &'static str, Value)> {
    let text = |text: &str| Value::Text(text.to_owned());
    vec![
        ("i16", 2, "-2", Value::I64(-2)),
        ("i16", 2, "32767", Value::I64(32_767)),
        ("u16", 2, "65534", Value::U64(65_534)),
        ("i32", 4, "-123456789", Value::I64(-123_456_789)),
        ("u32", 4, "4000000001", Value::U64(4_000_000_001)),
        ("i48", 6, "-81985529216486", Value::I64(-81_985_529_216_486)),
        ("u48", 6, "281474976710654", Value::U64((1 << 48) - 2)),
        (
            "i64",
            8,
            "-9007199254740993",
            Value::I64(-9_007_199_254_740_993),
        ),
        ("u64", 8, "18446744073709551614", Value::U64(u64::MAX - 1)),
        ("sm16", 2, "-1234", Value::I64(-1234)),
        ("sm16", 2, "32767", Value::I64(32_767)),
        ("sm32", 4, "-12345678", Value::I64(-12_345_678)),
        ("f16", 2, "-0.333251953125", Value::F64(-0.333_251_953_125)),
        ("f16", 2, "6.103515625e-05", Value::F64(6.103_515_625e-5)),
        ("f32", 4, "123.4", Value::F64(f64::from(123.4_f32))),
        (
            "f64",
            8,
            "2.718281828459045",
            Value::F64(std::f64::consts::E),
        ),
        ("bcd16", 2, "1234", Value::U64(1234)),
        ("bcd32", 4, "87654321", Value::U64(87_654_321)),
        ("bit:0", 2, "true", Value::Bool(true)),
        ("bit:15", 2, "false", Value::Bool(false)),
        ("bit:9", 2, "true", Value::Bool(true)),
        ("string:5", 2, "\"Pumpe\"", text("Pumpe")),
        ("string:10", 2, "\"Öl 3 \"", text("Öl 3")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_arrives_in_every_order_from_every_table() {
    let (mut values, mut tags, mut expected) = (Vec::new(), String::new(), Vec::new());
    let mut address = 0;
    for (kind, bytes, value, arrives) in cases() {
        for order in &orders(bytes) {
            for register in ["holding", "input"] {
                let keys = format!(
                    "register = \"{register}\"; address = {address}; type = \"{kind}\"; order = \"{order}\""
                );
                tags.push_str(&tag(&format!("{kind} {order} {register} {address}"), &keys));
                values.push(served(register, address, kind, order, value));
                expected.push(arrives.clone());
            }
            // Longer than any value but the texts, and sometimes a gap.
            address += 6;
        }
    }
    for (register, address, value) in [
        ("coil", 0, true),
        ("coil", 9, false),
        ("discrete", 17, true),
        ("discrete", 16, false),
    ] {
        tags.push_str(&tag(
            &format!("{register} {address}"),
            &format!("register = \"{register}\"; address = {address}"),
        ));
        values.push(served(register, address, "bool", "", &value.to_string()));
        expected.push(Value::Bool(value));
    }
    let peer = Peer::start(0, &[unit(1, "", &values)]).await;
    let rig = start(&format!(
        "{}{tags}",
        head(peer.port, "every = \"100ms\"; timeout = \"5s\"")
    ));
    for round in 0..2 {
        let mut samples = rig.next_samples().await;
        samples.sort_by_key(|sample| sample.rule);
        assert_eq!(
            samples.len(),
            expected.len(),
            "one delivery holds the whole poll"
        );
        for (place, (sample, expected)) in samples.iter().zip(&expected).enumerate() {
            assert_eq!(
                (sample.rule, sample.status.quality),
                (RuleId(place), Quality::Good),
                "{sample:?}"
            );
            assert_eq!((sample.device.as_str(), sample.event_time), ("plc", None));
            assert_eq!(
                sample.value.as_ref(),
                Some(expected),
                "round {round}: {}",
                sample.tag
            );
        }
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_value_of_its_type_is_told_and_not_made_up() {
    let values = [
        served("holding", 0, "hex", "", "\"12a4\""),
        served("holding", 1, "hex", "", "\"41ff4200\""),
        served("holding", 3, "u16", "", "5"),
        served("holding", 10, "f32", "", "\"nan\""),
        served("holding", 12, "f64", "", "\"-inf\""),
    ];
    let peer = Peer::start(0, &[unit(1, "", &values)]).await;
    let tags = [
        tag(
            "digits",
            "register = \"holding\"; address = 0; type = \"bcd16\"",
        ),
        tag(
            "label",
            "register = \"holding\"; address = 1; type = \"string:4\"",
        ),
        tag(
            "level",
            "register = \"holding\"; address = 3; type = \"u16\"",
        ),
        tag(
            "flow",
            "register = \"holding\"; address = 10; type = \"f32\"",
        ),
        tag(
            "heat",
            "register = \"holding\"; address = 12; type = \"f64\"",
        ),
    ];
    let rig = start(&format!(
        "{}{}",
        head(peer.port, "timeout = \"5s\""),
        tags.concat()
    ));
    let samples = rig.next_samples().await;
    let [digits, label, level, flow, heat] = samples.as_slice() else {
        panic!("{samples:?}")
    };
    assert_eq!(
        (digits.value.as_ref(), digits.status.quality),
        (None, Quality::Bad)
    );
    assert_eq!(
        digits.status.reason.as_deref(),
        Some("0x12a4 is not a bcd16: a is not a decimal digit")
    );
    assert_eq!(
        (label.value.clone(), label.status.quality),
        (Some(Value::Bytes(b"A\xffB".to_vec())), Quality::Uncertain)
    );
    assert_eq!(level.value, Some(Value::U64(5)));
    assert_eq!(
        (flow.value.as_ref(), &flow.status),
        (None, &Status::bad(Some(0x7FC0_0000), "not a number"))
    );
    assert_eq!(
        (heat.value.as_ref(), &heat.status),
        (None, &Status::bad(Some(0xFFF0 << 48), "infinite"))
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_values_are_bad_and_never_a_number() {
    let values = [
        served("holding", 0, "hex", "", "\"8000\""),
        served("holding", 1, "f32", "", "-9999.9"),
        served("holding", 3, "u16", "", "7"),
    ];
    let peer = Peer::start(0, &[unit(1, "", &values)]).await;
    let tags = [
        ("level", 0, "i16", "[0x8000, 0x7FFF]"),
        ("flow", 1, "f32", "[-9999.9, \"nan\"]"),
        ("speed", 3, "u16", "[0xFFFF]"),
    ];
    let tags = tags.map(|(name, address, kind, invalid)| {
        let keys = format!(
            "register = \"holding\"; address = {address}; type = \"{kind}\"; invalid = {invalid}"
        );
        tag(name, &keys)
    });
    let rig = start(&format!(
        "{}{}",
        head(peer.port, "timeout = \"5s\""),
        tags.concat()
    ));
    let samples = rig.next_samples().await;
    let [level, flow, speed] = samples.as_slice() else {
        panic!("{samples:?}")
    };
    let bad = |bits: i64, hex: &str| {
        Status::bad(
            Some(bits),
            format!("{hex} is one of the tag's invalid values"),
        )
    };
    assert_eq!(
        (level.value.as_ref(), &level.status),
        (None, &bad(0x8000, "0x8000"))
    );
    assert_eq!(
        (flow.value.as_ref(), &flow.status),
        (None, &bad(0xC61C_3F9A, "0xC61C3F9A"))
    );
    assert_eq!(speed.value, Some(Value::U64(7)));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_are_told_apart() {
    let units: Vec<String> = [1_u8, 7, 255]
        .iter()
        .map(|id| {
            unit(
                *id,
                "",
                &[served(
                    "holding",
                    4,
                    "u16",
                    "",
                    &format!("{}", 1000 + u16::from(*id)),
                )],
            )
        })
        .collect();
    let peer = Peer::start(0, &units).await;
    let mut text = head(peer.port, "every = \"50ms\"; timeout = \"5s\"");
    for id in [1, 7, 255] {
        let keys = format!(
            "register = \"holding\"; address = 4; type = \"u16\"; unit_id = {id}; device = \"d{id}\""
        );
        text.push_str(&tag(&format!("t{id}"), &keys));
    }
    let rig = start(&text);
    for _ in 0..9 {
        for sample in rig.next_samples().await {
            let id: u64 = sample.device.as_str()[1..].parse().unwrap();
            assert_eq!(
                (sample.tag.as_str(), sample.value),
                (format!("t{id}").as_str(), Some(Value::U64(1000 + id)))
            );
        }
    }
    rig.stop().await;
}

/// The peer lets each of these last three reads.
const HELD: [u64; 6] = [7, 65_535, 0, 12_345, 8, 99];

#[tokio::test(flavor = "multi_thread")]
async fn values_held_for_three_polls_all_arrive_in_order() {
    let values = [
        served("holding", 40, "u16", "", "0"),
        served("holding", 41, "u16", "", "1"),
    ];
    let peer = Peer::start(0, &[unit(1, ", \"held\": [40]", &values)]).await;
    let tags = [
        tag(
            "first",
            "register = \"holding\"; address = 41; type = \"u16\"",
        ),
        tag(
            "held",
            "register = \"holding\"; address = 40; type = \"u16\"",
        ),
    ];
    let rig = start(&format!(
        "{}{}",
        head(peer.port, "every = \"20ms\"; timeout = \"5s\""),
        tags.concat()
    ));
    let mut distinct = Vec::new();
    while distinct.last() != HELD.last() {
        let Value::U64(value) = rig.next_good("held").await else {
            panic!("no unsigned number")
        };
        if distinct.last() != Some(&value) {
            distinct.push(value);
        }
    }
    assert_eq!(distinct, HELD);
    rig.stop().await;
}
