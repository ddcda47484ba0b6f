//! How room comes back: what is forgotten goes, and where the limits say so the oldest that is not.
//!
//! Invariant: no segment goes before the ledger has counted it (E12).

use std::sync::Arc;

use forebay_schemas::ledger::Fate;
use tracing::warn;

use super::{Store, sealed};
use crate::{
    Offset, StreamError,
    local::{dir::Reserve, drops::stand_in, ledger::Counter, limits::OnFull, segment::Segment},
};

impl Store {
    /// Forgets everything below `up_to` in the mark, and hides it from readers. The segments that are passed by that are still to be
    /// counted and removed.
    pub(in crate::local) fn forget(&mut self, up_to: Offset) -> Result<(), StreamError> {
        let up_to = up_to.min(Offset(self.active.segment.next));
        if up_to > self.mark.forgotten {
            let old = (self.mark.forgotten, self.mark.kept.clone());
            self.mark.forgotten = up_to;
            self.mark.kept.retain(|record| record.next > up_to);
            if let Err(error) = self.write_mark(Reserve::Use) {
                (self.mark.forgotten, self.mark.kept) = old;
                return Err(error);
            }
        }
        self.publish();
        // On a full disk there is room for it only once a segment has gone.
        if self.passed().is_none() {
            self.parts.dir.restore_reserve();
        }
        Ok(())
    }

    /// The oldest segment, if all of it is forgotten.
    pub(in crate::local) fn passed(&self) -> Option<&Segment> {
        self.closed
            .first()
            .filter(|oldest| oldest.next <= self.mark.forgotten.0)
    }

    /// What counts segments before they are removed.
    pub(in crate::local) fn counter(&self) -> Arc<Counter> {
        self.counter.clone()
    }

    /// Removes a segment that was passed and has been counted, unless it went for room meanwhile.
    pub(in crate::local) fn remove(&mut self, counted: &Segment) -> Result<(), StreamError> {
        let is_there = self
            .passed()
            .is_some_and(|oldest| oldest.first == counted.first);
        let removed = if is_there {
            self.remove_oldest()
        } else {
            Ok(())
        };
        self.parts.dir.restore_reserve();
        removed
    }

    /// Removes the oldest segment if it is forgotten, or gives it up if the limits say so and there is one besides the active.
    pub(super) fn make_room(&mut self) -> Result<bool, StreamError> {
        if let Some(passed) = self.passed() {
            self.counter.count(passed, Reserve::Use, |_| Fate::Taken);
            return Ok(self.make_room_of_passed());
        }
        let Some(oldest) = self
            .closed
            .first()
            .filter(|_| self.parts.limits.on_full == OnFull::DropOldest)
        else {
            return Ok(false);
        };
        let kept = stand_in(oldest, &self.mark, &sealed(&self.parts, &self.mark))?;
        warn!(
            segment = oldest.first,
            bytes = oldest.bytes,
            "the spool is full, dropped its oldest segment"
        );
        // Before the mark: an opening that finds the segment below it could not tell what became of it.
        let forgotten = self.mark.forgotten;
        let fate = |offset| {
            if offset < forgotten {
                Fate::Taken
            } else {
                Fate::Expired
            }
        };
        // The reserve is the mark's, without which no room is made.
        self.counter.count(oldest, Reserve::Keep, fate);
        let old = std::mem::replace(&mut self.mark.kept, kept);
        if let Err(error) = self.write_mark(Reserve::Use) {
            self.mark.kept = old;
            return Err(error);
        }
        self.publish();
        let removed = self.remove_oldest();
        self.parts.dir.restore_reserve();
        removed.map(|()| true)
    }

    /// Whether the oldest segment, which is forgotten and counted, could be removed.
    fn make_room_of_passed(&mut self) -> bool {
        let removed = self.remove_oldest();
        self.parts.dir.restore_reserve();
        if let Err(error) = &removed {
            warn!(%error, "could not remove a segment that is forgotten, appends wait for room");
        }
        removed.is_ok()
    }

    fn remove_oldest(&mut self) -> Result<(), StreamError> {
        if let Some(oldest) = self.closed.first() {
            self.parts.dir.remove(&oldest.path)?;
            self.closed.remove(0);
        }
        Ok(())
    }
}
