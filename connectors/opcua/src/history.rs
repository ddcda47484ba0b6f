//! Which stretches of a tag's values were never delivered, and up to where the others are durable.
//!
//! Kept here:
//! - A gap is opened in memory when the first value after a loss arrives, and closed when the values that fill it are durable.
//! - `seen`, the time up to which a tag's values are durable, advances after their receipt alone (E1). It lies in a file, so
//!   that the time in which the gateway was stopped is a gap too; what is written there may be older than what is
//!   durable (by [`SAVE_EVERY`](crate::pump::SAVE_EVERY) after a crash), never newer.
//! - A tag has at most [`GAPS_MAX`] gaps: the two oldest of more are joined, and what was delivered between them is read twice.
//! - A source's wrong time closes no gap: one that no clock explains ([`AHEAD_MAX`]) is passed over, and one that is ahead of the
//!   gateway's clock stands until the next value only. A source that is ahead steadily keeps its own order.
//! - A gap that a server does not fill now is kept; it is asked for again, less and less often.
//!
//! All times are the source's. Both ends of a gap were delivered and are not part of it. No network here.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use forebay_schemas::Timestamp;
use tokio::time::Instant;

use crate::settings::{Settings, Tag};

const GAPS_MAX: usize = 64;
/// The file's first line; another number is another format.
const HEAD: &str = "forebay-opcua-history 1";
/// The resolution of OPC UA's times.
const TICK_NANOS: i64 = 100;
/// A source that is set to local time is ahead of UTC by less than this.
const AHEAD_MAX: Duration = Duration::from_secs(86_400);
/// What a right clock may be ahead: the gateway's `clock_skew_max`, where it is not configured.
const SKEW_MAX: Duration = Duration::from_secs(300);
/// How long a gap waits that a server does not fill now, at first and at last.
const WAIT_MIN: Duration = Duration::from_secs(30);
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// A stretch of time whose values were not delivered; both ends excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

/// What to read from the server's history at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// Handles with the gap that is to be filled of each.
    pub(crate) gaps: Vec<(u32, Gap)>,
}

/// How far a gap has been filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All values before this time are durable.
    UpTo(Timestamp),
    /// The answer brought values before the gap alone: this tag has to be asked for on its own.
    Alone,
    /// The server does not give it now: it is asked for again after a while.
    Later,
    /// The server has no history of it.
    Hopeless,
}

/// Of all tags with history.
#[derive(Debug)]
pub(crate) struct History {
    path: PathBuf,
    depth: Duration,
    tags: Arc<[Tag]>,
    /// By handle, of the tags with history.
    series: BTreeMap<u32, Series>,
    is_changed: bool,
    /// Times of values that were handed over and have no receipt yet.
    fresh: Vec<(u32, Timestamp)>,
}

#[derive(Debug, Default)]
struct Series {
    seen: Option<Timestamp>,
    last: Option<Timestamp>,
    /// Values were lost, and none has come since with a time that can end the gap.
    has_loss: bool,
    gaps: Vec<Gap>,
    is_alone: bool,
    wait: Option<Wait>,
}

/// Why a gap is not asked for now.
#[derive(Debug, Clone, Copy)]
struct Wait {
    until: Instant,
    length: Duration,
}

impl History {
    /// Of tags that were never read.
    pub(crate) fn new(settings: &Settings) -> Self {
        let with_history = (1..)
            .zip(&*settings.tags)
            .filter(|(_, tag)| tag.has_history);
        Self {
            path: settings.history_file.clone(),
            depth: settings.history.depth,
            tags: settings.tags.clone(),
            series: with_history
                .map(|(handle, _)| (handle, Series::default()))
                .collect(),
            is_changed: false,
            fresh: Vec::new(),
        }
    }

