//! Alarms of an OPC UA server in the table `events`, whatever is killed.

use super::{MINUTE, OPCUA, head};
use crate::site::{Peer, Site};

/// 2026-01-01T00:00:00Z in µs.
const BASE_MICROS: i64 = 1_767_225_600_000_000;

/// A change of the condition "TooHot", so many seconds after a start.
fn change(seconds: i64, is_active: bool, is_acked: bool) -> String {
    format!(
        r#"{{"alarm": {{"condition": "TooHot", "severity": 700, "message": "TooHot at {seconds}", "us": {}, "active": {is_active},
            "acked": {is_acked}, "retain": {}}}}}"#,
        BASE_MICROS + seconds * 1_000_000,
        is_active || !is_acked
    )
    .replace('\n', " ")
}

const EVENTS: &str = "select count(*) from events";
/// The readings on which they came.
const TOLD: &str = "select count(*) from readings where tag = '_events'";

#[test]
fn each_change_of_an_alarm_is_one_row_over_a_kill_a_restart_and_a_server_that_tells_it_again() {
    let site = Site::new();
    let folder = site.path("opcua");
    std::fs::create_dir_all(&folder).unwrap();
    let options = format!(
        r#"{{"port": 0, "folder": "{}", "security": ["NoSecurity"], "nodes": [{{"id": "Press", "type": "Int64", "value": 1}}]}}"#,
        folder.display()
    );
    let mut server = Peer::start(OPCUA, &options);
    site.configure(&format!(
        "{}[[connector]]\nname = \"press\"\nkind = \"opcua\"\ndevice = \"press-3\"\nurl = \"opc.tcp://127.0.0.1:{}\"\n\
         event = [{{ severity_min = 100 }}]\n\
         [[connector.tag]]\nname = \"force\"\nnode = \"ns=2;s=Press\"\n",
        head("werk").replace("300ms", "1s"),
        server.first_line
    ));
    // A commit takes what comes within a second: what dies in it, dies with an event.
    server.ask(&change(1, true, false));
    let running = site.run(&[]);
    site.until(EVENTS, 1, MINUTE);
    running.stop();
    for (seconds, step) in [
        (2, "after_sync"),
        (3, "after_quarantine"),
        (4, "after_commit"),
    ] {
        server.ask(&change(seconds, true, true));
        let dying = site.run_with(&[], &[("FOREBAY_FAILPOINT", step)]);
        dying.dies(|| ());
        let running = site.run(&[]);
        site.until(EVENTS, seconds, MINUTE);
        running.kill();
    }
    // While nobody listens it ends, and begins again: the server reports only what holds.
    server.ask(&change(5, false, true));
    server.ask(&change(6, true, false));
    for _ in 0..2 {
        let before = site.number(TOLD);
        let running = site.run(&[]);
        site.until(TOLD, before + 1, MINUTE);
        running.stop();
    }

    let rows = site.rows(
        "select site, device, tag, job, kind, severity, cast(value as bigint), text, cast(from_time as bigint) as at, \
         attributes like '%\"active\":true%', attributes like '%\"acknowledged\":true%' from events order by from_time",
    );
    let changes = [(1, false), (2, true), (3, true), (4, true), (6, false)];
    let expected = changes.map(|(seconds, is_acked)| {
        let micros = BASE_MICROS + seconds * 1_000_000;
        format!(
            "werk,press-3,force,press,alarm,critical,700,TooHot at {seconds},{micros},true,{is_acked}"
        )
    });
    assert_eq!(rows, expected);
    // As the reference has it.
    let last = "select device, condition, severity, text, attributes like '%\"active\":true%' as active from ( \
                select *, row_number() over (partition by site, device, condition order by from_time desc, changed_at desc) as n from ( \
                select *, regexp_match(attributes, '\"condition_node\":\"([^\"]*)\"')[1] as condition from events \
                where kind = 'alarm')) where n = 1";
    assert_eq!(
        site.rows(last),
        ["press-3,ns=2;s=Press.TooHot,critical,TooHot at 6,true"]
    );
    let (code, report) = site.verify();
    assert_eq!(code, 0, "{report}");
}
