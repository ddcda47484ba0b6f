//! The spans of records that are published: of those whose readings belong to a trace already, and now and then of another.

use std::collections::VecDeque;

use forebay_runtime::trace::{Sampler, is_on, set_parent, show};
use tracing::{Span, field::Empty, info_span};

use crate::{
    LogReader, Receipt,
    raw::{RawEntry, RawRecord},
};

/// Spans of records that are under way.
#[derive(Default)]
pub(super) struct PublishTraces {
    sampler: Sampler,
    /// By the number of their record, oldest first; few.
    under_way: VecDeque<(usize, Span)>,
}

impl PublishTraces {
    /// Begins the span of a record, if it is traced.
    pub(super) fn begin(
        &mut self,
        record: &RawRecord,
        reader: &dyn LogReader,
        lane: &str,
    ) -> Option<Span> {
        let RawEntry::Readings(batch) = &record.entry else {
            return None;
        };
        if !is_on() {
            return None;
        }
        let (epoch, first_seq) = (batch.head.epoch, batch.head.first_seq);
        let readings = Receipt {
            epoch,
            first_seq,
            last_seq: batch.head.last_seq()?,
        };
        let parent = reader.trace_of(&readings);
        if parent.is_none() && !self.sampler.admit() {
            return None;
        }
        let count = i64::from(batch.head.count);
        let span = info_span!(parent: None, "publish", lane, %epoch, %first_seq, readings = count, trace_id = Empty);
        if let Some(parent) = parent {
            set_parent(&span, parent);
        }
        show(&span);
        Some(span)
    }

    /// A record is under way.
    pub(super) fn sent(&mut self, number: usize, span: Option<Span>) {
        self.under_way.extend(span.map(|span| (number, span)));
    }

    /// A record has been answered: its span ends.
    pub(super) fn answered(&mut self, number: usize) {
        self.under_way.retain(|(of, _)| *of != number);
    }
}