    /// Reads what an earlier process has written. Blocks.
    ///
    /// # Errors
    /// The file cannot be read, or is of another format.
    pub(crate) fn load(settings: &Settings) -> io::Result<Self> {
        let mut history = Self::new(settings);
        if !history.series.is_empty() {
            match fs::read_to_string(&history.path) {
                Ok(text) => history.read(&text)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(history)
    }

    /// Takes in the time of a value, and opens the gap before it where values were not delivered. `now` is the gateway's time.
    pub(crate) fn noticed(&mut self, handle: u32, time: Timestamp, now: Timestamp, loss: Loss) {
        let depth = self.depth;
        let Some(series) = self.get(handle) else {
            return;
        };
        series.has_loss |= loss == Loss::Before;
        let can_be = |time: &Timestamp| *time <= moved(now, AHEAD_MAX);
        if !can_be(&time) {
            return;
        }
        let last = series.last.filter(can_be);
        if std::mem::take(&mut series.has_loss) {
            let begin = i64::try_from(depth.as_nanos()).unwrap_or(i64::MAX);
            let first = Timestamp::from_nanos(time.nanos().saturating_sub(begin));
            let from = last.unwrap_or(first);
            if from < time {
                series.open(Gap { from, to: time });
            }
        }
        let stands = last.filter(|last| *last <= moved(now, SKEW_MAX));
        let last = stands.map_or(time, |last| last.max(time));
        series.last = Some(last);
        self.fresh.push((handle, last));
        self.is_changed = true;
    }

    /// Up to when values were noticed since this was asked last, to go with their delivery.
    pub(crate) fn fresh(&mut self) -> Vec<(u32, Timestamp)> {
        std::mem::take(&mut self.fresh)
    }

    /// The values up to these times are durable; deliveries come in order.
    pub(crate) fn stored(&mut self, times: &[(u32, Timestamp)]) {
        for (handle, time) in times {
            if let Some(series) = self.get(*handle) {
                series.seen = Some(*time);
            }
        }
        self.is_changed |= !times.is_empty();
    }

    /// What to read next: the earliest gap, and with it those of other tags that lie in the same stretch.
    pub(crate) fn plan(&self, span: Duration, nodes_max: usize, now: Instant) -> Option<Plan> {
        let first = |(handle, series): (&u32, &Series)| {
            let is_due = series.wait.is_none_or(|wait| wait.until <= now);
            let gap = series.gaps.first().filter(|_| is_due)?;
            Some((*handle, *gap, series.is_alone))
        };
        let mut open: Vec<(u32, Gap, bool)> = self.series.iter().filter_map(first).collect();
        open.sort_by_key(|(_, gap, _)| gap.from);
        let (handle, earliest, is_alone) = *open.first()?;
        let from = earliest.from;
        let span = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        let end = Timestamp::from_nanos(from.nanos().saturating_add(span));
        let gaps: Vec<(u32, Gap)> = if is_alone {
            vec![(handle, earliest)]
        } else {
            let fits = |(_, gap, is_alone): &&(u32, Gap, bool)| gap.from < end && !is_alone;
            let some = open.iter().filter(fits).take(nodes_max);
            some.map(|(handle, gap, _)| (*handle, *gap)).collect()
        };
        let last = gaps.iter().map(|(_, gap)| gap.to).max()?;
        Some(Plan {
            from,
            to: end.min(last),
            gaps,
        })
    }

    /// Whether a tag's gap was not filled when it was asked for last, for a reason that may pass.
    pub(crate) fn is_waiting(&self, handle: u32) -> bool {
        let series = self.series.get(&handle);
        series.is_some_and(|series| series.wait.is_some())
    }

    /// There is a new link: what a server did not give before it may give now.
    pub(crate) fn linked(&mut self) {
        for series in self.series.values_mut() {
            series.wait = None;
        }
    }

    /// Takes in how far the first gap of a tag is filled.
    pub(crate) fn filled(&mut self, handle: u32, progress: Progress, now: Instant) {
        let Some(series) = self.get(handle) else {
            return;
        };
        let Some(gap) = series.gaps.first_mut() else {
            return;
        };
        series.is_alone = progress == Progress::Alone;
        let before = series.wait.take();
        match progress {
            Progress::UpTo(time) => {
                // A time that does not move would be asked for again for ever.
                gap.from = time.max(tick_after(gap.from));
                if tick_after(gap.from) >= gap.to {
                    series.gaps.remove(0);
                }
            }
            Progress::Alone => {}
            Progress::Later => {
                let length = before.map_or(WAIT_MIN, |wait| (wait.length * 2).min(WAIT_MAX));
                let until = now + length;
                series.wait = Some(Wait { until, length });
            }
            Progress::Hopeless => {
                series.gaps.remove(0);
            }
        }
        self.is_changed = true;
    }

    /// The text to write, where anything has changed since it was taken last.
    pub(crate) fn changed(&mut self) -> Option<(PathBuf, String)> {
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        let mut text = format!("{HEAD}\n");
        for (handle, series) in &self.series {
            let Some((seen, name)) = series.seen.zip(self.name(*handle)) else {
                continue;
            };
            text.push_str(&format!("{name}\t{}", seen.nanos()));
            for gap in &series.gaps {
                text.push_str(&format!("\t{}:{}", gap.from.nanos(), gap.to.nanos()));
            }
            text.push('\n');
        }
        Some((self.path.clone(), text))
    }

    /// The text could not be written.
    pub(crate) fn not_saved(&mut self) {
        self.is_changed = true;
    }

    fn read(&mut self, text: &str) -> io::Result<()> {
        let broken = |what: String| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{what}: remove the file, and the gaps it names are not filled"),
            )
        };
        let mut lines = text.lines();
        let head = lines.next().unwrap_or_default();
        if head != HEAD {
            return Err(broken(format!("{head:?} is not {HEAD:?}")));
        }
        let mut kept = HashMap::new();
        for line in lines {
            let parsed = parse(line).ok_or_else(|| broken(format!("{line:?} cannot be read")))?;
            kept.extend([parsed]);
        }
        // A tag that is no longer configured has no gaps to fill.
        let handles: Vec<u32> = self.series.keys().copied().collect();
        for handle in handles {
            let known = self.name(handle).and_then(|name| kept.remove(&name));
            if let Some(known) = known {
                self.series.insert(handle, known);
            }
        }
        Ok(())
    }

