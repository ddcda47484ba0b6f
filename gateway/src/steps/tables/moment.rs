//! The readings of one message that have one device and one time, on their way through the tables together.
//!
//! Invariants: `last` sees all of them before any table looks at one; each table takes all of them before the next table takes any; a
//! derived tag that follows from last values alone is computed once, and is as good as the worst reading that it is derived from.

use forebay_schemas::{Reading, TagName};

use super::{Passage, StepRule, StepTables, Way};
use crate::status::SourceStatus;

/// Readings that wait until all of their message are there.
#[derive(Debug, Default)]
pub(super) struct Moment {
    /// Place of its first sample in the message.
    first: usize,
    members: Vec<Member>,
}

/// One of them.
#[derive(Debug, Clone)]
struct Member {
    /// Of its sample in the message.
    place: usize,
    reading: Reading,
    passage: Passage,
}

impl Moment {
    pub(super) fn push(&mut self, place: usize, reading: Reading, passage: Passage) {
        self.members.push(Member {
            place,
            reading,
            passage,
        });
    }
}

impl StepTables {
    /// Whether an expression asks for last values: then readings of one message go together.
    pub(crate) fn asks_for_last(&self) -> bool {
        self.around.last.is_asked()
    }

    /// Readings of one device and time follow; `first` is the place of the first sample of them in the message.
    pub(crate) fn begin_moment(&mut self, first: usize) {
        self.moment = Some(Moment {
            first,
            members: Vec::new(),
        });
    }

    /// They have come: takes them through all tables.
    pub(crate) fn end_moment(&mut self, status: &SourceStatus, out: &mut Vec<Reading>) {
        let Some(Moment { first, mut members }) = self.moment.take() else {
            return;
        };
        members.sort_by_key(|member| member.place);
        let rules = self.rules.clone();
        for (at, step) in rules.iter().enumerate() {
            let mut passed = Vec::with_capacity(members.len());
            let mut copies = Vec::new();
            for member in members {
                if !self.fits(at, &member.reading) {
                    passed.push(member);
                } else if let Some(tag) = &step.derive {
                    copies.push(member.derived(tag));
                    passed.push(member);
                } else {
                    passed.extend(self.step_member(at, member, status, out));
                }
            }
            if step.is_once_a_moment() {
                copies = merged(copies, first);
            }
            for copy in copies {
                self.around.set_table(at + 1);
                self.around.show("derive", &copy.reading);
                let derived = self.step_member(at, copy, status, out);
                if let Some(derived) = &derived {
                    self.around.last.note(&derived.reading);
                }
                passed.extend(derived);
            }
            members = passed;
        }
        out.extend(members.into_iter().map(|member| member.reading));
    }

    fn step_member(
        &mut self,
        at: usize,
        member: Member,
        status: &SourceStatus,
        out: &mut Vec<Reading>,
    ) -> Option<Member> {
        let Member {
            place,
            reading,
            passage,
        } = member;
        self.note_place(place);
        let Way::On(reading) = self.step(at, reading, passage, status, out) else {
            return None;
        };
        Some(Member {
            place,
            reading,
            passage,
        })
    }
}

impl StepRule {
    /// Whether it derives a value in which it does not matter which of its readings is looked at.
    fn is_once_a_moment(&self) -> bool {
        let expression = self.rule.expression.as_ref();
        self.rule.rate.is_none() && expression.is_some_and(|one| one.is_of_last_values_alone())
    }
}

impl Member {
    fn derived(&self, tag: &TagName) -> Self {
        let mut copy = self.clone();
        copy.reading.series.tag = tag.clone();
        copy
    }
}

/// One copy for each time: the first of those that are worst. Its place does not depend on which of the samples are news, or a
/// message that comes again would not be known.
fn merged(copies: Vec<Member>, first: usize) -> Vec<Member> {
    let mut merged: Vec<Member> = Vec::new();
    for copy in copies {
        let same = |known: &&mut Member| known.reading.event_time == copy.reading.event_time;
        match merged.iter_mut().find(same) {
            Some(known) => known.join(copy),
            None => merged.push(Member {
                place: first,
                ..copy
            }),
        }
    }
    merged
}

impl Member {
    fn join(&mut self, other: Self) {
        if other.passage == Passage::Forced {
            self.passage = Passage::Forced;
        }
        if other.reading.status.quality > self.reading.status.quality {
            self.reading = other.reading;
        }
    }
}
