//! Three foreign devices into a lake in a bucket, over Kafka: what they served is what the table holds, whoever reads it.

mod checks;
mod devices;
mod serve;

use serde_json::json;

use self::{
    checks::{
        check_aggregates, check_bad_soon, check_boiler_goes_on, check_goes_on, check_modbus,
        check_press_goes_on, check_rubbish_is_kept, check_without_broker, count,
    },
    devices::{Devices, boiler},
    serve::serve,
};
use super::{
    rig::{Link, PARTITIONS, PATIENCE, Plant, committed},
    row::Row,
};
use crate::site::{Running, until, wall_micros};

/// 2026-01-01T00:00:00Z in µs: where source times begin.
const BASE: i64 = 1_767_225_600_000_000;
const CELLS: i64 = 8;
const CELL_READINGS: i64 = 100;
const FORCES: i64 = 200;
const FORCES_EVERY_MS: i64 = 20;
const TORQUES: i64 = 20;
/// Poll interval of the Modbus connector.
const POLL_MICROS: i64 = 500_000;
/// What the Modbus peer serves, each value for three polls; the last for ever.
const HELD: [u16; 6] = [7, 65535, 0, 12345, 8, 99];
const FIVE_SECONDS: i64 = 5_000_000;

#[test]
fn what_foreign_devices_serve_stands_in_the_lake_exactly() {
    let mut devices = Devices::start();
    let plant = Plant::start(
        Link::Secure,
        "",
        "commit_interval = \"1s\"",
        &devices.connectors(),
    );
    let compactors = [plant.run_compactor(0), plant.run_compactor(1)];
    plant.until_shared();
    let edge = plant.run_edge();
    let lake = &plant.compactors[0];
    // What is published before the connector has subscribed goes nowhere.
    let subscribed = || {
        devices
            .broker
            .log()
            .contains("Sending SUBACK to forebay-test")
    };
    until(PATIENCE, subscribed).expect("the connector subscribes");
    lake.until(&count("press-3"), 2, PATIENCE);
    let mut publisher = devices.publisher();
    let mut expected = serve(&mut devices, &mut publisher);
    let all_polled = || devices.served_by_modbus().len() > HELD.len() * 3;
    until(PATIENCE, all_polled).expect("the Modbus server is polled");
    let total: usize = expected.values().map(Vec::len).sum();
    lake.until(
        "select count(*) from readings where device <> 'boiler-1'",
        total as i64,
        PATIENCE,
    );
    edge.stop();
    let polled = devices.served_by_modbus();
    lake.until(&count("boiler-1"), polled.len() as i64 - 1, PATIENCE);

    for ((device, tag), rows) in &expected {
        assert_eq!(&Row::of(lake, device, tag), rows, "{device}/{tag}");
    }
    expected.insert(
        ("boiler-1".to_owned(), "steam".to_owned()),
        check_modbus(lake, &polled),
    );
    check_aggregates(lake, &expected);
    assert_eq!(plant.partitions_in_use(PARTITIONS), PARTITIONS as usize);
    for site in &plant.compactors {
        assert!(
            committed(site) > 0,
            "both compactors commit: {}",
            site.log()
        );
    }

    // A second epoch, in which servers go away.
    let edge = plant.run_edge();
    let in_second_epoch = "select count(distinct tag) from readings where device = 'DEVICE' and quality < 2 and epoch > \
                           (select min(epoch) from readings)";
    lake.until(&in_second_epoch.replace("DEVICE", "boiler-1"), 1, PATIENCE);
    // What still holds is not stored again; what is new is.
    check_press_goes_on(lake, &mut devices.opcua, 900);
    assert_eq!(
        lake.number(&in_second_epoch.replace("DEVICE", "press-3")),
        1,
        "a restart adds what was there"
    );
    check_without_broker(lake, &mut devices, &mut publisher);
    check_rubbish_is_kept(lake, &plant);
    let Devices {
        mut opcua,
        modbus,
        broker: _broker,
        folder,
    } = devices;
    let port = modbus.first_line.parse().unwrap();
    let killed_at = wall_micros();
    modbus.kill();
    check_bad_soon(lake, "boiler-1", 1, killed_at);
    check_goes_on(lake, &mut publisher, 1001);
    check_press_goes_on(lake, &mut opcua, 1001);
    let _boiler = boiler(port, &folder.path().join("served-again"));
    check_boiler_goes_on(lake, wall_micros());
    let killed_at = wall_micros();
    opcua.kill();
    check_bad_soon(lake, "press-3", 2, killed_at);
    check_goes_on(lake, &mut publisher, 1002);
    check_boiler_goes_on(lake, wall_micros());
    edge.stop();
    compactors.into_iter().for_each(Running::stop);

    let rows = lake.number("select count(*) from readings");
    let (code, line) = lake.verify();
    assert_eq!(code, 0, "{line}");
    let seen = plant.oracle(&[]);
    assert_eq!(
        (&seen["count"], &seen["distinct"]),
        (&json!(rows), &json!(rows)),
        "{seen}"
    );
}
