//! What has to be seen in the lake.

use std::collections::BTreeMap;

use serde_json::json;

use super::{BASE, CELLS, FIVE_SECONDS, HELD, POLL_MICROS, devices::Devices, serve::publish};
use crate::{
    chain::{
        rig::{PATIENCE, Plant, TOPIC},
        row::Row,
    },
    site::{Broker, Peer, Site, until, wall_micros},
};

/// The rows of the Modbus tag, held against what the server says that it served and when.
pub(super) fn check_modbus(site: &Site, served: &[(u16, i64)]) -> Vec<Row> {
    let rows = Row::of(site, "boiler-1", "steam");
    // A read under way when the edge was stopped was answered and is not in the lake.
    assert!(
        rows.len() == served.len() || rows.len() + 1 == served.len(),
        "{} of {}",
        rows.len(),
        served.len()
    );
    for (row, (value, at)) in rows.iter().zip(served) {
        let exact = [&value.to_string(), "", "u64"];
        assert_eq!(
            row,
            &Row::new(Some(f64::from(*value)), exact, "Cel", 0, row.event_time)
        );
        assert!(
            (row.event_time - at).abs() <= POLL_MICROS,
            "{value} was served at {at}, event time {}",
            row.event_time
        );
    }
    let values: Vec<u16> = served.iter().map(|(value, _)| *value).collect();
    let held: Vec<u16> = HELD.iter().flat_map(|value| [*value; 3]).collect();
    assert!(rows.len() >= held.len(), "all values were read: {rows:?}");
    assert_eq!(
        values[..held.len()],
        held,
        "each value is held for three polls"
    );
    rows
}

/// The query of the README's kind, against what is computed from the input.
pub(super) fn check_aggregates(site: &Site, expected: &BTreeMap<(String, String), Vec<Row>>) {
    let mut answered = BTreeMap::new();
    for row in site.rows("select device, tag, count(*), avg(value) from readings group by 1,2") {
        let fields: Vec<&str> = row.split(',').collect();
        let [device, tag, count, average] = fields[..] else {
            panic!("a row is {row}")
        };
        let found = (
            count.parse::<usize>().unwrap(),
            average.parse::<f64>().unwrap(),
        );
        assert!(
            answered
                .insert((device.to_owned(), tag.to_owned()), found)
                .is_none(),
            "{device}/{tag} comes twice"
        );
    }
    assert_eq!(
        answered.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (series, rows) in expected {
        let numbers: Vec<f64> = rows.iter().filter_map(|row| row.number).collect();
        let average = numbers.iter().sum::<f64>() / numbers.len() as f64;
        let (count, found) = answered[series];
        assert_eq!(count, rows.len(), "{series:?}");
        // The engine may add in another order.
        let scale = numbers
            .iter()
            .fold(f64::MIN_POSITIVE, |most, number| most.max(number.abs()));
        assert!(
            (found - average).abs() <= scale * 1e-15,
            "{series:?}: {found} instead of {average}"
        );
    }
}

pub(super) fn count(device: &str) -> String {
    format!("select count(*) from readings where device = '{device}'")
}

/// Each of the tags gets a bad reading without a value within five seconds.
pub(super) fn check_bad_soon(site: &Site, device: &str, tags: i64, killed_at: i64) {
    let bad = format!(
        "select count(distinct tag) from readings where device = '{device}' and quality = 2 and value is null \
         and value_type is null and cast(observed_time as bigint) >= {killed_at}"
    );
    site.until(&bad, tags, PATIENCE);
    let soon = format!(
        "{bad} and cast(observed_time as bigint) <= {}",
        killed_at + FIVE_SECONDS
    );
    assert_eq!(
        site.number(&soon),
        tags,
        "{device}: within five seconds of the kill"
    );
}

/// A message after all others goes through.
pub(super) fn check_goes_on(site: &Site, publisher: &mut Peer, value: i64) {
    publish(
        publisher,
        "c-2",
        "volts",
        &[(value.to_string(), BASE + value)],
    );
    site.until(
        &format!("{} and tag = 'volts' and value_int = {value}", count("c-2")),
        1,
        PATIENCE,
    );
}

/// What the press writes after all else comes through.
pub(super) fn check_press_goes_on(site: &Site, opcua: &mut Peer, value: i64) {
    let write = json!({"write": [["Force", "Int64", value, 0, BASE + value, null]]});
    assert_eq!(opcua.ask(&write.to_string()), "\"ok\"");
    site.until(
        &format!(
            "{} and value_int = {value} and quality = 0",
            count("press-3")
        ),
        1,
        PATIENCE,
    );
}

/// The boiler is read and its values come through, after this time too.
pub(super) fn check_boiler_goes_on(site: &Site, after: i64) {
    let good = format!(
        "{} and quality = 0 and cast(observed_time as bigint) > {after}",
        count("boiler-1")
    );
    site.until(&good, 1, PATIENCE);
}

/// Without its broker all tags of all cells are bad soon, and the other devices go on; with it all is as before.
pub(super) fn check_without_broker(site: &Site, devices: &mut Devices, publisher: &mut Peer) {
    let cells: Vec<String> = (1..=CELLS).map(|cell| format!("c-{cell}")).collect();
    let heard = [("901".to_owned(), BASE + 901)];
    publish(publisher, "c-1", "state", &heard);
    for cell in &cells {
        publish(publisher, cell, "volts", &heard);
    }
    site.until(
        "select count(*) from readings where device like 'c-%' and value_int = 901",
        CELLS + 1,
        PATIENCE,
    );
    let subscriptions = |broker: &Broker| {
        broker
            .log()
            .matches("Sending SUBACK to forebay-test")
            .count()
    };
    let before = subscriptions(&devices.broker);
    let stopped_at = wall_micros();
    devices.broker.stop();
    for cell in &cells {
        check_bad_soon(site, cell, if cell == "c-1" { 2 } else { 1 }, stopped_at);
    }
    check_press_goes_on(site, &mut devices.opcua, 902);
    check_boiler_goes_on(site, wall_micros());
    assert!(devices.broker.run(), "the broker is up again");
    until(PATIENCE, || subscriptions(&devices.broker) > before)
        .expect("the connector subscribes again");
    check_goes_on(site, publisher, 903);
}

/// A record that nobody can read goes to quarantine, with its place in the topic.
pub(super) fn check_rubbish_is_kept(site: &Site, plant: &Plant) {
    let at = plant.produce(1, b"\xff\xff rubbish");
    let kept = format!(
        "select count(*) from quarantine where why = 'not a protobuf message' and \"offset\" = {at} \
         and source like 'kafka/%/{TOPIC}, partition 1' and encode(raw, 'hex') = 'ffff2072756262697368'"
    );
    site.until(&kept, 1, PATIENCE);
}
