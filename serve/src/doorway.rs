//! How many connections there are: all, and those that have not signed in yet, which anyone on the network can open.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use forebay_runtime::RateLimit;
use tracing::warn;

use crate::audit::ServeProgress;

/// All connections of one port.
const CONNECTIONS_MAX: usize = 128;
/// Of these, not signed in yet, from one address and in all: they must not keep out who can sign in.
const STRANGERS_OF_ADDRESS_MAX: usize = 16;
const STRANGERS_MAX: usize = 64;
/// Of one user.
const OF_USER_MAX: usize = 32;

/// Counts the connections of one port.
#[derive(Default)]
pub(crate) struct Doorway {
    counts: Mutex<Counts>,
    progress: Arc<ServeProgress>,
    log: Mutex<RateLimit>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    all_strangers: usize,
    strangers: HashMap<IpAddr, usize>,
    users: HashMap<String, usize>,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There are as many as there may be.
    Full,
    /// Too many have not signed in.
    TooManyStrangers,
    /// Too many from this address have not signed in.
    TooManyStrangersOfAddress,
    /// The user has as many as a user may have.
    TooManyOfUser,
}

impl Refusal {
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Full => "too many connections",
            Self::TooManyStrangers => "too many connections that have not signed in",
            Self::TooManyStrangersOfAddress => {
                "too many connections of this address that have not signed in"
            }
            Self::TooManyOfUser => "too many connections of this user",
        }
    }
}

/// One connection's place; free again when it is dropped.
pub(crate) struct Place {
    doorway: Arc<Doorway>,
    standing: Mutex<Standing>,
}

/// Whose a connection is.
enum Standing {
    /// Of nobody yet, from there.
    Stranger(IpAddr),
    User(String),
}

impl Doorway {
    pub(crate) fn new(progress: Arc<ServeProgress>) -> Self {
        Self {
            counts: Mutex::default(),
            progress,
            log: Mutex::default(),
        }
    }

    /// A place for a connection that has just come.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Place, Refusal> {
        let entered = self.place(address);
        if let Err(refusal) = &entered {
            self.note(*refusal, address);
        }
        entered
    }

    /// Who is refused may get no answer that tells why: the log does, and the count.
    fn note(&self, refusal: Refusal, address: IpAddr) {
        self.progress.refused.fetch_add(1, Ordering::Relaxed);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(skipped) = log.admit() {
            warn!(%address, why = refusal.why(), skipped, "a connection for queries was refused");
        }
    }

    fn place(self: &Arc<Self>, address: IpAddr) -> Result<Place, Refusal> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= CONNECTIONS_MAX {
            return Err(Refusal::Full);
        }
        if counts.all_strangers >= STRANGERS_MAX {
            return Err(Refusal::TooManyStrangers);
        }
        let address = network(address);
        let strangers = counts.strangers.entry(address).or_default();
        if *strangers >= STRANGERS_OF_ADDRESS_MAX {
            return Err(Refusal::TooManyStrangersOfAddress);
        }
        *strangers += 1;
        counts.all_strangers += 1;
        counts.all += 1;
        self.progress.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Place {
            doorway: self.clone(),
            standing: Mutex::new(Standing::Stranger(address)),
        })
    }
}

/// What counts as one address: of IPv6 the network that a site or a person has, since one has all addresses of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

impl Place {
    /// Its client has signed in as this user.
    ///
    /// # Errors
    /// [`Refusal::TooManyOfUser`]: the connection stays a stranger's, and is to be closed.
    pub(crate) fn signed_in(&self, user: &str) -> Result<(), Refusal> {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let Standing::Stranger(address) = *standing else {
            return Ok(());
        };
        let counts = self.doorway.counts.lock();
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        if counts
            .users
            .get(user)
            .is_some_and(|count| *count >= OF_USER_MAX)
        {
            return Err(Refusal::TooManyOfUser);
        }
        *counts.users.entry(user.to_owned()).or_default() += 1;
        counts.all_strangers -= 1;
        one_less(&mut counts.strangers, &address);
        *standing = Standing::User(user.to_owned());
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let counts = self.doorway.counts.lock();
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        let standing = self.standing.get_mut();
        match standing.unwrap_or_else(PoisonError::into_inner) {
            Standing::Stranger(address) => {
                counts.all_strangers -= 1;
                one_less(&mut counts.strangers, address);
            }
            Standing::User(user) => one_less(&mut counts.users, user),
        }
        let connections = &self.doorway.progress.connections;
        connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
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
        assert_eq!(refusal(1), Some(Refusal::TooManyStrangersOfAddress));
        assert_eq!(refusal(2), None);
        places[0].signed_in("a").unwrap();
        assert_eq!(refusal(1), None);
        places.clear();
        let counts = doorway.counts.lock().unwrap();
        assert!(counts.strangers.is_empty() && counts.users.is_empty());
        assert_eq!((counts.all, counts.all_strangers), (0, 0));
    }

    #[test]
    fn strangers_of_many_addresses_leave_room_for_users() {
        let doorway = Arc::new(Doorway::default());
        let enter = |n: u8| doorway.enter(address(n)).ok();
        let places: Vec<Place> = (0..=254).map_while(enter).collect();
        assert_eq!(places.len(), STRANGERS_MAX);
        assert_eq!(
            doorway.enter(address(255)).err(),
            Some(Refusal::TooManyStrangers)
        );
        places[0].signed_in("a").unwrap();
        assert!(doorway.enter(address(255)).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::2"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }

    #[test]
    fn all_connections_and_those_of_a_user_are_bounded() {
        let doorway = Arc::new(Doorway::default());
        let enter = |user: usize| {
            let place = doorway.enter(address(1)).ok()?;
            place.signed_in(&user.to_string()).ok()?;
            Some(place)
        };
        let mut places: Vec<Place> = Vec::new();
        for user in 0..CONNECTIONS_MAX / OF_USER_MAX {
            places.extend((0..OF_USER_MAX).map(|_| enter(user).unwrap()));
            assert!(enter(user).is_none());
        }
        assert_eq!(places.len(), CONNECTIONS_MAX);
        assert_eq!(doorway.enter(address(200)).err(), Some(Refusal::Full));
    }
}
