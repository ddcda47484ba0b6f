//! One gateway with every role, and each of its faults in turn: the alert is heard of by a real Alertmanager and on a broker,
//! acknowledged, and over once the cause is.

mod plant;
mod receivers;

use self::plant::Plant;

/// How far behind the clock a late device sends, in µs: more than the rule allows, less than what windows wait for.
const LATE: i64 = 60_000_000;

#[test]
fn each_fault_is_heard_of_acknowledged_and_over_when_its_cause_is() {
    let mut plant = Plant::start();
    plant.until_up();

    plant.heard_and_over(
        "window late",
        ("site", "plant"),
        |plant| {
            plant.late("mill", LATE);
            plant.until_asked(
                "select device from windows_waiting where device is not null",
                "mill",
            );
        },
        |plant| plant.late("mill", 0),
    );
    plant.heard_and_over(
        "pump silent",
        ("device", "pump"),
        |plant| plant.silence("pump"),
        |plant| plant.resume("pump"),
    );
    plant.heard_and_over(
        "job failing",
        ("job", "ratio"),
        |plant| plant.sends("mill", 5000.0),
        |plant| plant.sends("mill", 20.0),
    );
    plant.heard_and_over(
        "disk nearly full",
        ("site", "plant"),
        |plant| plant.fill_disk(),
        |plant| plant.free_disk(),
    );
    plant.heard_and_over(
        "broker away",
        ("connector", "line"),
        |plant| {
            plant.stop_broker();
            plant.until_measured("forebay_link_up{connector=\"line\"} == 0");
        },
        Plant::start_broker,
    );

    // What happened is seen where people look.
    plant.until_measured("max_over_time(forebay_alerts_firing[5m]) > 0");
    plant.until_measured("forebay_job_runs_total{exported_job=\"ratio\", state=\"failed\"} > 0");
    plant.until_asked(
        "select distinct device from readings where quality = 2 and device = 'mill'",
        "mill",
    );
    plant.every_panel_has_data();
    plant.stop();
}
