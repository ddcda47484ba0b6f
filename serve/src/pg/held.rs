//! What a connection makes this program keep between its messages: prepared statements and portals, counted and weighed.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::QueryError;

/// Prepared statements of one connection.
const STATEMENTS_MAX: usize = 256;
/// Portals of one connection.
const PORTALS_MAX: usize = 64;
/// The bytes of all of them: the statements parsed, parameters, names.
const BYTES_MAX: usize = 16 << 20;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Statement,
    Portal,
}

/// What one connection has taken of what it may.
#[derive(Debug, Default)]
pub(super) struct Held(Arc<Mutex<Taken>>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Taken {
    statements: usize,
    portals: usize,
    bytes: usize,
}

impl Taken {
    fn count(&mut self, kind: Kind) -> (&mut usize, usize) {
        match kind {
            Kind::Statement => (&mut self.statements, STATEMENTS_MAX),
            Kind::Portal => (&mut self.portals, PORTALS_MAX),
        }
    }
}

/// One prepared statement's or portal's place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    taken: Arc<Mutex<Taken>>,
    kind: Kind,
    bytes: usize,
}

impl Held {
    /// A place for something of so many bytes.
    ///
    /// # Errors
    /// [`QueryError::TooMuchHeld`] when the connection has too much.
    pub(super) fn take(&self, kind: Kind, bytes: usize) -> Result<Place, QueryError> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.bytes.saturating_add(bytes) > BYTES_MAX {
            return Err(QueryError::TooMuchHeld(BYTES_MAX, "bytes"));
        }
        let (count, most) = taken.count(kind);
        if *count >= most {
            let what = match kind {
                Kind::Statement => "prepared statements",
                Kind::Portal => "portals",
            };
            return Err(QueryError::TooMuchHeld(most, what));
        }
        *count += 1;
        taken.bytes += bytes;
        Ok(Place {
            taken: self.0.clone(),
            kind,
            bytes,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken.count(self.kind).0 -= 1;
        taken.bytes -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_bytes_are_bounded_and_free_again() {
        let held = Held::default();
        for (kind, most) in [
            (Kind::Statement, STATEMENTS_MAX),
            (Kind::Portal, PORTALS_MAX),
        ] {
            let places: Vec<Place> = (0..most).map(|_| held.take(kind, 10).unwrap()).collect();
            assert!(held.take(kind, 10).is_err(), "{kind:?}");
            drop(places);
        }
        let large = held.take(Kind::Portal, BYTES_MAX).unwrap();
        assert!(held.take(Kind::Statement, 1).is_err());
        drop(large);
        assert!(held.take(Kind::Statement, usize::MAX).is_err());
        assert_eq!(*held.0.lock().unwrap(), Taken::default());
    }
}
