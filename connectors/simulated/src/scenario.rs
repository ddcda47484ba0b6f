//! What the plant goes through.

use std::time::Duration;

use crate::{
    PlantError,
    recording::{MACHINE_FAILURE, MACHINE_HEALTHY},
};

/// Samples of the machine in every scenario.
const MACHINE_SAMPLES: u32 = 1294;

/// Samples by which the perturbed failure comes sooner: half of the time in good health.
const SOONER_SAMPLES: usize = 520;

/// What the plant goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// As recorded: after four fifths of its replay the machine goes from good health into a failure that its record's
    /// authors labelled. Then the replay begins again, as if repaired.
    Recorded,
    /// The machine stays well; the rest as recorded.
    Healthy,
    /// The machine's failure comes after two fifths of its replay, and the last seven days of demand, with all that is
    /// measured live, are higher by 30 %: whatever follows from them has to change.
    Perturbed,
}

impl Scenario {
    /// The machine's temperature; a recorded sample stands for 5 minutes.
    pub(crate) fn machine(self) -> Result<Vec<f64>, PlantError> {
        match self {
            Self::Recorded => MACHINE_FAILURE.values(),
            Self::Healthy => MACHINE_HEALTHY.values(),
            Self::Perturbed => {
                let mut values = MACHINE_FAILURE.values()?;
                let sooner = SOONER_SAMPLES.min(values.len());
                values.rotate_left(sooner);
                Ok(values)
            }
        }
    }

    /// By what the newest demand is multiplied.
    pub(crate) fn demand_factor(self) -> f64 {
        match self {
            Self::Recorded | Self::Healthy => 1.0,
            Self::Perturbed => 1.3,
        }
    }
}

/// How fast the machine's recording is replayed: the time for which each of its samples stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace(Duration);

impl Pace {
    /// The whole recording within `span`; at least a millisecond a sample.
    pub fn within(span: Duration) -> Self {
        Self((span / MACHINE_SAMPLES).max(Duration::from_millis(1)))
    }

    /// The time for which a sample stands.
    pub fn step(self) -> Duration {
        self.0
    }
}

impl Default for Pace {
    /// 35 ms a sample: the whole recording in 45 s, labelled as failing from 35 s on, far from all before from 37 s on.
    fn default() -> Self {
        Self(Duration::from_millis(35))
    }
}

#[cfg(test)]
mod tests;
