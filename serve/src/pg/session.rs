//! What a connection remembers between statements: who it is, what it has set, whether it is being cancelled.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use datafusion_postgres::pgwire::api::{ConnectionGuard, ConnectionHandle};

use crate::{audit::Asker, engine::Terms, error::QueryError, functions::setting};

/// Prepared statements of one connection.
const PREPARED_MAX: usize = 256;
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
    prepared: Arc<AtomicUsize>,
}

/// One prepared statement's place.
#[derive(Debug)]
pub(super) struct PreparedPlace(Arc<AtomicUsize>);

impl Drop for PreparedPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PgSession {
    pub(super) fn new(asker: Asker, handle: Arc<ConnectionHandle>, guard: ConnectionGuard) -> Self {
        Self {
            asker,
            handle,
            _guard: guard,
            set: Mutex::default(),
            prepared: Arc::default(),
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

    /// A place for a prepared statement.
    pub(super) fn prepare(&self) -> Result<PreparedPlace, QueryError> {
        if self.prepared.fetch_add(1, Ordering::Relaxed) >= PREPARED_MAX {
            self.prepared.fetch_sub(1, Ordering::Relaxed);
            let why = format!("more than {PREPARED_MAX} prepared statements: close some");
            return Err(QueryError::TooComplex(why));
        }
        Ok(PreparedPlace(self.prepared.clone()))
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
