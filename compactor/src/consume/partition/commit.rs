//! One commit of a partition, tried until it succeeds: quarantine, opened gaps and events first, then the readings with their
//! state, then closed gaps, then the stream is told (E9).

use std::sync::atomic::Ordering::Relaxed;

use forebay_lake::{Gap, LakeError, PartitionRows, SEQ_UNKNOWN, StreamState};
use forebay_runtime::{Failpoint, failpoint};
use tokio::{task::spawn_blocking, time::Instant};
use tracing::{debug, field::Empty, info, info_span, warn};

use super::{CompactorError, Gathered, Pause, Run};
use crate::{
    consume::{
        contiguity::{Quarantined, opened_gaps},
        events,
        progress::add,
        side::{self, Origin},
    },
    ingest::{Step, Upload},
    traced::traced,
};

/// What of a commit is there already, for its next try.
#[derive(Default)]
struct Begun {
    /// The state as it is stored.
    stored: Option<StreamState>,
    upload: Upload,
    /// Whether the rows of its events are in their table.
    has_events: bool,
    /// Looks at what that table has that failed.
    looks: u32,
}

/// Whether what was to be committed is in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Committed {
    /// It is, or there was nothing.
    Yes,
    /// Another state counts: what was gathered is void.
    Fenced,
}

