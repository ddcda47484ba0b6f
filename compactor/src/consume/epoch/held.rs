//! What waits behind a jump, until the jump is filled or given up.

use std::time::Duration;

use forebay_schemas::{
    Timestamp,
    wire::{Outages, SeriesBatch},
};
use forebay_stream::Offset;

use super::{
    EpochProgress, Taking,
    end::{End, More},
    slice,
};
use crate::consume::{holes::Cause, moment::Moment};

/// A record behind a jump.
#[derive(Debug)]
pub(in crate::consume) struct Held {
    pub(in crate::consume) offset: Offset,
    pub(in crate::consume) what: HeldWhat,
    pub(in crate::consume) bytes: usize,
    /// When it was first read, by the clock: for people, and for the watermark.
    pub(in crate::consume) read_at: Timestamp,
    pub(super) since: Duration,
    /// Why what is before it is missing.
    pub(super) cause: Cause,
}

#[derive(Debug)]
pub(in crate::consume) enum HeldWhat {
    Batch(SeriesBatch),
    /// A gap that the log tells of, up to this seq.
    Told(u64, Cause),
    Outages(Outages),
}

/// What stops an epoch's mark: a record or an end behind a jump.
#[derive(Debug, Clone, Copy)]
pub(super) struct Obstacle {
    /// The seq behind the jump.
    pub(super) first: u64,
    pub(super) since: Duration,
    pub(super) cause: Cause,
}

/// An epoch's wait for what is missing, in running time: no clock that is set makes it shorter or
/// longer.
#[derive(Debug, Clone, Copy)]
pub(in crate::consume) struct Waiting {
    pub(in crate::consume) since: Duration,
    /// The partition is being read again, since when and up to where.
    pub(in crate::consume) reread: Option<(Duration, Offset)>,
}

impl EpochProgress {
    pub(super) fn wait(&mut self, now: Duration) {
        self.waiting.get_or_insert(Waiting {
            since: now,
            reread: None,
        });
    }

    pub(super) fn hold(
        &mut self,
        first: u64,
        what: HeldWhat,
        bytes: usize,
        offset: Offset,
        taking: &mut Taking,
    ) {
        let Moment {
            up: since,
            clock: read_at,
        } = taking.now;
        let cause = taking.cause;
        self.wait(since);
        if let Some(held) = self.held.get_mut(&first) {
            // The same record read again, or sent again: the longer one counts.
            if last_of(&what, first) > last_of(&held.what, first)
                && bytes <= taking.room + held.bytes
            {
                taking.held_bytes += bytes.cast_signed() - held.bytes.cast_signed();
                held.offset = held.offset.min(offset);
                (held.what, held.bytes) = (what, bytes);
            }
        } else if bytes <= taking.room {
            taking.held_bytes += bytes.cast_signed();
            self.held.insert(
                first,
                Held {
                    offset,
                    what,
                    bytes,
                    read_at,
                    since,
                    cause,
                },
            );
        } else {
            self.unheld = Some(self.unheld.map_or(first, |unheld| unheld.min(first)));
            taking.overflow = Some(
                taking
                    .overflow
                    .map_or(offset, |overflow| overflow.min(offset)),
            );
        }
    }

    /// Gives out what was held and now follows the mark.
    pub(super) fn settle(&mut self, taking: &mut Taking) {
        while let Some(entry) = self
            .held
            .first_entry()
            .filter(|entry| *entry.key() <= self.mark + 1)
        {
            let (first, held) = entry.remove_entry();
            taking.freed = true;
            taking.held_bytes -= held.bytes.cast_signed();
            match held.what {
                HeldWhat::Batch(batch) => {
                    let last = last_in(&batch, first);
                    taking.duplicates += last.min(self.mark) + 1 - first;
                    taking
                        .taken
                        .extend(slice(&batch, self.mark.max(first - 1) + 1..=last));
                    self.mark = self.mark.max(last);
                }
                HeldWhat::Told(last, cause) => {
                    self.holes
                        .open(self.mark + 1..=last, cause, taking.now.micros());
                    self.mark = self.mark.max(last);
                }
                HeldWhat::Outages(outages) => self.note_behind_mark(&outages, taking),
            }
        }
        if self.unheld.is_some_and(|unheld| unheld <= self.mark + 1) {
            self.unheld = None;
            taking.freed = true;
        }
        if let Some(held) = self.end.filter(|held| held.end.last <= self.mark) {
            self.end = None;
            self.close(held.end, taking);
        }
        match self.next_obstacle(taking.cause) {
            Some(Obstacle { since, .. }) if self.waiting.is_none() => {
                self.waiting = Some(Waiting {
                    since,
                    reread: None,
                });
            }
            Some(_) => {}
            None if self.superseded.is_some() && !self.closed => {
                // It still makes progress: its end gets its full time again.
                self.waiting = Some(Waiting {
                    since: taking.now.up,
                    reread: None,
                });
            }
            None => self.waiting = None,
        }
    }

    /// What is behind the first jump; `cause` is that of what found no room.
    pub(super) fn next_obstacle(&self, cause: Cause) -> Option<Obstacle> {
        let held = self.held.first_key_value();
        let held = held.map(|(first, held)| Obstacle {
            first: *first,
            since: held.since,
            cause: held.cause,
        });
        let unheld = self.unheld.zip(self.waiting);
        let unheld = unheld.map(|(first, waiting)| Obstacle {
            first,
            since: waiting.since,
            cause,
        });
        let end = self.end.map(|held| Obstacle {
            first: held.end.last + 1,
            since: held.since,
            cause: held.cause,
        });
        [held, unheld, end]
            .into_iter()
            .flatten()
            .min_by_key(|obstacle| obstacle.first)
    }

    /// What has waited since before the partition was read again is missing: jumps become gaps.
    pub(in crate::consume) fn give_up(&mut self, reread_since: Duration, taking: &mut Taking) {
        let next = |epoch: &Self, cause| {
            epoch
                .next_obstacle(cause)
                .filter(|next| next.since <= reread_since)
        };
        while let Some(Obstacle { first, cause, .. }) = next(self, taking.cause) {
            self.holes
                .open(self.mark + 1..=first - 1, cause, taking.now.micros());
            self.mark = first - 1;
            self.settle(taking);
        }
        match self.next_obstacle(taking.cause) {
            Some(Obstacle { since, .. }) => {
                self.waiting = Some(Waiting {
                    since,
                    reread: None,
                })
            }
            None if self.superseded.is_some() && !self.closed => {
                self.close(
                    End {
                        last: self.mark,
                        more: More::Unknown,
                    },
                    taking,
                );
                self.waiting = None;
            }
            None => self.waiting = None,
        }
    }

    /// The lowest offset of what is held.
    pub(in crate::consume) fn held_from(&self) -> Option<Offset> {
        let end = self.end.map(|held| held.offset);
        self.held.values().map(|held| held.offset).chain(end).min()
    }
}

fn last_in(batch: &SeriesBatch, first: u64) -> u64 {
    batch.last_seq().map_or(first, |last| last.0)
}

fn last_of(what: &HeldWhat, first: u64) -> u64 {
    match what {
        HeldWhat::Batch(batch) => last_in(batch, first),
        HeldWhat::Told(last, _) => *last,
        HeldWhat::Outages(outages) => outages.last_seq().map_or(first, |last| last.0),
    }
}
