//! A connection that the connectors of this process share, one for each address and its settings.
//!
//! A serial line can be open once, and many gateways serve one or two connections; a device with a template is a connector,
//! so several of them are on one bus. Requests go one at a time, in the order in which they were asked for.
//!
//! Units that do not answer cost a time-out each. What their probes may take of the bus is bounded by a budget as long as
//! anyone else on it answers: a dead unit cannot starve the others, however many there are.

mod budget;

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::MutexGuard, time::Instant};

use self::budget::Budget;
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
}

/// A place on a bus: that of one connector that runs.
pub(crate) struct Seat(Arc<Bus>);

/// What was seen on the bus.
#[derive(Debug, Default)]
struct Traffic {
    seats: usize,
    heard: Option<Instant>,
    budget: Budget,
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
        }
    }

    /// The connection, once it is one's turn; who has it may ask, replace it, or leave none.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, Option<Client>> {
        self.client.lock().await
    }

    /// Someone has answered.
    pub(crate) fn note_heard(&self, now: Instant) {
        self.traffic().heard = Some(now);
    }

    /// A unit that is known not to answer was asked in vain for so long.
    pub(crate) fn note_silence(&self, took: Duration, now: Instant) {
        self.traffic().budget.spend(took, now);
    }

    /// How long a unit that is known not to answer is not to be asked: no time while nobody else answers.
    pub(crate) fn rest(&self, now: Instant) -> Duration {
        let traffic = self.traffic();
        if traffic.is_alive(now) {
            traffic.budget.rest(now)
        } else {
            Duration::ZERO
        }
    }

    /// A place on it.
    pub(crate) fn join(self: &Arc<Self>) -> Seat {
        self.traffic().seats += 1;
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
    }
}

impl Traffic {
    fn is_alive(&self, now: Instant) -> bool {
        self.heard
            .is_some_and(|heard| now.duration_since(heard) < ALIVE)
    }
}