impl Run<'_> {
    /// Commits what was gathered.
    pub(super) async fn commit(&mut self) -> Result<Committed, CompactorError> {
        let mut gathered = std::mem::take(&mut self.gathered);
        let after = self.contiguity.state(&self.state);
        if gathered.readings == 0 && gathered.quarantine.is_empty() && is_same(&after, &self.state)
        {
            return Ok(Committed::Yes);
        }
        let (place, readings) = (self.at.place(), gathered.readings.cast_signed());
        let span = info_span!(
            "commit",
            place,
            readings,
            links_dropped = Empty,
            trace_id = Empty,
            otel.status_description = Empty
        );
        std::mem::take(&mut gathered.links).put_into(&span);
        traced(span, self.commit_gathered(gathered, after)).await
    }

    async fn commit_gathered(
        &mut self,
        mut gathered: Gathered,
        after: StreamState,
    ) -> Result<Committed, CompactorError> {
        let begun = Instant::now();
        let ways = self.contiguity.take_ways();
        let rows = std::mem::take(&mut gathered.rows);
        let sorting = spawn_blocking(move || rows.finish());
        // A panic while sorting is a broken invariant: it goes on in this task.
        let rows = sorting
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let rows = rows.map_err(|error| CompactorError::Lake {
            place: self.at.place(),
            source: error.into(),
        })?;
        let mut pause = Pause::new(&self.at.stop);
        if gathered.readings > 0 {
            self.times.moved();
        }
        let mut begun_commit = Begun::default();
        let number = loop {
            match self
                .try_commit(&gathered, &rows, &after, &mut begun_commit)
                .await
            {
                Ok(number) => break number,
                Err(LakeError::Fenced { .. }) => return Ok(Committed::Fenced),
                Err(error) => {
                    self.bear_unless_stopped(error, "cannot commit", &mut pause)
                        .await?
                }
            }
        };
        let opened = opened_gaps(&self.state, &after);
        self.tell_of(&gathered, &opened);
        let progress = &self.at.progress;
        add(&progress.committed, gathered.readings);
        add(&progress.quarantined, gathered.quarantine.len() as u64);
        add(&progress.gaps, opened.len() as u64);
        add(&progress.commits, 1);
        progress.arrivals.note(ways, (self.at.clock)().micros());
        let millis = begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        progress.last_commit_millis.store(millis, Relaxed);
        debug!(
            place = self.at.place(),
            number,
            readings = gathered.readings,
            millis,
            "committed"
        );
        (self.number, self.state) = (Some(number), after);
        let told = self.tell_ended_gaps().await?;
        if let Some(up_to) = self.contiguity.may_be_forgotten()
            && let Err(error) = self.reader.committed(up_to).await
        {
            warn!(place = self.at.place(), %error, "the stream was not told of a commit, which loses nothing");
        }
        Ok(told)
    }

    /// Ends and gaps of another copy of a gateway, which were ignored; no more than a line a minute.
    pub(super) fn tell_of_foreign(&mut self, records: u64) {
        if records > 0 && self.foreign_log.admit().is_some() {
            let place = self.at.place();
            warn!(
                place,
                records,
                "ignored ends or gaps that another opening of a gateway's spool told of: a restored or copied data folder"
            );
        }
    }

    /// What somebody who watches the log has to know of a commit: the first one, and what is missing. Of faults no more than
    /// a line a minute each.
    fn tell_of(&mut self, gathered: &Gathered, opened: &[&Gap]) {
        let place = self.at.place();
        if gathered.readings > 0 && self.at.progress.committed.load(Relaxed) == 0 {
            info!(
                place,
                readings = gathered.readings,
                "the first readings since the start are in the lake"
            );
        }
        if let Some(Quarantined { why, detail, .. }) = gathered.quarantine.first()
            && self.quarantine_log.admit().is_some()
        {
            let rows = gathered.quarantine.len();
            warn!(
                place,
                rows,
                first = why,
                detail = detail.as_deref(),
                "put into quarantine: `forebay query \"select * from quarantine\"` shows it"
            );
        }
        let unreadable = gathered.events.unreadable;
        if unreadable > 0 && self.event_log.admit().is_some() {
            warn!(
                place,
                unreadable,
                "events are not in the table `events`: a later release sent them, or another device uses their tag"
            );
        }
        // What is left of a gap when some of its readings have come is no news.
        let news: Vec<&Gap> = opened
            .iter()
            .copied()
            .filter(|gap| !self.state.gaps.iter().any(|old| holds(old, gap)))
            .collect();
        if let Some(Gap {
            gateway,
            lane,
            epoch,
            first,
            last,
            why,
            ..
        }) = news.first()
            && self.gap_log.admit().is_some()
        {
            let (gaps, last) = (news.len(), (*last != SEQ_UNKNOWN).then_some(*last));
            warn!(
                place,
                gaps,
                gateway,
                lane,
                epoch,
                first,
                last,
                why,
                "readings are missing: they stand in the table `gaps`"
            );
        }
    }

    async fn try_commit(
        &mut self,
        gathered: &Gathered,
        rows: &[PartitionRows],
        after: &StreamState,
        begun: &mut Begun,
    ) -> Result<i64, LakeError> {
        let at = self.at;
        let lake = &at.lake;
        let now = (at.clock)();
        let place = at.place();
        let origin = Origin {
            app_id: self.app_id,
            source: &place,
            base: self.number,
        };
        side::quarantine(lake, origin, &gathered.quarantine, now).await?;
        side::gaps(lake, origin, &opened_gaps(&self.state, after), now).await?;
        if !begun.has_events {
            let (names, events) = (&at.event_names, &gathered.events.events);
            events::write(lake, names, events, &mut begun.looks, now).await?;
            begun.has_events = true;
        }
        failpoint(Failpoint::AfterQuarantine);
        let stored = match begun.stored.take() {
            Some(stored) => stored,
            None => self.stored(after).await?,
        };
        let state = begun.stored.insert(stored);
        let step = Step {
            app_id: self.app_id,
            from_state: self.number,
            state,
            rows,
        };
        begun.upload.commit(lake, step, now).await
    }

    /// Tells the `gaps` table which gaps the state's commit ended.
    pub(super) async fn tell_ended_gaps(&mut self) -> Result<Committed, CompactorError> {
        let ended = self.state.ended_gaps.clone();
        let ended: Vec<&Gap> = ended.iter().collect();
        let place = self.at.place();
        let origin = Origin {
            app_id: self.app_id,
            source: &place,
            base: self.number,
        };
        let mut pause = Pause::new(&self.at.stop);
        loop {
            match side::gaps(&self.at.lake, origin, &ended, (self.at.clock)()).await {
                Ok(()) => return Ok(Committed::Yes),
                Err(LakeError::Fenced { .. }) => return Ok(Committed::Fenced),
                Err(error) => {
                    self.bear_unless_stopped(error, "cannot tell of closed gaps", &mut pause)
                        .await?
                }
            }
        }
    }

    /// Waits before the next try; once the stop has come, the error counts: what was not committed is read again at the
    /// next start.
    pub(super) async fn bear_unless_stopped(
        &mut self,
        error: LakeError,
        what: &'static str,
        pause: &mut Pause<'_>,
    ) -> Result<(), CompactorError> {
        if self.at.stop.is_cancelled() {
            return Err(CompactorError::Lake {
                place: self.at.place(),
                source: error,
            });
        }
        self.at.bear(error, what)?;
        pause.wait().await;
        Ok(())
    }
}

/// Whether two are the same gap, whatever has become of it.
pub(super) fn is_same_gap(one: &Gap, other: &Gap) -> bool {
    holds(one, other) && holds(other, one)
}

/// Whether one gap lies within another.
fn holds(outer: &Gap, inner: &Gap) -> bool {
    let lane = |gap: &Gap| (gap.lane, gap.epoch);
    outer.gateway == inner.gateway
        && lane(outer) == lane(inner)
        && outer.first <= inner.first
        && inner.last <= outer.last
}

/// Whether two states say the same, but for what was told already, and since when something is held: a restart alone commits
/// nothing.
fn is_same(a: &StreamState, b: &StreamState) -> bool {
    let bare = |state: &StreamState| {
        let mut bare = StreamState {
            ended_gaps: Vec::new(),
            ..state.clone()
        };
        bare.sites
            .iter_mut()
            .for_each(|site| site.held_from_until = None);
        bare
    };
    bare(a) == bare(b)
}
