//! Which windows there are, and when they close.

use std::time::Duration;

use crate::RollupLevels;

/// Which windows there are, and when they close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSettings {
    /// Their length; they begin at multiples of it since 1970 UTC.
    pub window: Duration,
    /// How far the watermark stays behind the clock when no device is heard, and how often a window
    /// may be closed again.
    pub lateness: Duration,
    /// A device that is silent, or further behind than this and `lateness`, holds the watermark no
    /// more.
    pub idle_timeout: Duration,
    /// Which roll-ups are kept of what the windows hold.
    pub rollups: RollupLevels,
}

impl Default for WindowSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl WindowSettings {
    /// What holds where the configuration says nothing.
    pub const DEFAULT: Self = Self {
        window: Duration::from_secs(3_600),
        lateness: Duration::from_secs(600),
        idle_timeout: Duration::from_secs(300),
        rollups: RollupLevels::NONE,
    };

    pub(super) fn window_micros(&self) -> i64 {
        micros(self.window).max(1)
    }

    /// The end of the last window that a watermark has passed.
    pub(super) fn over(&self, watermark: i64) -> i64 {
        let window = self.window_micros();
        watermark.div_euclid(window).saturating_mul(window)
    }
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
