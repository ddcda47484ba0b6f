//! What waits behind a jump, until the jump is filled or given up.

use std::time::Duration;

use forebay_schemas::{
    Timestamp,
    wire::{Outages, SeriesBatch},
};
use forebay_stream::Offset;

use super::{
    EpochProgress, EpochStep,
    end::{End, More},
    slice,
};
use crate::consume::{moment::Moment, seq_gaps::GapCause};

/// A record behind a jump.
#[derive(Debug)]
pub(in crate::consume) struct Held {
    pub(in crate::consume) offset: Offset,
    pub(in crate::consume) what: HeldWhat,
    pub(in crate::consume) bytes: usize,
    /// When it was first read, by the clock: for people, and for the watermark.
    pub(in crate::consume) read_at: Timestamp,
    published: Timestamp,
    pub(super) since: Duration,
    /// Why what is before it is missing.
    pub(super) cause: GapCause,
}

#[derive(Debug)]
pub(in crate::consume) enum HeldWhat {
    Batch(SeriesBatch),
    /// A gap that the log tells of, up to this seq.
    Gap(u64, GapCause),
    Outages(Outages),
}

/// What stops an epoch's mark: a record or an end behind a jump.
#[derive(Debug, Clone, Copy)]
pub(super) struct Obstacle {
    /// The seq behind the jump.
    pub(super) first: u64,
    pub(super) since: Duration,
    pub(super) cause: GapCause,
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
        step: &mut EpochStep,
    ) {
        let Moment {
            up: since,
            clock: read_at,
            published,
        } = step.now;
        let cause = step.cause;
        self.wait(since);
        if let Some(held) = self.held.get_mut(&first) {
            // The same record read again, or sent again: the longer one counts.
            if last_of(&what, first) > last_of(&held.what, first) && bytes <= step.room + held.bytes
            {
                step.held_bytes += bytes.cast_signed() - held.bytes.cast_signed();
                held.offset = held.offset.min(offset);
                (held.what, held.bytes) = (what, bytes);
            }
        } else if bytes <= step.room {
            step.held_bytes += bytes.cast_signed();
            self.held.insert(
                first,
                Held {
                    offset,
                    what,
                    bytes,
                    read_at,
                    published,
                    since,
                    cause,
                },
            );
        } else {
            self.unheld = Some(self.unheld.map_or(first, |unheld| unheld.min(first)));
            step.overflow = Some(
                step.overflow
                    .map_or(offset, |overflow| overflow.min(offset)),
            );
        }
    }

    /// Gives out what was held and now follows the mark.
    pub(super) fn settle(&mut self, step: &mut EpochStep) {
        while let Some(entry) = self
            .held
            .first_entry()
            .filter(|entry| *entry.key() <= self.mark + 1)
        {
            let (first, held) = entry.remove_entry();
            step.freed = true;
            step.held_bytes -= held.bytes.cast_signed();
            // That it waited here is no wait in its spool.
            step.now.published = step.now.published.min(held.published);
            match held.what {
                HeldWhat::Batch(batch) => {
                    let last = last_in(&batch, first);
                    step.duplicates += last.min(self.mark) + 1 - first;
                    step.batches
                        .extend(slice(&batch, self.mark.max(first - 1) + 1..=last));
                    self.mark = self.mark.max(last);
                }
                HeldWhat::Gap(last, cause) => {
                    self.gaps
                        .open(self.mark + 1..=last, cause, step.now.micros());
                    self.mark = self.mark.max(last);
                }
                HeldWhat::Outages(outages) => self.note_behind_mark(&outages, step),
            }
        }
        if self.unheld.is_some_and(|unheld| unheld <= self.mark + 1) {
            self.unheld = None;
            step.freed = true;
        }
        if let Some(held) = self.end.filter(|held| held.end.last <= self.mark) {
            self.end = None;
            self.close(held.end, step);
        }
        match self.next_obstacle(step.cause) {
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
                    since: step.now.up,
                    reread: None,
                });
            }
            None => self.waiting = None,
        }
    }

    /// What is behind the first jump; `cause` is that of what found no room.
    pub(super) fn next_obstacle(&self, cause: GapCause) -> Option<Obstacle> {
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
    pub(in crate::consume) fn give_up(&mut self, reread_since: Duration, step: &mut EpochStep) {
        let next = |epoch: &Self, cause| {
            epoch
                .next_obstacle(cause)
                .filter(|next| next.since <= reread_since)
        };
        while let Some(Obstacle { first, cause, .. }) = next(self, step.cause) {
            self.gaps
                .open(self.mark + 1..=first - 1, cause, step.now.micros());
            self.mark = first - 1;
            self.settle(step);
        }
        match self.next_obstacle(step.cause) {
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
                    step,
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
        HeldWhat::Gap(last, _) => *last,
        HeldWhat::Outages(outages) => outages.last_seq().map_or(first, |last| last.0),
    }
}
