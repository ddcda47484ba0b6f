//! Valid payloads with seeded damage, for every decoder: no panic, an outcome for each, in bounded time.
//!
//! `FOREBAY_MUTATIONS` sets how many payloads each decoder gets; minutes on demand.

use super::*;

/// Payloads of each seed payload and decoder: about a second for all in the dev profile.
const MUTATIONS: u32 = 10_000;

/// A generator of numbers (SplitMix64, Steele and others 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A payload with up to three kinds of damage: bytes changed, cut out, doubled, or made as large as they get.
    fn damage(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len());
            let to = (at + 1 + self.below(8)).min(bytes.len());
            match self.below(5) {
                0 if !bytes.is_empty() => bytes[at] = self.next() as u8,
                1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                2 => drop(bytes.drain(at.min(to)..to)),
                3 => bytes.extend_from_within(at.min(to)..),
                _ => bytes.splice(at..at, [0xff; 8]).for_each(drop),
            }
            bytes.truncate(4 * seed.len() + 64);
        }
        bytes
    }
}

#[test]
fn damaged_payloads_give_values_or_faults() {
    let count = std::env::var("FOREBAY_MUTATIONS").ok();
    let count = count
        .and_then(|text| text.parse().ok())
        .unwrap_or(MUTATIONS);
    let json: &[u8] =
        br#"{"ts":1700000000.5,"q":"good","u":"Cel","v":{"a":[1,-2.5e3,{"b":null}],"c":"x"}}"#;
    let cbor: &[u8] = b"\xa5\x62ts\xfb\x41\xd9\x54\xfc\x40\x20\x00\x00\x61q\x64good\x61v\xbf\x61a\x9f\x01\xf9\x3e\x00\xc2\x41\x05\xff\x61b\x5f\x42\x00\x01\xff\xff\x61w\x7f\x61x\x61y\xff\x03\x82\x1bffffffff\x20";
    let message_pack: &[u8] = b"\x85\xa2ts\xcb\x41\xd9\x54\xfc\x40\x20\x00\x00\xa1q\xa4good\xa1v\x82\xa1a\x93\x01\xca\x3f\x00\x00\x00\xc0\xa1b\xc4\x02\x00\x01\x07\xd9\x01x\xa1t\xd7\xff\x77\x35\x94\x00\x6b\x0c\x49\x6c";
    let protobuf: &[u8] = b"\x0a\x0c\x08\xec\x92\xb1\xd8\x06\x10\x80\xca\xb5\xee\x01\x18\x80\x01\x22\x02\xc3\xbc\x2a\x02\x00\xff\x30\x01\x3a\x08\x00\x00\xc0\x3f\x00\x00\x20\x40\x4a\x0c\x0a\x01a\x11\x00\x00\x00\x00\x00\x00\x12\x40\x50\x05";
    let reading = MessageType::of(&binary::descriptor_set(), "plant.Reading").unwrap();
    let selections = [
        at("$.v"),
        Selection {
            arrays: Arrays::Tags,
            quality: Some(PayloadPath::parse("$.q").unwrap()),
            unit: Some(PayloadPath::parse("$.u").unwrap()),
            ..timed("$", "$.ts", TimeForm::Unit(TimeUnit::Seconds))
        },
    ];
    let mut chance = Chance(20_261_129);
    let mut decoded = 0;
    let begun = now();
    for _ in 0..count {
        let payloads = [
            (Some(Format::Json), chance.damage(json)),
            (Some(Format::Raw), chance.damage(json)),
            (Some(Format::Cbor), chance.damage(cbor)),
            (Some(Format::MessagePack), chance.damage(message_pack)),
            (None, chance.damage(protobuf)),
        ];
        for (format, bytes) in &payloads {
            let read = match format {
                Some(format) => Payload::parse(*format, bytes),
                None => Payload::parse_message(&reading, bytes),
            };
            match read {
                Ok(payload) => {
                    decoded += 1;
                    for selection in &selections {
                        assert!(!selection.decode(&payload).is_empty(), "{bytes:?}");
                    }
                }
                Err(fault) => assert!(!fault.0.is_empty(), "{bytes:?}"),
            }
        }
    }
    // Each takes microseconds; what grows faster than its payload would not end.
    assert!(
        begun.elapsed().as_secs() < 5 + u64::from(count / 1_000),
        "took {:?}",
        begun.elapsed()
    );
    assert!(decoded > count, "a fair share is still readable: {decoded}");
}
