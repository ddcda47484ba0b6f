//! The views, and how fresh they are.

use std::time::Duration;

use tokio::time::Instant;

use super::fixture::{Site, TestLake, limits, reading, settings};

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_reading_of_each_series_follows_new_ones() {
    let site = Site::of_empty().await;
    assert_eq!(site.ask("quentin", "SELECT count(*) FROM latest"), "0");
    let put = async |rows: Vec<_>| site.lake.put(rows).await;
    put(vec![
        reading("quartz", "pump", 0, 1.0),
        reading("quartz", "pump", 60, 2.0),
        reading("basalt", "pump", 0, 9.0),
    ])
    .await;
    let shown = "SELECT device, event_time, value FROM latest ORDER BY device";
    let wait = |expected: &str| {
        let begun = Instant::now();
        loop {
            let said = site.ask("quentin", shown);
            if said == expected {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{said}");
        }
    };
    wait("quartz-pump|2026-05-01 00:01:00+00|2");
    // Only the new file is read: an older reading in it changes nothing, a newer one does.
    put(vec![
        reading("quartz", "pump", 30, 7.0),
        reading("quartz", "fan", 90, 3.0),
    ])
    .await;
    wait("quartz-fan|2026-05-01 00:01:30+00|3\nquartz-pump|2026-05-01 00:01:00+00|2");
    put(vec![reading("quartz", "pump", 61, 4.0)]).await;
    wait("quartz-fan|2026-05-01 00:01:30+00|3\nquartz-pump|2026-05-01 00:01:01+00|4");
    // A week after it, a series that has been silent is no longer there.
    put(vec![reading("quartz", "pump", 86_000, 5.0)]).await;
    wait("quartz-fan|2026-05-01 00:01:30+00|3\nquartz-pump|2026-05-01 23:53:20+00|5");
}

impl Site {
    /// On a lake without rows.
    async fn of_empty() -> Self {
        let lake = TestLake::new().await;
        let settings = settings(&lake, limits());
        Self::of(lake, settings).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_forecasts_are_joined_as_people_want_them() {
    let site = Site::filled().await;
    for (sql, expected) in [
        (
            "SELECT site, device, severity, state FROM alerts_now",
            "quartz|quartz-pump|warning|open",
        ),
        (
            "SELECT device, target_time, forecast, actual, error FROM forecast_vs_actual",
            "quartz-pump|2026-05-01 00:00:00+00|1234.5|1234.5|0",
        ),
        (
            "SELECT count(*) FROM forecast_vs_actual WHERE target_time > '2026-06-01'",
            "0",
        ),
        (
            "SELECT site, device, held_by, since - window_end FROM windows_waiting",
            "quartz|quartz-pump|device quartz-pump|00:00:30",
        ),
        (
            "SELECT a.site FROM ALERTS_NOW AS a JOIN latest AS l ON a.device = l.device",
            "quartz",
        ),
    ] {
        assert_eq!(site.ask("quentin", sql), expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_readings_say_how_old_they_are_and_where_that_time_went() {
    let site = Site::of_empty().await;
    let late = |device: &str| {
        let mut late = reading("quartz", device, 10, 1.0);
        late.event_time = reading("quartz", device, 7, 1.0).event_time;
        late
    };
    site.lake.put(vec![late("pump"), late("fan")]).await;
    let sql = "SELECT device, age_seconds, source_seconds, spool_seconds, stream_seconds, commit_seconds FROM latest \
               ORDER BY device";
    // What the compactor did not bring since its start has no way.
    let shown = "quartz-fan|86393|3|||\nquartz-pump|86393|3|1.5|0.25|10";
    let begun = Instant::now();
    while site.ask("quentin", sql) != shown {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{}",
            site.ask("quentin", sql)
        );
    }
}
