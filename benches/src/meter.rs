//! What a stretch of work took of a process: time on the clock, and time on the processors, all threads together.
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
    process: u32,
}

impl Meter {
    /// Of this process.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_of(std::process::id())
    }

    /// Of another one, by its id.
    pub(crate) fn start_of(process: u32) -> anyhow::Result<Self> {
        Ok(Self {
            begun: Instant::now(),
            cpu: cpu(process)?,
            process,
        })
    }

    pub(crate) fn stop(&self, readings: u64) -> anyhow::Result<Cost> {
        let wall = self.begun.elapsed();
        let cpu = cpu(self.process)?.saturating_sub(self.cpu);
        Ok(Cost {
            readings,
            wall_seconds: wall.as_secs_f64(),
            cpu_seconds: cpu.as_secs_f64(),
        })
    }
}

/// User and system time of a process so far.
fn cpu(process: u32) -> anyhow::Result<Duration> {
    let file = format!("/proc/{process}/stat");
    let stat = std::fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
    let (_, cpu) = name_and_cpu(&stat).with_context(|| format!("no times in {file}"))?;
    Ok(cpu)
}

/// User and system time so far of those threads of a process whose names begin so.
pub(crate) fn threads_cpu(process: u32, names: &[&str]) -> anyhow::Result<Duration> {
    let folder = format!("/proc/{process}/task");
    let mut sum = Duration::ZERO;
    for thread in std::fs::read_dir(&folder).with_context(|| format!("read {folder}"))? {
        // A thread may end while it is looked at.
        let Ok(stat) = std::fs::read_to_string(thread?.path().join("stat")) else {
            continue;
        };
        let Some((name, cpu)) = name_and_cpu(&stat) else {
            continue;
        };
        if names.iter().any(|begin| name.starts_with(begin)) {
            sum += cpu;
        }
    }
    Ok(sum)
}

/// Of a line of `/proc/…/stat`.
fn name_and_cpu(stat: &str) -> Option<(&str, Duration)> {
    // The name may hold blanks: what follows its bracket begins with the third field.
    let (name, fields) = stat.rsplit_once(')')?;
    let (_, name) = name.split_once('(')?;
    let ticks: Option<u32> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u32>().ok())
        .sum();
    Some((name, TICK * ticks?))
}

/// The most memory that this process has had in RAM so far, in bytes.
pub(crate) fn peak_bytes() -> anyhow::Result<u64> {
    peak_bytes_of(std::process::id())
}

/// The same of another process.
pub(crate) fn peak_bytes_of(process: u32) -> anyhow::Result<u64> {
    status_bytes(process, "VmHWM:")
}

/// The memory that another process has in RAM now, in bytes.
pub(crate) fn resident_bytes_of(process: u32) -> anyhow::Result<u64> {
    status_bytes(process, "VmRSS:")
}

/// A line of `/proc/<process>/status`, which has kB.
fn status_bytes(process: u32, name: &str) -> anyhow::Result<u64> {
    let file = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
    let kib = status.lines().find_map(|line| {
        line.strip_prefix(name)?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()
    });
    kib.map(|kib: u64| kib * 1024)
        .with_context(|| format!("no {name} in {file}"))
}

/// The upper one of two in the middle; 0 of none.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
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
        while cpu(std::process::id()).unwrap() < meter.cpu + 2 * TICK {
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
        let all = threads_cpu(std::process::id(), &[""]).unwrap();
        assert!(
            all >= 2 * TICK
                && threads_cpu(std::process::id(), &["no such"])
                    .unwrap()
                    .is_zero()
        );
    }
}
