//! How many connections there are: all, and those that have not signed in yet, which anyone on the network can open.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use crate::audit::ServeProgress;

/// All connections of one port.
const CONNECTIONS_MAX: usize = 128;
/// Of these, from one address and not signed in yet: one address must not keep the others out.
const STRANGERS_OF_ADDRESS_MAX: usize = 16;

/// Counts the connections of one port.
#[derive(Default)]
pub(crate) struct Doorway {
    counts: Mutex<Counts>,
    progress: Arc<ServeProgress>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    strangers: HashMap<IpAddr, usize>,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There are as many as there may be.
    Full,
    /// Too many from this address have not signed in.
    TooManyStrangers,
}

impl Refusal {
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Full => "too many connections",
            Self::TooManyStrangers => {
                "too many connections of this address that have not signed in"
            }
        }
    }
}

/// One connection's place; free again when it is dropped.
pub(crate) struct Place {
    doorway: Arc<Doorway>,
    address: IpAddr,
    is_stranger: bool,
}

impl Doorway {
    pub(crate) fn new(progress: Arc<ServeProgress>) -> Self {
        Self {
            counts: Mutex::default(),
            progress,
        }
    }

    /// A place for a connection that has just come.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, Refusal> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= CONNECTIONS_MAX {
            return Err(Refusal::Full);
        }
        let strangers = counts.strangers.entry(address).or_default();
        if *strangers >= STRANGERS_OF_ADDRESS_MAX {
            return Err(Refusal::TooManyStrangers);
        }
        *strangers += 1;
        counts.all += 1;
        self.progress.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Place {
            doorway: self.clone(),
            address,
            is_stranger: true,
        })
    }
}

impl Place {
    /// Its client has signed in.
    pub(crate) fn signed_in(&mut self) {
        if self.is_stranger {
            self.is_stranger = false;
            let counts = self.doorway.counts.lock();
            no_stranger(
                &mut counts.unwrap_or_else(PoisonError::into_inner),
                self.address,
            );
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let counts = self.doorway.counts.lock();
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if self.is_stranger {
            no_stranger(&mut counts, self.address);
        }
        let connections = &self.doorway.progress.connections;
        connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn no_stranger(counts: &mut Counts, address: IpAddr) {
    if let Some(strangers) = counts.strangers.get_mut(&address) {
        *strangers -= 1;
        if *strangers == 0 {
            counts.strangers.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
    }

    #[test]
    fn strangers_of_one_address_keep_nobody_else_out() {
        let doorway = Arc::new(Doorway::default());
        let mut places: Vec<Place> = (0..STRANGERS_OF_ADDRESS_MAX)
            .map(|_| doorway.enter(address(1)).ok().unwrap())
            .collect();
        let refusal = |last| doorway.enter(address(last)).err();
        assert_eq!(refusal(1), Some(Refusal::TooManyStrangers));
        assert_eq!(refusal(2), None);
        places[0].signed_in();
        assert_eq!(refusal(1), None);
        places.clear();
        assert!(doorway.counts.lock().unwrap().strangers.is_empty());
        assert_eq!(doorway.counts.lock().unwrap().all, 0);
    }

    #[test]
    fn all_connections_are_bounded() {
        let doorway = Arc::new(Doorway::default());
        let enter = |n: usize| {
            let mut place = doorway.enter(address((n % 100) as u8)).ok()?;
            place.signed_in();
            Some(place)
        };
        let places: Vec<Option<Place>> = (0..CONNECTIONS_MAX + 1).map(enter).collect();
        assert_eq!(places.iter().flatten().count(), CONNECTIONS_MAX);
        assert_eq!(doorway.enter(address(200)).err(), Some(Refusal::Full));
    }
}
