//! History that is rolled up and deleted while devices are read, by a gateway that is killed at each step of it.

use std::{fs, os::unix::process::ExitStatusExt as _, time::Duration};

use super::{MINUTE, MOSQUITTO, MQTT, head, mqtt_connector, until_subscribed};
use crate::site::{Broker, Peer, SIGKILL, Site, text, wall_micros};

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;
/// How far back the imported history goes.
const DAYS: i64 = 50;
/// How long it is kept, and the tag of which less is kept.
const KEPT_DAYS: i64 = 30;
const NOISE_DAYS: i64 = 12;
const RETENTION: &str =
    "[retention]\nreadings = \"30d\"\n[[retention.rule]]\ntags = [\"noise\"]\nkeep = \"12d\"\n";

/// A reading of each tag in the middle of each hour, from that many days before the current one.
fn history(today: i64) -> (String, Vec<i64>) {
    let times: Vec<i64> = (0..DAYS * 24)
        .map(|hour| today - DAYS * DAY + hour * HOUR + HOUR / 2)
        .collect();
    let line = |(row, micros): (usize, &i64)| format!("{},{row},{row}\n", micros / 1_000_000);
    let lines: String = times.iter().enumerate().map(line).collect();
    (format!("at,flow,noise\n{lines}"), times)
}

#[test]
fn whatever_is_killed_old_rows_leave_once_and_nothing_else_does() {
    let today = wall_micros() / DAY * DAY;
    let (csv, times) = history(today);
    let before = |days: i64| {
        times
            .iter()
            .filter(|time| **time < today - days * DAY)
            .count() as i64
    };
    let (site, broker) = (Site::new(), Broker::start(MOSQUITTO));
    fs::write(site.path("history.csv"), csv).unwrap();
    let configuration = format!(
        "{}window = \"1h\"\nlateness = \"1s\"\nrollups = [\"1h\"]\n{}",
        head("werk"),
        mqtt_connector(broker.port)
    );
    site.configure(&configuration);
    let path = site.path("history.csv").display().to_string();
    let import = |environment: &[(&str, &str)]| {
        let args = [
            "import",
            &path,
            "--device",
            "pump",
            "--time",
            "at",
            "--time-format",
            "s",
        ];
        let mut import = site.command(&args);
        import.envs(environment.iter().copied()).output().unwrap()
    };
    for step in ["in_rollup", "in_windows"] {
        let killed = import(&[("FOREBAY_FAILPOINT", step)]);
        assert_eq!(
            killed.status.signal(),
            Some(SIGKILL),
            "{step}: {}",
            text(&killed.stderr)
        );
    }
    let imported = import(&[]);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    let rolled_up = "select count(*), sum(count), count(distinct time_start) from readings_1h where device = 'pump'";
    let hours = DAYS * 24;
    assert_eq!(
        site.rows(rolled_up),
        [format!("{},{},{hours}", 2 * hours, 2 * hours)]
    );

    // What stays is read while the rest is deleted; it is the same each time.
    let staying = format!(
        "select count(*), sum(value) from readings where device = 'pump' and \
         ((tag = 'flow' and event_time >= to_timestamp_micros({})) or event_time >= to_timestamp_micros({}))",
        today - KEPT_DAYS * DAY,
        today - NOISE_DAYS * DAY,
    );
    let stays = site.rows(&staying);
    let mut publisher = Peer::start(
        MQTT,
        &format!(r#"{{"port": {}, "version": 5}}"#, broker.port),
    );
    // From here on the broker keeps what is published while the gateway is dead.
    let first = site.run(&[]);
    until_subscribed(&site, &mut publisher);
    first.stop();
    site.configure(&format!("{configuration}{RETENTION}"));
    let mut sent = 0;
    let mut publish = |publisher: &mut Peer| {
        sent += 1;
        let command =
            format!(r#"{{"topic": "site/c-7/cell/volts", "first": {sent}, "last": {sent}}}"#);
        assert_eq!(publisher.ask(&command), "done");
    };
    for step in ["in_retention", "after_retention"] {
        let dying = site.run_with(&[], &[("FOREBAY_FAILPOINT", step)]);
        dying.dies(|| {
            publish(&mut publisher);
            assert_eq!(site.rows(&staying), stays, "{step}");
        });
    }
    let running = site.run(&[]);
    let left = 2 * times.len() as i64 - before(KEPT_DAYS) - before(NOISE_DAYS);
    let deleted = "select coalesce(sum(rows), 0) from deletions";
    site.until(deleted, before(KEPT_DAYS) + before(NOISE_DAYS), MINUTE);
    assert_eq!(site.rows(&staying), stays);
    publish(&mut publisher);
    site.until(
        "select count(*) from readings where device = 'c-7'",
        sent,
        Duration::from_secs(60),
    );
    running.stop();

    assert_eq!(
        site.number("select count(*) from readings where device = 'pump'"),
        left
    );
    assert_eq!(
        site.rows(
            "select split_part(rule, ', ', 2), sum(rows) from deletions group by 1 order by 2"
        ),
        [
            format!("30d,{}", before(KEPT_DAYS)),
            format!("12d,{}", before(NOISE_DAYS)),
        ],
    );
    let each = "select count(*), count(distinct value_int) from readings where device = 'c-7'";
    assert_eq!(site.rows(each), [format!("{sent},{sent}")]);
    assert_eq!(
        site.rows(rolled_up),
        [format!("{},{},{hours}", 2 * hours, 2 * hours)]
    );
    let (code, line) = site.verify();
    assert_eq!(code, 0, "{line}");
}
