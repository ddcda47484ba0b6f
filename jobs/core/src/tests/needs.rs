//! What jobs still have to read, which retention must not delete.

use super::*;

const HOURLY: &str = "job = [{ name = \"hour\", kind = \"test\", on = \"window_closed\", deed = \"fail\", retries = 5, holds = \"2d\" }, \
                      { name = \"day\", kind = \"test\", schedule = \"0 6 * * *\", deed = \"fail\" }]";

impl Plant {
    /// Site, hours from and to, and why.
    async fn needs(&self) -> Vec<(Option<String>, i64, i64, String)> {
        let jobs = self.jobs(HOURLY);
        let now = self.clock()();
        let needs = needs(&jobs, &self.lake.writer, &self.database(), now).await;
        let hours = |at: Timestamp| (at.micros() - hour(0).micros()) / 3_600_000_000;
        let shown = |need: Need| {
            let site = need.site.map(|site| site.as_str().to_owned());
            (site, hours(need.from), hours(need.to), need.why)
        };
        needs.unwrap().into_iter().map(shown).collect()
    }
}

#[tokio::test]
async fn what_waits_and_what_was_not_looked_at_holds_what_it_may_read() {
    let plant = Plant::new().await;
    assert_eq!(plant.needs().await, [], "nothing has run");
    assert!(!plant.database().exists(), "asking makes no database");
    let scheduler = plant.start(HOURLY).await;
    plant.close(hour(2), 0, hour(2)).await;
    assert_eq!(plant.needs().await, [], "a new job begins with the newest");
    plant.set(hour(2));
    scheduler.step().await.unwrap();
    assert_eq!(plant.needs().await, [], "it has run");

    let site = || Some(testing::window(hour(3), HOUR).site.as_str().to_owned());
    plant.log.failures_left.store(2, Ordering::SeqCst);
    plant.close(hour(3), 0, hour(3)).await;
    plant.close(hour(4), 0, hour(4)).await;
    plant.set(hour(4));
    let not_seen = "windows that job hour has not looked at".to_owned();
    assert_eq!(plant.needs().await, [(site(), 2 - 48, 4, not_seen)]);
    scheduler.step().await.unwrap();
    let waits = "2 runs of job hour that have not ended".to_owned();
    assert_eq!(plant.needs().await, [(site(), 2 - 48, 4, waits)]);
    plant.set(hour(5));
    scheduler.step().await.unwrap();
    plant.set(at(5 * 3600 + 60));
    scheduler.step().await.unwrap();
    assert_eq!(plant.needs().await, []);

    // A run by the clock is of all sites, and holds what the key says by default.
    plant.log.failures_left.store(1, Ordering::SeqCst);
    plant.set(hour(6));
    scheduler.step().await.unwrap();
    let waits = "1 runs of job day that have not ended".to_owned();
    assert_eq!(plant.needs().await, [(None, 6 - 30 * 24, 6, waits)]);
}

#[tokio::test]
async fn a_back_fill_that_was_cut_short_holds_what_is_older_for_a_week() {
    let plant = Plant::new().await;
    drop(plant.start(HOURLY).await);
    let store = Store::open(&plant.database()).await.unwrap();
    let day = JobName::new("day").unwrap();
    store.begin_backfill(&day, 9, hour(1)).await.unwrap();
    plant.set(hour(7 * 24));
    let held = plant.needs().await;
    assert_eq!((held.len(), held[0].2), (1, 1), "{held:?}");
    plant.set(hour(7 * 24 + 1));
    assert_eq!(plant.needs().await, []);
}
