//! Which of the newest appends belong to a trace: so that who reads them on knows.
//!
//! In memory alone, and of few: most appends belong to none, and what a crash forgets here costs a link.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use forebay_runtime::trace::{TraceContext, is_on};

use crate::Receipt;

/// Appends that are remembered.
const APPENDS_MAX: usize = 64;

/// The newest appends that belong to a trace, oldest first.
#[derive(Debug, Default)]
pub(super) struct TracedAppends(Mutex<VecDeque<(Receipt, TraceContext)>>);

impl TracedAppends {
    /// An append belongs to a trace. To be said before readers see it.
    pub(super) fn note(&self, receipt: Receipt, trace: TraceContext) {
        let mut appends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if appends.len() == APPENDS_MAX {
            appends.pop_front();
        }
        appends.push_back((receipt, trace));
    }

    /// The trace of these readings, which one append brought.
    pub(super) fn of(&self, readings: &Receipt) -> Option<TraceContext> {
        if !is_on() {
            return None;
        }
        let appends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |(receipt, _): &&(Receipt, TraceContext)| receipt == readings;
        appends.iter().find(is_it).map(|(_, trace)| *trace)
    }
}
