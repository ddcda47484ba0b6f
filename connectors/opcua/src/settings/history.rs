//! How gaps are filled from a server's history.

use std::time::Duration;

use forebay_config::{Describe, Table};

use crate::keys;

const DEPTH_MAX: Duration = Duration::from_secs(3650 * 86_400);
const SPAN_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// `history_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HistorySettings {
    /// How far back a tag is read that was never read before; zero: not at all.
    pub(crate) depth: Duration,
    /// The longest stretch of one request.
    pub(crate) span: Duration,
    /// Between two requests.
    pub(crate) pause: Duration,
    /// After a connection.
    pub(crate) delay: Duration,
}

impl HistorySettings {
    pub(super) fn read(connector: &mut Table<'_>) -> Option<Self> {
        let depth = connector.read(&keys::HISTORY_DEPTH);
        let history = Self {
            depth: depth.unwrap_or(Duration::ZERO),
            span: connector.read(&keys::HISTORY_SPAN),
            pause: connector.read(&keys::HISTORY_PAUSE),
            delay: connector.read(&keys::HISTORY_DELAY),
        };
        let mut is_sound = true;
        let mut refuse = |key: &dyn Describe, message: &str| {
            connector.problem(key, message);
            is_sound = false;
        };
        if history.depth > DEPTH_MAX {
            refuse(&keys::HISTORY_DEPTH, "is out of range: at most 3650d");
        }
        if history.span < SPAN_MIN || history.span > DEPTH_MAX {
            refuse(
                &keys::HISTORY_SPAN,
                "is out of range: from \"1s\" to \"3650d\"",
            );
        }
        if history.pause > WAIT_MAX {
            refuse(&keys::HISTORY_PAUSE, "is out of range: at most \"1h\"");
        }
        if history.delay > WAIT_MAX {
            refuse(&keys::HISTORY_DELAY, "is out of range: at most \"1h\"");
        }
        is_sound.then_some(history)
    }
}
