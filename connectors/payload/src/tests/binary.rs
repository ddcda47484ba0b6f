//! CBOR, MessagePack and Protobuf. The payloads were written by cbor2, msgpack and protobuf, all for Python.

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn all() -> Selection {
    Selection {
        arrays: Arrays::Tags,
        ..at("$")
    }
}

fn check_hex(format: Format, selection: &Selection, table: &[(&str, &[&str])]) {
    for (hex, expected) in table {
        assert_eq!(lines(format, selection, &bytes(hex)), *expected, "{hex}");
    }
}

#[test]
fn cbor_is_read_as_it_was_written() {
    let table: [(&str, &[&str]); 11] = [
        (
            "a661760161773901f36166fb3ff8000000000000617462c3bc6162f5616ef6",
            &[
                "b=Bool(true)",
                "f=F64(1.5)",
                "n=none Bad: null value",
                "t=Text(\"ü\")",
                "v=I64(1)",
                "w=I64(-500)",
            ],
        ),
        (
            "8b0017181818ff19010019ffff1a000100001b00000001000000001bffffffffffffffff203b7fffffffffffffff",
            &[
                "0=I64(0)",
                "1=I64(23)",
                "2=I64(24)",
                "3=I64(255)",
                "4=I64(256)",
                "5=I64(65535)",
                "6=I64(65536)",
                "7=I64(4294967296)",
                "8=U64(18446744073709551615)",
                "9=I64(-1)",
                "10=I64(-9223372036854775808)",
            ],
        ),
        (
            "85fb3ff8000000000000fb3fb999999999999afb7e37e43c8800759cf97e00f97c00",
            &[
                "0=F64(1.5)",
                "1=F64(0.1)",
                "2=F64(1e300)",
                "3=F64(NaN)",
                "4=F64(inf)",
            ],
        ),
        (
            "84f93e00f9c000f90001f97bff",
            &[
                "0=F64(1.5)",
                "1=F64(-2.0)",
                "2=F64(5.960464477539063e-8)",
                "3=F64(65504.0)",
            ],
        ),
        ("a1637261774200ff", &["raw=bytes(2)"]),
        (
            "81a3006474656d7002fb4035800000000000216875726e3a6465763a",
            &[
                "0.-2=Text(\"urn:dev:\")",
                "0.0=Text(\"temp\")",
                "0.2=F64(21.5)",
            ],
        ),
        // 2⁶⁴ and its like are bytes; a bignum of 64 bits is a number.
        (
            "83c249010000000000000000c24105c34104",
            &["0=bytes(9)", "1=I64(5)", "2=I64(-5)"],
        ),
        // Indefinite: {_ "a": [_ 1, 2], "b": (_ "x", "y")}
        (
            "bf61619f0102ff61627f61786179ffff",
            &["a.0=I64(1)", "a.1=I64(2)", "b=Text(\"xy\")"],
        ),
        // Two fields with one name: the last counts, and nothing of the first is left.
        ("a2616142000161616131", &["a=Text(\"1\")"]),
        ("f7", &["=none Bad: null value"]),
        // ["\\u{0}1", h'00']: a text that looks as what stands apart does in the tree.
        (
            "826200314100",
            &[
                "0=bytes(2) Bad: the text holds the character U+0000 and is kept as bytes",
                "1=bytes(1)",
            ],
        ),
    ];
    check_hex(Format::Cbor, &all(), &table);
    let timed = timed("$.v", "$.t", TimeForm::Text { zone: None });
    let dated = "a26174c074323032362d31312d32395431353a34393a30305a617603";
    check_hex(
        Format::Cbor,
        &timed,
        &[(dated, &["@1795967340000000000=I64(3)"])],
    );
}

#[test]
fn message_pack_is_read_as_it_was_written() {
    let table: [(&str, &[&str]); 8] = [
        (
            "86a17601a177d1fe0ca166cb3ff8000000000000a174a2c3bca162c3a16ec0",
            &[
                "b=Bool(true)",
                "f=F64(1.5)",
                "n=none Bad: null value",
                "t=Text(\"ü\")",
                "v=I64(1)",
                "w=I64(-500)",
            ],
        ),
        (
            "9f007fcc80ccffcd0100cdffffce00010000cf0000000100000000cfffffffffffffffffffe0d0dfd1ff7fd2ffff63c0d38000000000000000",
            &[
                "0=I64(0)",
                "1=I64(127)",
                "2=I64(128)",
                "3=I64(255)",
                "4=I64(256)",
                "5=I64(65535)",
                "6=I64(65536)",
                "7=I64(4294967296)",
                "8=U64(18446744073709551615)",
                "9=I64(-1)",
                "10=I64(-32)",
                "11=I64(-33)",
                "12=I64(-129)",
                "13=I64(-40000)",
                "14=I64(-9223372036854775808)",
            ],
        ),
        (
            "0101",
            &["fault: the payload is not MessagePack: there is more behind its end"],
        ),
        (
            "95cb3ff8000000000000cb3fb999999999999acb7e37e43c8800759ccb7ff8000000000000cb7ff0000000000000",
            &[
                "0=F64(1.5)",
                "1=F64(0.1)",
                "2=F64(1e300)",
                "3=F64(NaN)",
                "4=F64(inf)",
            ],
        ),
        ("81a3726177c40200ff", &["raw=bytes(2)"]),
        ("8201a161fea162", &["-2=Text(\"b\")", "1=Text(\"a\")"]),
        (
            "92d6ff6b0c496cd7ff773594006b0c496c",
            &[
                "0=Text(\"2026-11-29T15:49:00Z\")",
                "1=Text(\"2026-11-29T15:49:00.5Z\")",
            ],
        ),
        (
            "92c70cff00000005ffffffffffffffffd5056162",
            &["0=Text(\"1969-12-31T23:59:59.000000005Z\")", "1=bytes(2)"],
        ),
    ];
    check_hex(Format::MessagePack, &all(), &table);
}

