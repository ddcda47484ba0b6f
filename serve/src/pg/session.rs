//! What a connection remembers between statements: who it is, what it has set, whether it is being cancelled.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use datafusion_postgres::pgwire::api::{
    ConnectionGuard, ConnectionHandle, portal::PortalExecutionState,
};
use futures::stream;
use tokio::time::Instant;

use super::{
    held::{Held, Kind, Place},
    of_query,
};
use crate::{audit::Asker, engine::Terms, error::QueryError, functions::setting};

/// Settings of one connection, and the length of a value.
const SETTINGS_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 1_024;

/// A connection that has signed in.
pub(super) struct PgSession {
    pub(super) asker: Asker,
    /// Through which another connection cancels what runs here.
    pub(super) handle: Arc<ConnectionHandle>,
    _guard: ConnectionGuard,
    set: Mutex<BTreeMap<String, String>>,
    held: Held,
    /// The names of the prepared statements.
    names: Mutex<BTreeSet<String>>,
    /// The portals that wait for the client to ask for more of their rows, and when they time out.
    suspended: Mutex<Vec<Suspended>>,
}

/// What a portal has of its rows.
pub(super) type PortalState = tokio::sync::Mutex<PortalExecutionState>;

struct Suspended {
    deadline: Instant,
    limit: Duration,
    /// Gone with the portal.
    state: Weak<PortalState>,
}

impl PgSession {
    pub(super) fn new(asker: Asker, handle: Arc<ConnectionHandle>, guard: ConnectionGuard) -> Self {
        Self {
            asker,
            handle,
            _guard: guard,
            set: Mutex::default(),
            held: Held::default(),
            names: Mutex::default(),
            suspended: Mutex::default(),
        }
    }

    /// A setting's value.
    pub(super) fn setting(&self, name: &str) -> Option<String> {
        let name = name.to_ascii_lowercase();
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        set.get(&name)
            .cloned()
            .or_else(|| setting(&name).map(str::to_owned))
    }

    /// Sets one; what nobody asks for has no effect.
    pub(super) fn set(&self, name: &str, value: &str) -> Result<(), QueryError> {
        let name = name.to_ascii_lowercase();
        if name == "timezone" && !is_time_zone(value) {
            return Err(QueryError::Planning(format!("unknown time zone {value:?}")));
        }
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = set.len() < SETTINGS_MAX || set.contains_key(&name);
        if !has_room || value.len() > VALUE_BYTES_MAX {
            return Err(QueryError::TooComplex("too many settings".into()));
        }
        set.insert(name, value.to_owned());
        Ok(())
    }

    /// Everything as it was at first.
    pub(super) fn reset(&self) {
        self.set
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// How this connection's statements run.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            time_zone: self.setting("timezone").filter(|zone| zone != "UTC"),
            timeout: self
                .setting("statement_timeout")
                .and_then(|text| timeout(&text)),
        }
    }

    /// A place for a prepared statement or a portal.
    ///
    /// # Errors
    /// As [`Held::take`].
    pub(super) fn hold(&self, kind: Kind, bytes: usize) -> Result<Place, QueryError> {
        self.held.take(kind, bytes)
    }

    /// Notes the name of a prepared statement.
    pub(super) fn remember(&self, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_owned());
    }

    /// Notes that a prepared statement is gone.
    pub(super) fn forget(&self, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.remove(name);
    }

    /// The names of all prepared statements, which are gone from here on.
    pub(super) fn forget_all(&self) -> Vec<String> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *names).into_iter().collect()
    }

    /// Notes that a portal keeps a query's turn until its client asks for more rows, at most until the deadline: then,
    /// and after so long.
    pub(super) fn suspend(&self, state: &Arc<PortalState>, (deadline, limit): (Instant, Duration)) {
        let mut suspended = self
            .suspended
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let state = Arc::downgrade(state);
        let is_other =
            |portal: &Suspended| portal.state.strong_count() > 0 && !portal.state.ptr_eq(&state);
        suspended.retain(is_other);
        suspended.push(Suspended {
            deadline,
            limit,
            state,
        });
    }

    /// When the first suspended portal times out.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let suspended = self
            .suspended
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let there = suspended
            .iter()
            .filter(|portal| portal.state.strong_count() > 0);
        there.map(|portal| portal.deadline).min()
    }

    /// Ends the queries of suspended portals that have timed out; who asks for more of their rows is told.
    pub(super) fn end_suspended(&self, now: Instant) {
        let mut suspended = self
            .suspended
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_over = |portal: &mut Suspended| portal.deadline <= now;
        for portal in suspended.extract_if(.., is_over) {
            let Some(state) = portal.state.upgrade() else {
                continue;
            };
            // Nothing runs on this connection while it waits for a message: nobody has it.
            if let Ok(mut state) = state.try_lock()
                && let PortalExecutionState::Suspended(response) = &mut *state
            {
                let error = of_query(QueryError::TimedOut(portal.limit));
                *response.data_rows() = Box::pin(stream::iter([Err(error)]));
            }
        }
    }
}

/// Whether the engine knows a zone.
fn is_time_zone(name: &str) -> bool {
    name.parse::<arrow::array::timezone::Tz>().is_ok()
}

/// A `statement_timeout`: milliseconds, or a number with ms, s or min. None: no limit of its own.
fn timeout(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let number: u64 = digits.parse().ok()?;
    let millis = match text[digits.len()..].trim() {
        "" | "ms" => number,
        "s" => number.saturating_mul(1_000),
        "min" => number.saturating_mul(60_000),
        _ => return None,
    };
    (millis > 0).then(|| Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_timeout_is_read_as_postgresql_writes_it() {
        for (text, millis) in [
            ("0", None),
            ("250", Some(250)),
            ("250ms", Some(250)),
            ("5s", Some(5_000)),
            ("2 min", Some(120_000)),
            ("soon", None),
            ("1h", None),
        ] {
            assert_eq!(timeout(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}
