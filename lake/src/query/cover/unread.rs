//! Notes that cannot be read: how long a look waits for one, and when it is asked again.
//!
//! Queries wait for the look, and notes are a shortcut only: an object that hangs must not end them by their time-out.

use std::{sync::Arc, time::Duration};

use forebay_schemas::ErrorKind;
use tokio::time::{Instant, timeout_at};

use crate::LakeError;

/// How patient a look is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// How long the notes of one table may take.
    pub(super) reading: Duration,
    /// How long a note rests that has hung.
    pub(super) hung: Duration,
    /// How long one rests that is damaged: somebody may bring it back.
    pub(super) damaged: Duration,
}

/// Why a note says nothing, and when it is asked again.
#[derive(Debug, Clone)]
pub(super) struct Unread {
    pub(super) error: Arc<LakeError>,
    again: Instant,
}

impl Patience {
    pub(super) const DEFAULT: Self = Self {
        reading: Duration::from_secs(2),
        hung: Duration::from_secs(30),
        damaged: Duration::from_secs(60),
    };

    /// Reads a note, if it answers until then.
    pub(super) async fn read<T>(
        &self,
        until: Instant,
        reading: impl Future<Output = Result<T, LakeError>>,
    ) -> Result<T, Unread> {
        let begun = Instant::now();
        let (error, rest) = match timeout_at(until, reading).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) if error.kind() == ErrorKind::Corrupt => (error, self.damaged),
            // It fails at once, and may succeed at the next look.
            Ok(Err(error)) => (error, Duration::ZERO),
            Err(_) if begun < until => (hung(), self.hung),
            // Others took its time.
            Err(_) => (hung(), Duration::ZERO),
        };
        Err(Unread {
            error: Arc::new(error),
            again: Instant::now() + rest,
        })
    }
}

impl Unread {
    /// Whether the note is not asked yet.
    pub(super) fn rests(&self) -> bool {
        Instant::now() < self.again
    }
}

fn hung() -> LakeError {
    LakeError::Store(object_store::Error::Generic {
        store: "lake",
        source: "reading a note of what roll-ups hold timed out".into(),
    })
}