#[test]
fn what_is_cut_or_lies_is_a_fault() {
    let deep = |byte: u8| vec![byte; 100_000];
    let table: [(Format, Vec<u8>, &str); 12] = [
        (
            Format::Cbor,
            Vec::new(),
            "the payload is not CBOR: it ends too early",
        ),
        (
            Format::Cbor,
            bytes("9bffffffffffffffff00"),
            "the payload is not CBOR: it ends too early",
        ),
        (
            Format::Cbor,
            bytes("5bffffffffffffffff00"),
            "the payload is not CBOR: it ends too early",
        ),
        (
            Format::Cbor,
            bytes("bbffffffffffffffff00"),
            "the payload is not CBOR: it ends too early",
        ),
        (
            Format::Cbor,
            bytes("0101"),
            "the payload is not CBOR: there is more behind its end",
        ),
        (
            Format::Cbor,
            bytes("a1f501"),
            "the payload is not CBOR: the key of a map is neither a text nor an integer",
        ),
        (
            Format::Cbor,
            bytes("1c"),
            "the payload is not CBOR: an item begins with a reserved byte",
        ),
        (
            Format::Cbor,
            deep(0xc1),
            "the payload is not CBOR: too many tags in a row",
        ),
        (
            Format::Cbor,
            deep(0x81),
            "the payload is nested more than 128 deep",
        ),
        (
            Format::MessagePack,
            deep(0x91),
            "the payload is nested more than 128 deep",
        ),
        (
            Format::MessagePack,
            bytes("ddffffffff00"),
            "the payload is not MessagePack: it ends too early",
        ),
        (
            Format::MessagePack,
            bytes("c1"),
            "the payload is not MessagePack: the byte 0xc1 is never used",
        ),
    ];
    for (format, payload, expected) in table {
        let fault = Payload::parse(format, &payload).unwrap_err();
        assert_eq!(fault.to_string(), expected, "{format:?}");
    }
}

const PROTO: &str = r#"
syntax = "proto3";
package plant;
import "google/protobuf/timestamp.proto";
enum Status { OK = 0; WARN = 1; }
message Reading {
  google.protobuf.Timestamp at = 1;
  double temp = 2;
  uint64 count = 3;
  string name = 4;
  bytes raw = 5;
  Status status = 6;
  repeated float phases = 7;
  optional int32 limit = 8;
  map<string, double> channels = 9;
  sint32 delta = 10;
}
"#;

/// The descriptor set of [`PROTO`].
pub(super) fn descriptor_set() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("reading.proto"), PROTO).unwrap();
    let set = protox::compile(["reading.proto"], [folder.path()]).unwrap();
    prost::Message::encode_to_vec(&set)
}

#[test]
fn protobuf_is_read_by_its_descriptor() {
    let reading = MessageType::of(&descriptor_set(), "plant.Reading").unwrap();
    let timed = Selection {
        arrays: Arrays::Tags,
        ..timed("$", "$.at", TimeForm::Text { zone: None })
    };
    let table: [(&Selection, &str, &[&str]); 3] = [
        (
            &timed,
            "0a0c08ec92b1d8061080cab5ee0118808080808080808080012202c3bc2a0200ff30013a080000c03f0000204040004a0c0a01611100000000000012405005",
            &[
                "channels.a@1795967340500000000=F64(4.5)",
                "count@1795967340500000000=U64(9223372036854775808)",
                "delta@1795967340500000000=I64(-3)",
                "limit@1795967340500000000=I64(0)",
                "name@1795967340500000000=Text(\"ü\")",
                "phases.0@1795967340500000000=F64(1.5)",
                "phases.1@1795967340500000000=F64(2.5)",
                "raw@1795967340500000000=bytes(2)",
                "status@1795967340500000000=Text(\"WARN\")",
                // It was not sent, for it is 0.
                "temp@1795967340500000000=F64(0.0)",
            ],
        ),
        (&at("$.status"), "3007", &["=I64(7)"]),
        (
            &at("$.limit"),
            "3007",
            &["fault: the value path $.limit finds nothing"],
        ),
    ];
    for (selection, hex, expected) in table {
        let bytes = bytes(hex);
        let payload = Payload::parse_message(&reading, &bytes).unwrap();
        let found: Vec<_> = selection.decode(&payload).iter().map(line).collect();
        assert_eq!(found, expected, "{hex}");
    }
    let fault = Payload::parse_message(&reading, &[0x0a, 0xff]).unwrap_err();
    let shown = fault.to_string();
    assert!(
        shown.starts_with("the payload is no Protobuf message plant.Reading: "),
        "{shown}"
    );
}

#[test]
fn a_wrong_descriptor_says_what_is_expected() {
    let set = descriptor_set();
    let table: [(&[u8], &str, &str); 2] = [
        (
            &set,
            "plant.Readings",
            "there is no message \"plant.Readings\" in it; it has",
        ),
        (
            b"syntax = \"proto3\";",
            "a.B",
            "it is no descriptor set, as protoc",
        ),
    ];
    for (set, name, expected) in table {
        let fault = MessageType::of(set, name).unwrap_err();
        assert!(fault.to_string().contains(expected), "{fault}");
    }
}
