use forebay_fuzz::{corpus, fuzz};
use proptest::prelude::*;

use super::*;

/// The registers of a value's big-endian bytes, sent in this order: written from the meaning of `order`, not from the
/// decoder.
fn sent(bytes: &[u8], letters: &str) -> Vec<u16> {
    let wire: Vec<u8> = letters
        .bytes()
        .map(|letter| bytes[usize::from(letter - b'A')])
        .collect();
    wire.chunks(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect()
}

fn layout(kind: &str, letters: &str) -> Layout {
    let kind = ValueKind::parse(kind).unwrap();
    Layout {
        kind,
        order: Order::parse(letters, kind.ordered_bytes()).unwrap(),
        invalid: Vec::new(),
    }
}

fn value(kind: &str, letters: &str, bytes: &[u8]) -> Option<Value> {
    let layout = layout(kind, letters);
    assert_eq!(usize::from(layout.addresses()) * 2, bytes.len());
    layout.decode(&sent(bytes, letters)).value
}

#[test]
fn known_bytes_give_known_values() {
    assert_eq!(
        layout("f32", "CDAB").decode(&[0xcccd, 0x42f6]).value,
        Some(Value::F64(f64::from(123.4_f32)))
    );
    assert_eq!(value("i16", "BA", &[0xff, 0xfe]), Some(Value::I64(-2)));
    assert_eq!(
        value("u64", "HGFEDCBA", &[0xff; 8]),
        Some(Value::U64(u64::MAX))
    );
    assert_eq!(
        value("bcd32", "CDAB", &[0x12, 0x34, 0x56, 0x78]),
        Some(Value::U64(12_345_678))
    );
    assert_eq!(value("bit:9", "AB", &[0x02, 0]), Some(Value::Bool(true)));
    assert_eq!(value("bit:9", "BA", &[0, 0x02]), Some(Value::Bool(false)));
    for (bits, expected) in [
        (0x3c00_u16, 1.0),
        (0xc000, -2.0),
        (0x7bff, 65_504.0),
        (0x0001, 5.960_464_477_539_063e-8),
        (0x3555, 0.333_251_953_125),
    ] {
        assert_eq!(
            value("f16", "AB", &bits.to_be_bytes()),
            Some(Value::F64(expected))
        );
    }
}

#[test]
fn what_is_not_finite_is_bad_and_keeps_its_bits() {
    const NAN: &str = "not a number";
    const INFINITE: &str = "infinite";
    let cases: [(&str, &[u8], &str); 9] = [
        ("f16", &[0x7e, 1], NAN),
        ("f16", &[0x7c, 0], INFINITE),
        ("f16", &[0xfc, 0], INFINITE),
        ("f32", &[0x7f, 0xc0, 0, 0], NAN),
        ("f32", &[0x7f, 0x80, 0, 0], INFINITE),
        ("f32", &[0xff, 0x80, 0, 0], INFINITE),
        ("f64", &[0x7f, 0xf8, 0, 0, 0, 0, 0, 1], NAN),
        ("f64", &[0x7f, 0xf0, 0, 0, 0, 0, 0, 0], INFINITE),
        ("f64", &[0xff, 0xf0, 0, 0, 0, 0, 0, 0], INFINITE),
    ];
    for (kind, bytes, reason) in cases {
        let raw = bytes
            .iter()
            .fold(0_u64, |raw, byte| raw << 8 | u64::from(*byte));
        // Whatever the order on the wire, the code is that of the number.
        let letters: String = "ABCDEFGH"[..bytes.len()].chars().rev().collect();
        let decoded = layout(kind, &letters).decode(&sent(bytes, &letters));
        assert_eq!(
            decoded,
            Decoded {
                value: None,
                status: Status::bad(Some(raw.cast_signed()), reason)
            },
            "{kind}"
        );
    }
}

#[test]
fn an_invalid_value_is_bad_and_keeps_its_bits() {
    let sentinels = [0x8000, -9999, 0xffff_ffff, i64::MIN].map(Sentinel::Integer);
    let sentinels = [&sentinels[..], &[Sentinel::Float(-99.9), Sentinel::Nan]].concat();
    let cases: [(&str, &[u8], Option<Value>); 14] = [
        ("i16", &[0x80, 0], None),
        ("i16", &[0x7f, 0xff], Some(Value::I64(0x7fff))),
        ("u16", &[0x80, 0], None),
        ("u16", &[0xd8, 0xf1], Some(Value::U64(0xd8f1))),
        ("i16", &[0xd8, 0xf1], None),
        ("sm16", &[0x80, 0], None),
        ("u32", &[0xff; 4], None),
        ("i32", &[0, 0, 0x80, 0], None),
        ("i64", &[0x80, 0, 0, 0, 0, 0, 0, 0], None),
        ("f32", &(-99.9_f32).to_be_bytes(), None),
        ("f32", &(-9999_f32).to_be_bytes(), None),
        ("f32", &(32_768_f32).to_be_bytes(), None),
        (
            "f32",
            &0x8000_u32.to_be_bytes(),
            Some(Value::F64(4.591_774_807_899_561e-41)),
        ),
        ("u48", &[0x80; 6], Some(Value::U64(0x8080_8080_8080))),
    ];
    for (kind, bytes, expected) in cases {
        let letters = &"ABCDEFGH"[..bytes.len()];
        let layout = Layout {
            invalid: sentinels.clone(),
            ..layout(kind, letters)
        };
        let decoded = layout.decode(&sent(bytes, letters));
        assert_eq!(decoded.value, expected, "{kind} {bytes:x?}");
        assert_eq!(decoded.status.quality == Quality::Bad, expected.is_none());
    }
    let layout = Layout {
        invalid: vec![Sentinel::Integer(-32_768)],
        ..layout("i16", "BA")
    };
    let status = Status::bad(Some(0x8000), "0x8000 is one of the tag's invalid values");
    assert_eq!(
        layout.decode(&[0x0080]),
        Decoded {
            value: None,
            status
        }
    );
}

#[test]
fn a_nibble_above_nine_is_bad_and_says_why() {
    let decoded = layout("bcd16", "AB").decode(&[0x12a4]);
    assert_eq!(
        decoded,
        Decoded::bad("0x12a4 is not a bcd16: a is not a decimal digit")
    );
    assert_eq!(
        layout("bcd16", "AB").decode(&[0x9999]).value,
        Some(Value::U64(9999))
    );
}

#[test]
fn texts_end_at_their_first_nul_and_keep_what_is_no_text() {
    let decode = |kind: &str, letters: &str, bytes: &[u8]| {
        let layout = layout(kind, letters);
        let words: Vec<u16> = bytes
            .chunks(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect();
        layout.decode(&words)
    };
    assert_eq!(
        decode("string:6", "AB", b"ab c \0").value,
        Some(Value::Text("ab c".into()))
    );
    assert_eq!(
        decode("string:6", "BA", b"ba c\0\0").value,
        Some(Value::Text("abc".into()))
    );
    assert_eq!(
        decode("string:3", "AB", b"abcX").value,
        Some(Value::Text("abc".into()))
    );
    assert_eq!(
        decode("string:2", "AB", b"\0\0").value,
        Some(Value::Text(String::new()))
    );
    assert_eq!(
        decode("string:16", "AB", b"VN-3\0\0-9rest!!!!").value,
        Some(Value::Text("VN-3".into()))
    );
    assert_eq!(
        decode("string:4", "AB", b"a \0\xff").value,
        Some(Value::Text("a".into()))
    );
    let odd = decode("string:4", "AB", b"a\xff \0");
    assert_eq!(odd.value, Some(Value::Bytes(b"a\xff ".to_vec())));
    assert_eq!(
        (odd.status.quality, odd.status.reason.as_deref()),
        (Quality::Uncertain, Some("not UTF-8 from byte 1 on"))
    );
}

#[test]
fn wrong_types_and_orders_are_told_with_right_ones() {
    for (text, part) in [
        ("float32", "the types are bool, i16, u16,"),
        ("bit:16", "\"bit:0\" (lowest) to \"bit:15\""),
        ("bit:-1", "\"bit:15\""),
        ("string:0", "1 to 250 bytes"),
        ("string:251", "such as \"string:16\""),
        ("", "is not a type"),
    ] {
        let error = ValueKind::parse(text).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    for (text, bytes) in [
        ("AB", 4),
        ("ABCC", 4),
        ("abcd", 4),
        ("ABCDE", 4),
        ("", 2),
        ("ÄB", 2),
        ("ABCDEFGI", 8),
        ("BACD", 4),
        ("BCAD", 4),
        ("ACBD", 4),
        ("BADCEFGH", 8),
        ("ABCDEFGH", 6),
        ("BADCEF", 6),
    ] {
        let error = Order::parse(text, bytes).unwrap_err();
        let example = error.split('"').nth(3).unwrap();
        assert!(
            Order::parse(example, bytes).is_ok(),
            "the example in {error} is wrong too"
        );
    }
    for (name, kind) in PLAIN {
        assert_eq!(ValueKind::parse(&kind.name()), Ok(kind), "{name}");
    }
}

/// Registers of so many bytes in any order, the bytes of each swapped or not.
fn letters(bytes: usize) -> impl Strategy<Value = String> {
    let words: Vec<&str> = ["AB", "CD", "EF", "GH"]
        .into_iter()
        .take(bytes / 2)
        .collect();
    (Just(words).prop_shuffle(), any::<bool>()).prop_map(|(words, swapped)| {
        let word = |word: &str| {
            if swapped {
                word.chars().rev().collect()
            } else {
                word.to_owned()
            }
        };
        words.into_iter().map(word).collect::<String>()
    })
}

/// f64 to binary16, for values that are binary16 exactly.
fn to_f16(value: f64) -> u16 {
    let sign = u16::from(value.is_sign_negative()) << 15;
    let value = value.abs();
    if value < 2_f64.powi(-14) {
        return sign | (value * 2_f64.powi(24)) as u16;
    }
    let exponent = (value.to_bits() >> 52) as i32 - 1023;
    let fraction = (value / 2_f64.powi(exponent) - 1.0) * 1024.0;
    sign | ((exponent + 15) as u16) << 10 | fraction as u16
}

#[test]
fn every_half_comes_back() {
    for bits in 0..=u16::MAX {
        match value("f16", "AB", &bits.to_be_bytes()) {
            Some(Value::F64(half)) => assert_eq!(to_f16(half), bits, "{half}"),
            other => assert_eq!((other, bits & 0x7c00), (None, 0x7c00), "{bits:#x}"),
        }
    }
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        two in letters(2), four in letters(4), six in letters(6), eight in letters(8),
        i in any::<i64>(), u in any::<u64>(), f in any::<f64>(), bit in 0..16_u8,
    ) {
        prop_assert_eq!(value("i16", &two, &(i as i16).to_be_bytes()), Some(Value::I64(i64::from(i as i16))));
        prop_assert_eq!(value("u16", &two, &(u as u16).to_be_bytes()), Some(Value::U64(u64::from(u as u16))));
        prop_assert_eq!(value("i32", &four, &(i as i32).to_be_bytes()), Some(Value::I64(i64::from(i as i32))));
        prop_assert_eq!(value("u32", &four, &(u as u32).to_be_bytes()), Some(Value::U64(u64::from(u as u32))));
        let low = |bytes: [u8; 8]| bytes[2..].to_vec();
        prop_assert_eq!(value("i48", &six, &low((i >> 16).to_be_bytes())), Some(Value::I64(i >> 16)));
        prop_assert_eq!(value("u48", &six, &low((u >> 16).to_be_bytes())), Some(Value::U64(u >> 16)));
        let magnitude = i64::from(i as i16).max(-32_767);
        let coded = magnitude.unsigned_abs() as u16 | u16::from(magnitude < 0) << 15;
        prop_assert_eq!(value("sm16", &two, &coded.to_be_bytes()), Some(Value::I64(magnitude)));
        let magnitude = i64::from(i as i32).max(-0x7fff_ffff);
        let coded = magnitude.unsigned_abs() as u32 | u32::from(magnitude < 0) << 31;
        prop_assert_eq!(value("sm32", &four, &coded.to_be_bytes()), Some(Value::I64(magnitude)));
        prop_assert_eq!(value("i64", &eight, &i.to_be_bytes()), Some(Value::I64(i)));
        prop_assert_eq!(value("u64", &eight, &u.to_be_bytes()), Some(Value::U64(u)));
        let single = Some(f64::from(f as f32)).filter(|single| single.is_finite());
        prop_assert_eq!(value("f32", &four, &(f as f32).to_be_bytes()), single.map(Value::F64));
        prop_assert_eq!(value("f64", &eight, &f.to_be_bytes()), Some(Value::F64(f)));
        let set = value(&format!("bit:{bit}"), &two, &(u as u16).to_be_bytes());
        prop_assert_eq!(set, Some(Value::Bool(u & 1 << bit != 0)));
        let small: String = format!("{:04}", u % 10_000);
        let coded = u16::from_str_radix(&small, 16).unwrap();
        prop_assert_eq!(value("bcd16", &two, &coded.to_be_bytes()), Some(Value::U64(u % 10_000)));
        let large: String = format!("{:08}", u % 100_000_000);
        let coded = u32::from_str_radix(&large, 16).unwrap();
        prop_assert_eq!(value("bcd32", &four, &coded.to_be_bytes()), Some(Value::U64(u % 100_000_000)));
    }

    #[test]
    fn texts_come_back(text in "[a-zA-Zäöü0-9 ]{0,20}x", swapped in any::<bool>()) {
        let mut bytes = text.clone().into_bytes();
        let len = bytes.len() + 3;
        bytes.resize(len.next_multiple_of(2), b' ');
        if swapped {
            bytes.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        }
        let words: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        let layout = layout(&format!("string:{len}"), if swapped { "BA" } else { "AB" });
        prop_assert_eq!(layout.decode(&words).value, Some(Value::Text(text)));
    }

    #[test]
    fn rubbish_never_panics(kind in prop::sample::select(PLAIN.to_vec()), words in prop::collection::vec(any::<u16>(), 0..9)) {
        let layout = Layout { kind: kind.1, order: Order::big_endian(kind.1.ordered_bytes()), invalid: Vec::new() };
        let _decoded = layout.decode(&words);
    }
}

/// Registers of each type and in each order: a value, or bad with a reason.
#[test]
fn fuzz_values() {
    let texts = [1, 7, 18].map(|bytes| (ValueKind::Text(bytes), vec!["AB", "BA"]));
    let numbers = PLAIN.map(|(_, kind)| {
        let orders = match kind.ordered_bytes() {
            2 => vec!["AB", "BA"],
            4 => vec!["ABCD", "CDAB", "BADC", "DCBA"],
            6 => vec!["ABCDEF", "EFCDAB", "FEDCBA"],
            8 => vec!["ABCDEFGH", "GHEFCDAB", "HGFEDCBA"],
            _ => Vec::new(),
        };
        (kind, orders)
    });
    let mut layouts = Vec::new();
    for (kind, orders) in texts.into_iter().chain(numbers) {
        for letters in orders {
            layouts.push(layout(&kind.name(), letters));
        }
    }
    fuzz(corpus!("values"), move |bytes| {
        let words: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect();
        let mut kinds = Vec::new();
        for layout in &layouts {
            let Some(own) = words.get(..usize::from(layout.addresses())) else {
                continue;
            };
            let Decoded { value, status } = layout.decode(own);
            assert_eq!(value.is_none(), status.quality == Quality::Bad);
            assert_eq!(status == Status::GOOD, status.reason.is_none());
            kinds.push(status.reason);
        }
        kinds
    });
}
