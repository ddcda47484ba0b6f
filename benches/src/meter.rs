//! What a stretch of work took of this process: time on the clock, and time on the processors, all threads together.
//!
//! Processor time is the main figure: unlike the clock's it hardly depends on what else the machine does.

use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Linux counts the times in `/proc/self/stat` in hundredths of a second (proc_pid_stat(5), USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// What readings took.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) readings: u64,
    pub(crate) wall_seconds: f64,
    /// User and system time of all threads.
    pub(crate) cpu_seconds: f64,
}

impl Cost {
    /// Of both stretches together, over the same readings.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self {
            readings: self.readings,
            wall_seconds: self.wall_seconds + other.wall_seconds,
            cpu_seconds: self.cpu_seconds + other.cpu_seconds,
        }
    }
}

/// A stretch that has begun.
pub(crate) struct Meter {
    begun: Instant,
    cpu: Duration,
}

impl Meter {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Ok(Self {
            begun: Instant::now(),
            cpu: cpu()?,
        })
    }

    pub(crate) fn stop(&self, readings: u64) -> anyhow::Result<Cost> {
        let (wall, cpu) = (self.begun.elapsed(), cpu()?.saturating_sub(self.cpu));
        Ok(Cost {
            readings,
            wall_seconds: wall.as_secs_f64(),
            cpu_seconds: cpu.as_secs_f64(),
        })
    }
}

/// User and system time of this process so far.
fn cpu() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("the times of this process")?;
    // The name may hold blanks: what follows its bracket begins with the third field.
    let (_, fields) = stat
        .rsplit_once(')')
        .context("no name in /proc/self/stat")?;
    let ticks: Option<u32> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u32>().ok())
        .sum();
    Ok(TICK * ticks.context("no times in /proc/self/stat")?)
}

/// The most memory that this process has had in RAM so far, in bytes.
pub(crate) fn peak_bytes() -> anyhow::Result<u64> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("the memory of this process")?;
    let peak = status.lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()
    });
    peak.map(|kib: u64| kib * 1024)
        .context("no VmHWM in /proc/self/status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_and_memory() {
        let meter = Meter::start().unwrap();
        let peak = peak_bytes().unwrap();
        let filled = std::hint::black_box(vec![1_u8; 64 << 20]);
        let mut sum = 0_u64;
        while cpu().unwrap() < meter.cpu + 2 * TICK {
            sum = sum.wrapping_add(
                std::hint::black_box(&filled)
                    .iter()
                    .map(|byte| u64::from(*byte))
                    .sum::<u64>(),
            );
        }
        let cost = meter.stop(sum).unwrap();
        assert!(
            cost.cpu_seconds >= 0.02 && cost.wall_seconds > 0.0,
            "{cost:?}"
        );
        assert!(peak_bytes().unwrap() >= peak.max(64 << 20));
    }
}
