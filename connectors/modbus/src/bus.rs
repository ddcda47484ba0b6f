//! A connection that the connectors of this process share, one for each address and its settings.
//!
//! A serial line can be open once, and many gateways serve one or two connections; a device with a template is a connector,
//! so several of them are on one bus. Requests go one at a time, in the order in which they were asked for.
//!
//! Units that do not answer cost a time-out each. What their probes may take of the bus is bounded by a budget as long as
//! anyone else on it answers: a dead unit cannot starve the others, however many there are. A link that does not come up has
//! one back-off for all.

mod budget;
mod retry;

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{MutexGuard, Notify, futures::Notified},
    time::Instant,
};

use self::{budget::Budget, retry::Retry};
use crate::{client::Client, endpoint::Endpoint};

static BUSES: Mutex<Vec<Weak<Bus>>> = Mutex::new(Vec::new());

/// Whoever was heard this recently counts as alive.
const ALIVE: Duration = Duration::from_secs(10);

/// One of them.
pub(crate) struct Bus {
    pub(crate) endpoint: Endpoint,
    /// None while there is no connection.
    client: tokio::sync::Mutex<Option<Client>>,
    traffic: Mutex<Traffic>,
    /// Tells who waits for the link that it is up.
    up: Notify,
}

/// A place on a bus: that of one connector that runs.
pub(crate) struct Seat(Arc<Bus>);

/// Time of the bus that was claimed to ask a unit that is known not to answer.
#[derive(Debug)]
#[must_use]
pub(crate) struct Claim(Duration);

/// What was seen on the bus.
#[derive(Debug, Default)]
struct Traffic {
    seats: usize,
    heard: Option<Instant>,
    budget: Budget,
    retry: Retry,
}

impl Bus {
    /// The bus to an endpoint: that of the connectors that have it already, or a new one.
    pub(crate) fn to(endpoint: &Endpoint) -> Arc<Self> {
        let mut buses = BUSES.lock().unwrap_or_else(PoisonError::into_inner);
        buses.retain(|bus| bus.strong_count() > 0);
        let mut open = buses.iter().filter_map(Weak::upgrade);
        if let Some(bus) = open.find(|bus| bus.endpoint == *endpoint) {
            return bus;
        }
        let bus = Arc::new(Self::alone(endpoint.clone()));
        buses.push(Arc::downgrade(&bus));
        bus
    }

    /// A bus that nobody else gets.
    pub(crate) fn alone(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            client: tokio::sync::Mutex::new(None),
            traffic: Mutex::default(),
            up: Notify::new(),
        }
    }

    /// The connection, once it is one's turn; who has it may ask, replace it, or leave none.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, Option<Client>> {
        self.client.lock().await
    }

    /// Someone has answered: who waits for the link goes on.
    pub(crate) fn note_heard(&self, now: Instant) {
        let mut traffic = self.traffic();
        traffic.heard = Some(now);
        let was_down = traffic.retry.succeed();
        drop(traffic);
        if was_down {
            self.up.notify_waiters();
        }
    }

    /// No connection could be made: nobody is served.
    pub(crate) fn note_unreachable(&self, reason: &str, now: Instant) {
        let mut traffic = self.traffic();
        traffic.heard = None;
        traffic.retry.note_unreachable(reason, now);
    }

    /// A connection was made: nobody rests for want of one.
    pub(crate) fn note_connected(&self) {
        self.traffic().retry.note_connected();
    }

    /// Why no connection is to be tried yet: it failed for another connector.
    pub(crate) fn rests(&self, now: Instant) -> Option<String> {
        self.traffic().retry.rests(now).map(str::to_owned)
    }

    /// The link did not come up for a connector, so often in a row: how often it did not for all, and when all try again; or for this one
    /// alone, where connections come up and it has failed less often.
    pub(crate) fn fail(
        &self,
        failures: u32,
        now: Instant,
        wait: impl FnOnce(u32) -> Duration,
    ) -> (u32, Instant) {
        self.traffic().retry.fail(failures, now, wait)
    }

    /// Ends as soon as the link is up that was down; to be made before one says that it is.
    pub(crate) fn is_up_again(&self) -> Notified<'_> {
        self.up.notified()
    }

    /// A unit that is known not to answer was asked in vain for so long.
    pub(crate) fn note_silence(&self, took: Duration, now: Instant) {
        self.traffic().budget.spend(took, now);
    }

    /// Claims the time to ask a unit that is known not to answer, where the budget has it: what that may cost is spent at once, so that
    /// nobody else takes the same time. Else answers how long it is to rest.
    pub(crate) fn claim(&self, cost: Duration, now: Instant) -> Result<Claim, Duration> {
        let mut traffic = self.traffic();
        // While nobody answers there is nobody to starve.
        let rest = traffic.budget.rest(now);
        if traffic.is_alive(now) && !rest.is_zero() {
            return Err(rest);
        }
        traffic.budget.spend(cost, now);
        Ok(Claim(cost))
    }

    /// The unit was asked: it was silent for so long, or answered.
    pub(crate) fn settle(&self, Claim(cost): Claim, silent: Option<Duration>, now: Instant) {
        let mut traffic = self.traffic();
        traffic.budget.refund(cost, now);
        if let Some(silent) = silent {
            traffic.budget.spend(silent, now);
        }
    }

    /// A place on it.
    pub(crate) fn join(self: &Arc<Self>) -> Seat {
        let mut traffic = self.traffic();
        traffic.seats += 1;
        traffic.retry.note_joined();
        drop(traffic);
        Seat(Arc::clone(self))
    }

    fn traffic(&self) -> std::sync::MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Whether other connectors are on the bus, and someone answers there.
    pub(crate) fn is_shared_and_alive(&self, now: Instant) -> bool {
        let traffic = self.0.traffic();
        traffic.seats > 1 && traffic.is_alive(now)
    }

    /// Leaves; the last one ends the connection in order.
    pub(crate) async fn leave(self, limit: Duration) {
        if self.0.traffic().seats > 1 {
            return;
        }
        let client = self.0.turn().await.take();
        if let Some(client) = client {
            client.close(limit).await;
        }
    }
}