    /// A series as it stands in the file: device, tag, node.
    fn name(&self, handle: u32) -> Option<String> {
        let place = (handle as usize).checked_sub(1)?;
        let tag = self.tags.get(place)?;
        let target = &tag.target;
        Some(format!(
            "{}\t{}\t{}",
            target.device,
            target.tag,
            tag.node.as_str()
        ))
    }

    fn get(&mut self, handle: u32) -> Option<&mut Series> {
        self.series.get_mut(&handle)
    }
}

/// Whether values before one were delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    None,
    Before,
}

impl Series {
    fn open(&mut self, gap: Gap) {
        self.gaps.push(gap);
        if self.gaps.len() > GAPS_MAX {
            let second = self.gaps.remove(1);
            if let Some(first) = self.gaps.first_mut() {
                first.to = first.to.max(second.to);
            }
        }
    }
}

/// Writes the file so that a crash leaves the old or the new one. Blocks.
///
/// # Errors
/// The folder or the file cannot be written.
pub(crate) fn save(path: &Path, text: &str) -> io::Result<()> {
    let Some(folder) = path.parent() else {
        return Err(io::Error::other("a file in a folder is expected"));
    };
    fs::create_dir_all(folder)?;
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(folder)?.sync_all()
}

/// The last instant before a time.
pub(crate) fn tick_before(time: Timestamp) -> Timestamp {
    Timestamp::from_nanos(time.nanos().saturating_sub(TICK_NANOS))
}

fn moved(time: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_nanos()).unwrap_or(i64::MAX);
    Timestamp::from_nanos(time.nanos().saturating_add(by))
}

fn tick_after(time: Timestamp) -> Timestamp {
    Timestamp::from_nanos(time.nanos().saturating_add(TICK_NANOS))
}

/// A series and its name.
fn parse(line: &str) -> Option<(String, Series)> {
    let mut parts = line.split('\t');
    let name: Vec<&str> = parts.by_ref().take(3).collect();
    let seen = Timestamp::from_nanos(parts.next()?.parse().ok()?);
    let gap = |text: &str| {
        let (from, to) = text.split_once(':')?;
        Some(Gap {
            from: Timestamp::from_nanos(from.parse().ok()?),
            to: Timestamp::from_nanos(to.parse().ok()?),
        })
    };
    let mut gaps: Vec<Gap> = parts.map(gap).collect::<Option<_>>()?;
    // Behind what is durable everything is read again, and these gaps with it.
    gaps.retain(|gap| gap.from < seen);
    let series = Series {
        seen: Some(seen),
        last: Some(seen),
        gaps,
        ..Series::default()
    };
    Some((name.join("\t"), series))
}

#[cfg(test)]
mod tests;
