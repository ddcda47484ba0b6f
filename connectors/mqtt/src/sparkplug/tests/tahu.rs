//! Templates whose members have no data types of their own, and payloads within payloads: what Eclipse Tahu sends.

use std::io::Write as _;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};

use super::*;

/// An instance of a template in a metric of this alias.
fn motor(name: &str, members: &[Writer]) -> Writer {
    let mut template = Writer::default();
    for member in members {
        template = template.bytes(2, &member.0);
    }
    let datatype = if name.is_empty() { 0 } else { 19 };
    metric(name, 5, datatype).bytes(18, &template.0)
}

#[test]
fn members_of_a_template_have_the_data_types_of_the_birth() {
    let settings = settings();
    let mut plant = Plant::new(&settings);
    let inner = Writer::default().bytes(2, &int("amps", 0, 1, 0xffff_ffff).0);
    let members = [
        int("rpm", 0, 3, 0xffff_ffff),
        metric("phases", 0, 23).bytes(16, &[0xff, 0xff]),
        metric("coil", 0, 19).bytes(18, &inner.0),
    ];
    let birth = node_birth(0, vec![motor("motor", &members)]);
    assert_eq!(
        plant.lines("g/NBIRTH/n", &birth),
        [
            "g/n motor/rpm@1000=I64(-1) now",
            "g/n motor/phases/0@1000=I64(-1) now",
            "g/n motor/coil/amps@1000=I64(-1) now",
        ]
    );
    let inner = Writer::default().bytes(2, &int("amps", 0, 0, 0xffff_fffe).0);
    let members = [
        int("rpm", 0, 0, 0xffff_fffe),
        metric("phases", 0, 0).bytes(16, &[0xfe, 0xff]),
        metric("coil", 0, 0).bytes(18, &inner.0),
    ];
    let expected = [
        "g/n motor/rpm@1000=I64(-2)",
        "g/n motor/phases/0@1000=I64(-2)",
        "g/n motor/coil/amps@1000=I64(-2)",
    ];
    let data = motor("", &members);
    let lines = plant.lines("g/NDATA/n", &payload(1, std::slice::from_ref(&data)));
    assert_eq!(lines, expected);
    let mut plant = plant.restarted(&settings);
    let lines = plant.lines("g/NDATA/n", &payload(2, &[data]));
    assert_eq!(lines, expected, "they outlive a restart");
}

/// A payload in the body of another one.
fn within(seq: u64, body: &[u8], algorithm: Option<&str>) -> Vec<u8> {
    let metrics: Vec<Writer> = algorithm
        .iter()
        .map(|algorithm| metric("algorithm", 0, 12).bytes(15, algorithm.as_bytes()))
        .collect();
    let mut outer = payload(seq, &metrics);
    let rest = Writer::default()
        .bytes(4, b"SPBV1.0_COMPRESSED")
        .bytes(5, body);
    outer.extend(rest.0);
    outer
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_payloads_are_read_and_bounded() {
    let settings = settings();
    let mut plant = Plant::new(&settings);
    let birth = node_birth(0, vec![int("temp", 7, 3, 1)]);
    let birth = within(0, &zlib(&birth), None);
    assert_eq!(
        plant.lines("g/NBIRTH/n", &birth),
        ["g/n temp@1000=I64(1) now"]
    );
    let data = payload(99, &[int("", 7, 0, 2)]);
    for (seq, body, algorithm) in [
        (1, zlib(&data), Some("DEFLATE")),
        (2, gzip(&data), Some("GZIP")),
    ] {
        let lines = plant.lines("g/NDATA/n", &within(seq, &body, algorithm));
        assert_eq!(lines, ["g/n temp@1000=I64(2)"], "{algorithm:?}");
    }
    let bomb = zlib(&vec![0; 100_001]);
    for (body, algorithm, expected) in [
        (
            &data,
            Some("LZ4"),
            "the payload is compressed by \"LZ4\": DEFLATE and GZIP are known",
        ),
        (&data, None, "the compressed payload cannot be read"),
        (
            &bomb,
            None,
            "the compressed payload holds more than max_payload (100000) bytes",
        ),
        (
            &zlib(b"{}"),
            None,
            "what the compressed payload holds is not Sparkplug B",
        ),
    ] {
        let message = within(3, body, algorithm);
        let lines = plant.lines("g/NDATA/n", &message);
        let kept = format!("g/n payload=bytes({}) Bad: {expected}", message.len());
        assert!(lines[0].starts_with(&kept) && lines.len() == 1, "{lines:?}");
    }
    let bodiless = Writer::default().bytes(4, b"SPBV1.0_COMPRESSED").0;
    let lines = plant.lines("g/NDATA/n", &bodiless);
    assert!(
        lines[0].ends_with("the compressed payload has no body"),
        "{lines:?}"
    );
}
