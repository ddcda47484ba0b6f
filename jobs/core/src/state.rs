//! The states of a run, and the one function that moves it.

use forebay_schemas::ErrorKind;
use thiserror::Error;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    /// It waits: for its turn, for the jobs before it, or for another attempt.
    Queued,
    /// An attempt is under way.
    Running,
    /// Its results are in the lake.
    Succeeded,
    /// Given up.
    Failed,
    /// Given up: the last attempt took longer than it may.
    TimedOut,
    /// Given up because a person said so.
    Cancelled,
}

/// Whether a run may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Attempts are left.
    Left,
    /// None are left, or another would end the same way.
    Over,
}

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEvent {
    /// An attempt begins.
    Claimed,
    /// It cannot begin: a job that it waits for has not succeeded.
    Refused,
    /// The results are in the lake.
    Done,
    /// The attempt failed.
    Erred(Retry),
    /// The attempt took too long.
    Overran(Retry),
    /// The program ended, or the attempt panicked.
    Crashed(Retry),
    /// A person gives it up.
    Cancelled,
}

/// An event that cannot happen in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a run that is {state} cannot become {event:?}")]
pub struct IllegalMove {
    /// Where the run stands.
    pub state: RunState,
    /// What was to happen.
    pub event: RunEvent,
}

impl IllegalMove {
    /// Someone else moves the same run: going on could write twice.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Fatal
    }
}

impl RunState {
    /// Every state, for reading and showing.
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
    ];

    /// The state after an event.
    ///
    /// # Errors
    /// [`IllegalMove`] for what cannot happen.
    pub fn next(self, event: RunEvent) -> Result<Self, IllegalMove> {
        use RunEvent::{Claimed, Crashed, Done, Erred, Overran, Refused};
        match (self, event) {
            (Self::Queued, Claimed) => Ok(Self::Running),
            (Self::Queued, Refused) => Ok(Self::Failed),
            (Self::Running, Done) => Ok(Self::Succeeded),
            (Self::Running, Erred(Retry::Left) | Overran(Retry::Left) | Crashed(Retry::Left)) => {
                Ok(Self::Queued)
            }
            (Self::Running, Erred(Retry::Over) | Crashed(Retry::Over)) => Ok(Self::Failed),
            (Self::Running, Overran(Retry::Over)) => Ok(Self::TimedOut),
            (Self::Queued | Self::Running, RunEvent::Cancelled) => Ok(Self::Cancelled),
            (state, event) => Err(IllegalMove { state, event }),
        }
    }

    /// No event moves it any more.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::TimedOut | Self::Cancelled
        )
    }

    /// As tables have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl std::fmt::Display for RunState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_legal_move_is_listed_and_the_rest_is_refused() {
        use RunEvent::{Claimed, Crashed, Done, Erred, Overran, Refused};
        use RunState::{Failed, Queued, Running, Succeeded, TimedOut};
        let cancelled = RunEvent::Cancelled;
        let events = [Claimed, Refused, Done, cancelled].into_iter().chain(
            [Retry::Left, Retry::Over]
                .into_iter()
                .flat_map(|retry| [Erred(retry), Overran(retry), Crashed(retry)]),
        );
        let mut legal = Vec::new();
        for event in events {
            for state in RunState::ALL {
                match state.next(event) {
                    Ok(next) => legal.push((state, event, next)),
                    Err(refused) => assert_eq!(refused, IllegalMove { state, event }),
                }
            }
        }
        let expected = [
            (Queued, Claimed, Running),
            (Queued, Refused, Failed),
            (Running, Done, Succeeded),
            (Queued, cancelled, RunState::Cancelled),
            (Running, cancelled, RunState::Cancelled),
            (Running, Erred(Retry::Left), Queued),
            (Running, Overran(Retry::Left), Queued),
            (Running, Crashed(Retry::Left), Queued),
            (Running, Erred(Retry::Over), Failed),
            (Running, Overran(Retry::Over), TimedOut),
            (Running, Crashed(Retry::Over), Failed),
        ];
        assert_eq!(legal, expected);
        assert!(
            RunState::ALL
                .iter()
                .all(|state| RunState::from_name(state.name()) == Some(*state))
        );
        assert!(legal.iter().all(|(from, _, _)| !from.is_final()));
    }
}
