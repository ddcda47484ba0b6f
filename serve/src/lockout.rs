//! Wrong passwords: after a few in a row whoever guesses must wait, longer each time.
//!
//! Counted for each name from each address, and for each address alone, so that neither many passwords for one name nor
//! one password for many names gets far; a name is not locked for other addresses, so nobody can lock others out.
//! Bounded: beyond the most that is kept, the oldest are forgotten.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Wrong ones in a row of one name that cost no wait.
const FREE_OF_NAME: u32 = 5;
/// Wrong ones of one address, whatever the names.
const FREE_OF_ADDRESS: u32 = 20;
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);
/// After so long without a wrong one all is forgotten.
const FORGET: Duration = Duration::from_secs(900);
/// Most that is kept.
const KEPT_MAX: usize = 4_096;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    address: IpAddr,
    name: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
    until: Instant,
}

/// The wrong passwords of late.
#[derive(Debug, Default)]
pub(crate) struct Lockout(Mutex<HashMap<Key, Failures>>);

impl Lockout {
    /// How long this name must not try from this address; `None` if it may.
    pub(crate) fn wait(&self, address: IpAddr, name: &str) -> Option<Duration> {
        let now = Instant::now();
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = keys(address, name).map(|(key, _)| {
            let until = kept.get(&key).map(|failures| failures.until);
            until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
        });
        waits.into_iter().max().filter(|wait| !wait.is_zero())
    }

    /// Notes a wrong password.
    pub(crate) fn failed(&self, address: IpAddr, name: &str) {
        let now = Instant::now();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, free) in keys(address, name) {
            make_room(&mut kept, now);
            let failures = kept.entry(key).or_insert(Failures {
                count: 0,
                last: now,
                until: now,
            });
            if now.saturating_duration_since(failures.last) >= FORGET {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
            failures.until = now + wait_after(failures.count, free);
        }
    }

    /// Notes a right password. What the address did with other names stays counted.
    pub(crate) fn passed(&self, address: IpAddr, name: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [(of_name, _), _] = keys(address, name);
        kept.remove(&of_name);
    }
}

fn keys(address: IpAddr, name: &str) -> [(Key, u32); 2] {
    let of_name = Key {
        address,
        name: Some(name.chars().take(64).collect()),
    };
    let of_address = Key {
        address,
        name: None,
    };
    [(of_name, FREE_OF_NAME), (of_address, FREE_OF_ADDRESS)]
}

fn wait_after(count: u32, free: u32) -> Duration {
    match count.checked_sub(free) {
        None => Duration::ZERO,
        Some(beyond) => WAIT_FIRST.saturating_mul(1 << beyond.min(10)).min(WAIT_MAX),
    }
}

fn make_room(kept: &mut HashMap<Key, Failures>, now: Instant) {
    if kept.len() < KEPT_MAX {
        return;
    }
    kept.retain(|_, failures| now.saturating_duration_since(failures.last) < FORGET);
    if kept.len() < KEPT_MAX {
        return;
    }
    let oldest = kept.iter().min_by_key(|(_, failures)| failures.last);
    if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
        kept.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::time::advance;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    #[tokio::test(start_paused = true)]
    async fn guessing_is_slowed_down_and_a_right_password_clears_it() {
        let lockout = Lockout::default();
        for _ in 0..FREE_OF_NAME - 1 {
            lockout.failed(HERE, "a");
            assert_eq!(lockout.wait(HERE, "a"), None);
        }
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            lockout.failed(HERE, "a");
            let wait = Duration::from_secs(expected);
            assert_eq!(lockout.wait(HERE, "a"), Some(wait));
            assert_eq!(lockout.wait(THERE, "a"), None);
            assert_eq!(lockout.wait(HERE, "b"), None);
            advance(wait).await;
            assert_eq!(lockout.wait(HERE, "a"), None);
        }
        lockout.passed(HERE, "a");
        lockout.failed(HERE, "a");
        assert_eq!(lockout.wait(HERE, "a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn many_names_from_one_address_are_slowed_down_too() {
        let lockout = Lockout::default();
        for n in 0..FREE_OF_ADDRESS {
            lockout.failed(HERE, &n.to_string());
        }
        assert_eq!(lockout.wait(HERE, "new"), Some(WAIT_FIRST));
        assert_eq!(lockout.wait(THERE, "new"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_long_ago_is_forgotten() {
        let lockout = Lockout::default();
        for _ in 0..2 * FREE_OF_ADDRESS {
            lockout.failed(HERE, "a");
            lockout.passed(HERE, "a");
            advance(FORGET).await;
        }
        lockout.failed(HERE, "a");
        assert_eq!(lockout.wait(HERE, "a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_bounded() {
        let lockout = Lockout::default();
        for n in 0..2 * KEPT_MAX {
            lockout.failed(HERE, &n.to_string());
        }
        assert!(lockout.0.lock().unwrap().len() <= KEPT_MAX);
    }
}
