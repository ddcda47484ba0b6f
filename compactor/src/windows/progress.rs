//! What the closing of windows says of itself.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use forebay_schemas::Timestamp;

use super::{DeviceFreshness, WaitingWindow, Watermarks, freshness::RolledUp};
use crate::RollupLevels;

/// How far the sites' watermarks have come, and what holds them up, for telemetry to read.
#[derive(Debug, Default)]
pub struct WindowProgress {
    watermarks: Mutex<Watermarks>,
    failures: Mutex<BTreeMap<String, u64>>,
    devices: Mutex<Vec<DeviceFreshness>>,
    waiting: Mutex<Vec<WaitingWindow>>,
    rolled_up: Mutex<RolledUp>,
    /// States of streams that could not be read at the last look.
    unreadable: AtomicU64,
}

impl WindowProgress {
    /// By site, as of the last look; none before the first.
    pub fn watermarks(&self) -> Vec<(String, Timestamp)> {
        let watermarks = self
            .watermarks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let time = |micros: i64| Timestamp::from_nanos(micros.saturating_mul(1000));
        watermarks
            .iter()
            .map(|(site, micros)| (site.clone(), time(*micros)))
            .collect()
    }

    /// How often each site's windows could not be closed; zero from the first look at a site on, so that the first failure is a
    /// rise.
    pub fn failures(&self) -> Vec<(String, u64)> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures
            .iter()
            .map(|(site, count)| (site.clone(), *count))
            .collect()
    }

    /// The newest readings of each device, as of the last look.
    pub fn devices(&self) -> Vec<DeviceFreshness> {
        self.devices
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn rolled_up(&self) -> RolledUp {
        self.rolled_up
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The windows of a site up to `over` are closed and have these roll-ups.
    pub(super) fn note_rolled_up(&self, site: &str, over: i64, levels: RollupLevels) {
        let mut rolled_up = self
            .rolled_up
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        rolled_up.insert(site.to_owned(), (over, levels));
    }

    /// The windows that are over by the clock and still open, one a site, and what each waits for.
    pub fn waiting(&self) -> Vec<WaitingWindow> {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many streams' states could not be read at the last look.
    pub fn unreadable_states(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self, site: &str, times: u64) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry(site.to_owned()).or_default() += times;
    }

    pub(super) fn note_devices(&self, devices: Vec<DeviceFreshness>, waiting: Vec<WaitingWindow>) {
        *self.devices.lock().unwrap_or_else(PoisonError::into_inner) = devices;
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }

    pub(super) fn note(&self, watermarks: &Watermarks, unreadable: u64) {
        self.unreadable.store(unreadable, Ordering::Relaxed);
        watermarks.keys().for_each(|site| self.failed(site, 0));
        *self
            .watermarks
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = watermarks.clone();
    }
}
