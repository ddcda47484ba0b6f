//! What the devices of a soak send, and how fast everything else comes round beside it.

use std::time::Duration;

use super::site::Rhythm;

/// How much faster than at a real site a squeezed day goes by.
const SQUEEZED: u32 = 20;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Which devices there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// A hundred readings a second, and links that get lost.
    Plant,
    /// Four hundred readings a second beside what the plant has, into a spool of the default size.
    Day,
}

/// What is published over MQTT each second: so many numbers, spread evenly over so many devices of one tag each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Publishing {
    pub(super) devices: u64,
    pub(super) numbers_a_second: u64,
}

impl Load {
    /// How long the whole of it takes.
    pub(super) fn whole(self) -> Duration {
        match self {
            Self::Plant => Duration::from_secs(3600),
            Self::Day => DAY / SQUEEZED,
        }
    }

    pub(super) fn rhythm(self, length: Duration) -> Rhythm {
        match self {
            Self::Plant => Rhythm::of(length),
            // Commits as by default: the disk is no faster than at a real site.
            Self::Day => Rhythm {
                window: (Duration::from_secs(3600) / SQUEEZED).min(length / 40),
                commit: Duration::from_secs(10),
                ..Rhythm::of(length)
            },
        }
    }

    pub(super) fn publishing(self) -> Publishing {
        match self {
            Self::Plant => Publishing {
                devices: 5,
                numbers_a_second: 50,
            },
            Self::Day => Publishing {
                devices: 200,
                numbers_a_second: 400,
            },
        }
    }

    /// The spool's size in the configuration.
    pub(super) fn spool(self) -> &'static str {
        match self {
            // Small, so that segments come round.
            Self::Plant => "[spool]\nmax_bytes = \"4MiB\"\n",
            // The default's segments, whose length must not show in what a reading costs.
            Self::Day => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_takes_72_minutes_and_has_its_hours_as_windows() {
        assert_eq!(Load::Day.whole(), Duration::from_secs(72 * 60));
        assert_eq!(
            Load::Day.rhythm(Load::Day.whole()).window,
            Duration::from_secs(108)
        );
        assert_eq!(
            Load::Plant.rhythm(Duration::from_secs(600)),
            Rhythm::of(Duration::from_secs(600))
        );
    }
}
