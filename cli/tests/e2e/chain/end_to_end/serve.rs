//! What the devices say, and what the table has to hold of it.

use std::collections::BTreeMap;

use serde_json::json;

use super::{BASE, CELL_READINGS, CELLS, FORCES, FORCES_EVERY_MS, TORQUES, devices::Devices};
use crate::{chain::row::Row, site::Peer};

/// One tag whose type changes with nearly every message: as written in the payload, and as it has to be stored.
fn changing() -> Vec<(&'static str, Row)> {
    let table: [(&str, Option<f64>, [&str; 3]); 16] = [
        ("20.5", Some(20.5), ["", "", "f64"]),
        ("21", Some(21.0), ["21", "", "i64"]),
        (r#""wärmer""#, None, ["", "wärmer", "text"]),
        ("true", Some(1.0), ["", "", "bool"]),
        ("false", Some(0.0), ["", "", "bool"]),
        (
            "9007199254740993",
            Some(9_007_199_254_740_992.0),
            ["9007199254740993", "", "i64"],
        ),
        (
            "-9007199254740993",
            Some(-9_007_199_254_740_992.0),
            ["-9007199254740993", "", "i64"],
        ),
        (
            r#""9007199254740993""#,
            None,
            ["", "9007199254740993", "text"],
        ),
        (
            "9223372036854775807",
            Some(9_223_372_036_854_775_807.0),
            ["9223372036854775807", "", "i64"],
        ),
        (
            "9223372036854775808",
            Some(9_223_372_036_854_775_808.0),
            ["", "9223372036854775808", "u64"],
        ),
        (
            "18446744073709551615",
            Some(18_446_744_073_709_551_615.0),
            ["", "18446744073709551615", "u64"],
        ),
        (
            "-9223372036854775808",
            Some(-9_223_372_036_854_775_808.0),
            ["-9223372036854775808", "", "i64"],
        ),
        // Numbers that are off by one in the last place where digits are read in haste.
        (
            "51.248178375505404",
            Some(51.248_178_375_505_404),
            ["", "", "f64"],
        ),
        (
            "2.0030397744267762e-253",
            Some(2.003_039_774_426_776_2e-253),
            ["", "", "f64"],
        ),
        ("5e-324", Some(5e-324), ["", "", "f64"]),
        ("20.5", Some(20.5), ["", "", "f64"]),
    ];
    let row =
        |(i, (payload, number, exact))| (payload, Row::new(number, exact, "V", 0, BASE + i as i64));
    table.into_iter().enumerate().map(row).collect()
}

pub(super) fn publish(publisher: &mut Peer, device: &str, tag: &str, readings: &[(String, i64)]) {
    let payloads: Vec<String> = readings
        .iter()
        .map(|(value, at)| format!("{{\"v\": {value}, \"ts\": {at}}}"))
        .collect();
    let command = json!({"topic": format!("site/{device}/cell/{tag}"), "payloads": payloads});
    assert_eq!(publisher.ask(&command.to_string()), "done");
}

/// Serves everything, and says what the table has to hold of each series.
pub(super) fn serve(
    devices: &mut Devices,
    publisher: &mut Peer,
) -> BTreeMap<(String, String), Vec<Row>> {
    let mut served = BTreeMap::new();
    for cell in 1..=CELLS {
        let device = format!("c-{cell}");
        let readings: Vec<(i64, i64)> = (1..=CELL_READINGS)
            .map(|n| (n * cell, BASE + n * 250_000 + cell))
            .collect();
        let written: Vec<_> = readings
            .iter()
            .map(|(value, at)| (value.to_string(), *at))
            .collect();
        publish(publisher, &device, "volts", &written);
        let rows = readings
            .iter()
            .map(|(value, at)| Row::integer(*value, "V", *at))
            .collect();
        served.insert((device, "volts".to_owned()), rows);
    }
    let changing = changing();
    let written: Vec<_> = changing
        .iter()
        .map(|(payload, row)| ((*payload).to_owned(), row.event_time))
        .collect();
    publish(publisher, "c-1", "state", &written);
    served.insert(
        ("c-1".to_owned(), "state".to_owned()),
        changing.into_iter().map(|(_, row)| row).collect(),
    );

    let sequence = json!({"sequence": ["Force"], "start": 1, "count": FORCES, "every_ms": FORCES_EVERY_MS, "base_us": BASE});
    assert_eq!(devices.opcua.ask(&sequence.to_string()), "\"ok\"");
    let mut forces = vec![Row::integer(-1, "N", BASE - 1_000_000)];
    forces.extend((1..=FORCES).map(|n| Row::integer(n, "N", BASE + n * FORCES_EVERY_MS * 1000)));
    served.insert(("press-3".to_owned(), "force".to_owned()), forces);

    let torque = |value, quality, at| Row::new(Some(value), ["", "", "f64"], "N.m", quality, at);
    let mut torques = vec![torque(0.0, 0, BASE - 1_000_000)];
    for n in 1..=TORQUES {
        // Every fifth value is uncertain.
        let (value, quality, at) = (n as f64 / 8.0, u8::from(n % 5 == 0), BASE + n * 1_000_000);
        let status = u32::from(quality) << 30;
        let write = json!({"write": [["Torque", "Double", value, status, at, null]]});
        assert_eq!(devices.opcua.ask(&write.to_string()), "\"ok\"");
        torques.push(torque(value, quality, at));
    }
    served.insert(("press-3".to_owned(), "torque".to_owned()), torques);
    served
}
