//! The state of the link to a server, broker or device.

use thiserror::Error;

/// Where a link stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Never tried yet.
    Idle,
    /// Being set up; `failures` attempts in a row have failed.
    Connecting {
        /// Attempts that failed since the link was last up.
        failures: u32,
    },
    /// Readings can come.
    Up,
    /// Waiting to try again.
    Down {
        /// Attempts that failed since the link was last up; at least 1.
        failures: u32,
        /// Why, for people.
        reason: String,
    },
}

/// What happens to a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// An attempt begins.
    Try,
    /// The attempt succeeded.
    Established,
    /// The attempt failed, or an established link is lost.
    Lost(String),
}

/// A move that no link makes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a link that is {state:?} cannot take {event:?}")]
pub struct IllegalMove {
    /// Where the link stood.
    pub state: LinkState,
    /// What was said to happen.
    pub event: LinkEvent,
}

impl LinkState {
    /// The state after an event.
    ///
    /// # Errors
    /// A move that no link makes.
    pub fn next(self, event: LinkEvent) -> Result<Self, IllegalMove> {
        match (self, event) {
            (Self::Idle, LinkEvent::Try) => Ok(Self::Connecting { failures: 0 }),
            (Self::Down { failures, .. }, LinkEvent::Try) => Ok(Self::Connecting { failures }),
            (Self::Connecting { .. }, LinkEvent::Established) => Ok(Self::Up),
            (Self::Connecting { failures }, LinkEvent::Lost(reason)) => Ok(Self::Down {
                failures: failures.saturating_add(1),
                reason,
            }),
            (Self::Up, LinkEvent::Lost(reason)) => Ok(Self::Down {
                failures: 1,
                reason,
            }),
            (state, event) => Err(IllegalMove { state, event }),
        }
    }

    /// Attempts that failed since the link was last up.
    pub fn failures(&self) -> u32 {
        match self {
            Self::Connecting { failures } | Self::Down { failures, .. } => *failures,
            Self::Idle | Self::Up => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> LinkEvent {
        LinkEvent::Lost("gone".into())
    }

    #[test]
    fn a_link_counts_its_failures_until_it_is_up() {
        let mut state = LinkState::Idle;
        for expected in 1..=3 {
            state = state.next(LinkEvent::Try).unwrap().next(lost()).unwrap();
            assert_eq!(
                state,
                LinkState::Down {
                    failures: expected,
                    reason: "gone".into()
                }
            );
        }
        let up = state
            .next(LinkEvent::Try)
            .unwrap()
            .next(LinkEvent::Established)
            .unwrap();
        assert_eq!(up.next(lost()).unwrap().failures(), 1);
    }

    #[test]
    fn every_other_move_is_illegal() {
        let down = LinkState::Down {
            failures: 1,
            reason: String::new(),
        };
        let connecting = LinkState::Connecting { failures: 0 };
        let illegal = [
            (LinkState::Idle, LinkEvent::Established),
            (LinkState::Idle, lost()),
            (connecting, LinkEvent::Try),
            (LinkState::Up, LinkEvent::Try),
            (LinkState::Up, LinkEvent::Established),
            (down.clone(), LinkEvent::Established),
            (down, lost()),
        ];
        for (state, event) in illegal {
            assert!(
                state.clone().next(event.clone()).is_err(),
                "{state:?} took {event:?}"
            );
        }
    }
}