impl Deref for Seat {
    type Target = Arc<Bus>;

    fn deref(&self) -> &Arc<Bus> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut traffic = self.0.traffic();
        traffic.seats = traffic.seats.saturating_sub(1);
        // Who comes next may have other settings, and has not failed.
        if traffic.seats == 0 {
            traffic.retry = Retry::default();
        }
    }
}

impl Traffic {
    fn is_alive(&self, now: Instant) -> bool {
        self.heard
            .is_some_and(|heard| now.duration_since(heard) < ALIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Server;

    /// Those who rest for the same time wake together.
    #[tokio::test(start_paused = true)]
    async fn one_alone_gets_the_time_that_several_wait_for() {
        let bus = Bus::alone(Endpoint::Tcp(Server {
            host: "127.0.0.1".into(),
            port: 1,
        }));
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let first = bus.claim(second, now);
        assert!(first.is_ok(), "{first:?}");
        // Nobody answers: nobody is starved.
        assert!(bus.claim(second, now).is_ok());
        bus.note_heard(now);
        bus.settle(Claim(2 * second), None, now);
        assert!(bus.claim(second, now).is_ok());
        assert_eq!(bus.claim(second, now).unwrap_err(), 5 * second);
        bus.settle(Claim(second), Some(second / 2), now);
        assert_eq!(bus.claim(second, now).unwrap_err(), 5 * second / 2);
        bus.note_heard(now + 3 * second);
        assert!(bus.claim(second, now + 3 * second).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_link_goes_on_as_soon_as_another_is_answered() {
        let bus = Bus::alone(Endpoint::Tcp(Server {
            host: "127.0.0.1".into(),
            port: 1,
        }));
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        bus.note_heard(now);
        let (one, other) = (bus.is_up_again(), bus.is_up_again());
        bus.note_unreachable("refused", now);
        assert!(bus.claim(minute, now).is_ok(), "nobody is served");
        assert_eq!(
            bus.fail(1, now, |_| minute),
            bus.fail(1, now, |_| 2 * minute)
        );
        bus.note_heard(now);
        tokio::join!(one, other);
        assert_eq!(now.elapsed(), Duration::ZERO);
        assert_eq!(bus.rests(now), None);
    }

    /// A reload takes the bus over before the connector before has left it.
    #[tokio::test(start_paused = true)]
    async fn who_comes_after_the_last_one_has_left_does_not_wait_for_what_that_one_drew() {
        let bus = Arc::new(Bus::alone(Endpoint::Tcp(Server {
            host: "127.0.0.1".into(),
            port: 1,
        })));
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        let (seat, other) = (bus.join(), bus.join());
        bus.note_unreachable("refused", now);
        bus.fail(1, now, |_| minute);
        drop(seat);
        assert!(bus.rests(now).is_some(), "the other waits on");
        drop(other);
        let _seat = bus.join();
        assert_eq!(bus.rests(now), None);
        assert_eq!(bus.fail(1, now, |_| minute).0, 1);
    }
}
