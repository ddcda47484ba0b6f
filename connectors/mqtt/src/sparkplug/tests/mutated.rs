//! Births, data and deaths with seeded damage: no panic, and what is remembered stays bounded.

use super::*;

/// Messages; about a second in the dev profile. `FOREBAY_MUTATIONS` sets another number.
const MUTATIONS: u32 = 20_000;

fn next(state: &mut u64) -> usize {
    // SplitMix64 (Steele and others 2014).
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as usize
}

#[test]
fn damaged_messages_never_panic() {
    let count = std::env::var("FOREBAY_MUTATIONS").ok();
    let count = count
        .and_then(|text| text.parse().ok())
        .unwrap_or(MUTATIONS);
    let settings = settings();
    let mut plant = Plant::new(&settings);
    let template = Writer::default().bytes(2, &int("rpm", 0, 3, 900).0);
    let row = Writer::default().bytes(1, &Writer::default().varint(1, 5).0);
    let table = Writer::default()
        .bytes(2, b"step")
        .varint(3, 3)
        .bytes(4, &row.0);
    let quality = Writer::default()
        .bytes(1, b"Quality")
        .bytes(2, &Writer::default().varint(1, 3).varint(3, 192).0);
    let metrics = || {
        vec![
            int("temp", 7, 3, 20).bytes(9, &quality.0),
            metric("motor", 8, 19).bytes(18, &template.0),
            metric("recipe", 9, 16).bytes(17, &table.0),
            metric("bits", 10, 32).bytes(16, &[9, 0, 0, 0, 0xa5, 0x80]),
            metric("words", 11, 33).bytes(16, b"a\0b\0"),
        ]
    };
    let seeds = [
        ("g/NBIRTH/n", node_birth(1, metrics())),
        ("g/DBIRTH/n/d", payload(1, &metrics())),
        ("g/NDATA/n", payload(2, &metrics())),
        ("g/DDATA/n/d", payload(3, &[int("", 7, 0, 5)])),
        ("g/DDEATH/n/d", payload(4, &[])),
        ("g/NDEATH/n", node_death(1)),
        (
            "STATE/forebay",
            br#"{"online":false,"timestamp":5000}"#.to_vec(),
        ),
    ];
    let mut chance = 20_261_129;
    let (mut samples, mut good) = (0, 0);
    for _ in 0..count {
        let (topic, seed) = &seeds[next(&mut chance) % seeds.len()];
        let mut bytes = seed.clone();
        for _ in 0..next(&mut chance) % 4 {
            let at = next(&mut chance) % bytes.len().max(1);
            match next(&mut chance) % 4 {
                0 if !bytes.is_empty() => bytes[at] = next(&mut chance) as u8,
                1 if !bytes.is_empty() => bytes[at] ^= 1 << (next(&mut chance) % 8),
                2 => bytes.truncate(at),
                _ => bytes.splice(at..at, [0xff; 6]).for_each(drop),
            }
        }
        for sample in plant.hear(topic, &bytes) {
            samples += 1;
            good += usize::from(sample.status.quality == Quality::Good);
        }
        plant.now += Duration::from_millis(10);
        plant.host.take_outgoing(plant.now, 0);
    }
    assert!(
        samples > count as usize && good > count as usize / 4,
        "{samples} {good}"
    );
    let files = plant.host.take_all();
    assert!(
        files.len() < 50,
        "names of nodes are not damaged: {}",
        files.len()
    );
}
