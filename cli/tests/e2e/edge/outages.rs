//! What a gateway says of the time in which it did not read its devices (ADR 0012): a row of `gaps` for each of them.

use super::{MINUTE, MODBUS, head, modbus_options};
use crate::site::{Peer, Site};

/// Outages of the boiler, in order: why, and how long, in seconds.
const OUTAGES: &str = "select why, (cast(to_time as bigint) - cast(from_time as bigint)) / 1000000 from gaps \
                       where site = 'plant' and device = 'boiler-1' and state = 'final' order by from_time";
const READINGS: &str = "select count(*) from readings";

#[test]
fn a_stop_and_a_crash_are_rows_with_their_device_and_time_and_a_restart_is_none() {
    let site = Site::new();
    let modbus = Peer::start(MODBUS, &modbus_options(0));
    site.configure(&format!(
        "{}[[connector]]\nname = \"boiler\"\nkind = \"modbus\"\ndevice = \"boiler-1\"\nurl = \"tcp://127.0.0.1:{}\"\n\
         every = \"100ms\"\n[[connector.tag]]\nname = \"steam\"\nregister = \"holding\"\naddress = 0\ntype = \"u16\"\n",
        head("plant"),
        modbus.first_line
    ));
    let more = || site.until(READINGS, site.number_yet(READINGS) + 5, MINUTE);

    let running = site.run(&[]);
    more();
    running.stop();
    let running = site.run(&[]);
    more();
    running.stop();
    assert_eq!(site.rows(OUTAGES), [""; 0], "a restart is no outage");

    // The clock says that five minutes have passed.
    let running = site.run_at("+5m", &[]);
    more();
    running.kill();
    let running = site.run_at("+15m", &[]);
    more();
    running.stop();

    let found: Vec<(String, i64)> = site
        .rows(OUTAGES)
        .iter()
        .map(|row| {
            row.split_once(',')
                .map(|(why, seconds)| (why.to_owned(), seconds.parse().unwrap()))
                .unwrap()
        })
        .collect();
    let [(first, five), (second, ten)] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!((first.as_str(), second.as_str()), ("stopped", "stopped"));
    assert!(
        (300..360).contains(five),
        "the stop took five minutes and the seconds of a start: {found:?}"
    );
    assert!(
        (540..660).contains(ten),
        "the crash was ten minutes before the next start: {found:?}"
    );
    assert_eq!(site.verify().0, 0, "{:?}", site.verify());
}
