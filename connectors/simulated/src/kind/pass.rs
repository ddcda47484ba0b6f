//! Passes through a file: which row is next, when it is due, and which time its readings have.
//!
//! The first row of a pass is due at once, the others as far behind it as they were recorded, divided by the speed. A row that
//! was recorded before the one in front of it is due with that one, and keeps its own time. The file is opened anew for each pass,
//! so that it may be replaced meanwhile.

use std::{collections::VecDeque, time::Duration};

use forebay_schemas::Timestamp;
use tokio::task::spawn_blocking;

use super::replay::{Recording, Row, Rows};

/// Rows that are read at once.
const CHUNK_ROWS: usize = 1_000;
/// The pause behind the last row of a file that has but one.
const PAUSE: Duration = Duration::from_secs(1);
/// However fast it is replayed, a pass takes as long as this.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// Which times replayed readings have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// When the row is due.
    Shifted,
    /// When the row was recorded.
    Recorded,
}

/// A replay, as configured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replay {
    pub(super) recording: Recording,
    pub(super) times: Times,
    /// Above zero.
    pub(super) speed: f64,
    pub(super) repeats: bool,
}

/// A replay under way. Times are counted from the connector's start.
pub(super) struct Player<'r> {
    replay: &'r Replay,
    source: Source,
    /// When the pass's first row is due.
    began: Duration,
    /// When that was recorded.
    first: Option<Timestamp>,
    /// When the row before was due.
    last_due: Duration,
    /// From the first row to the last one.
    span: Duration,
    /// Rows of this pass that have a time.
    timed: u32,
    ready: VecDeque<Row>,
}

enum Source {
    Closed,
    Open(Rows),
    /// All rows are ready or were taken.
    Drained,
}

/// A row whose time has come.
pub(super) struct DueRow {
    pub(super) row: Row,
    pub(super) due: Duration,
    /// The time of its readings; none where the recording's cannot be read.
    pub(super) event_time: Option<Timestamp>,
}

impl<'r> Player<'r> {
    pub(super) fn new(replay: &'r Replay) -> Self {
        Self {
            replay,
            source: Source::Closed,
            began: Duration::ZERO,
            first: None,
            last_due: Duration::ZERO,
            span: Duration::ZERO,
            timed: 0,
            ready: VecDeque::new(),
        }
    }

    /// Begins a pass whose first row is due then.
    pub(super) fn begin(&mut self, began: Duration) {
        *self = Self {
            began,
            last_due: began,
            ..Self::new(self.replay)
        };
    }

    /// Makes the next row ready, if there is one.
    pub(super) async fn fill(&mut self) -> Result<(), String> {
        if self.ready.is_empty() && matches!(self.source, Source::Drained) && self.replay.repeats {
            self.begin(self.last_due.saturating_add(self.pause()));
        }
        while self.ready.is_empty() {
            let rows = match std::mem::replace(&mut self.source, Source::Drained) {
                Source::Drained => return Ok(()),
                Source::Closed => None,
                Source::Open(rows) => Some(rows),
            };
            let is_first = rows.is_none();
            let recording = self.replay.recording.clone();
            let read = spawn_blocking(move || chunk(&recording, rows)).await;
            let path = self.replay.recording.path.display();
            let (rows, ready) =
                read.map_err(|error| format!("reading {path} failed: {error}"))??;
            if is_first && ready.is_empty() {
                return Err(format!("{path} has no rows"));
            }
            if ready.len() == CHUNK_ROWS {
                self.source = Source::Open(rows);
            }
            self.ready = ready;
        }
        Ok(())
    }

    /// When the next row is due.
    pub(super) fn due(&self) -> Option<Duration> {
        let row = self.ready.front()?;
        let after = row.at.as_ref().map_or(0, |at| self.after(*at));
        let after = Duration::from_nanos(u64::try_from(after).unwrap_or(0));
        Some(self.began.saturating_add(after).max(self.last_due))
    }

    /// The next row, if it is due when so much has `passed` since the start; by the clock it is `now`.
    pub(super) fn take(&mut self, passed: Duration, now: Timestamp) -> Option<DueRow> {
        let due = self.due().filter(|due| *due <= passed)?;
        let row = self.ready.pop_front()?;
        let mut event_time = None;
        if let Ok(at) = row.at {
            self.first.get_or_insert(at);
            let after = self.after(at);
            event_time = Some(match self.replay.times {
                Times::Recorded => at,
                Times::Shifted => {
                    let ago = nanos(passed) - nanos(self.began) - i128::from(after);
                    Timestamp::from_nanos(saturated(i128::from(now.nanos()) - ago))
                }
            });
            let after = Duration::from_nanos(u64::try_from(after).unwrap_or(0));
            self.span = self.span.max(after);
            self.timed = self.timed.saturating_add(1);
        }
        self.last_due = due;
        Some(DueRow {
            row,
            due,
            event_time,
        })
    }

    /// Nanoseconds from the first row of the pass, at the speed of the replay.
    fn after(&self, at: Timestamp) -> i64 {
        let first = self.first.unwrap_or(at);
        let recorded = i128::from(at.nanos()) - i128::from(first.nanos());
        if self.replay.speed == 1.0 {
            return saturated(recorded);
        }
        (recorded as f64 / self.replay.speed).round() as i64
    }

    /// As long as rows were apart on average.
    fn pause(&self) -> Duration {
        let pause = match self.timed {
            0 | 1 => Duration::try_from_secs_f64(PAUSE.as_secs_f64() / self.replay.speed)
                .unwrap_or(PAUSE),
            rows => self.span / (rows - 1),
        };
        pause.max(PAUSE_MIN)
    }
}

/// The next rows, and those behind them. The file is opened where it is not.
fn chunk(recording: &Recording, rows: Option<Rows>) -> Result<(Rows, VecDeque<Row>), String> {
    let mut rows = match rows {
        Some(rows) => rows,
        None => recording.open()?,
    };
    let ready = rows.by_ref().take(CHUNK_ROWS).collect::<Result<_, _>>()?;
    Ok((rows, ready))
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

fn saturated(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, path::Path};

    use super::{super::replay::FileForm, *};

    /// 2026-01-31T12:00:00Z.
    const AT: i64 = 1_769_860_800;
    const NOW: i64 = 1_795_000_000_000_000_000;

    fn replay(folder: &Path, text: &str) -> Replay {
        let path = folder.join("a.csv");
        std::fs::write(&path, text).unwrap();
        Replay {
            recording: Recording {
                path,
                form: FileForm::Csv,
                time_column: "time".into(),
                columns: vec!["v".into()],
            },
            times: Times::Shifted,
            speed: 1.0,
            repeats: true,
        }
    }

    fn file(seconds: &[i64]) -> String {
        let mut text = "time,v\n".to_owned();
        for second in seconds {
            writeln!(text, "{},{second}", AT + second).unwrap();
        }
        text
    }

    /// When rows are due, and how far behind `NOW` their readings lie by their times, in milliseconds.
    async fn played(replay: &Replay, count: usize) -> Vec<(u128, i64)> {
        let mut player = Player::new(replay);
        let mut rows = Vec::new();
        for _ in 0..count {
            player.fill().await.unwrap();
            let Some(due) = player.due() else { break };
            // Half a second late.
            let passed = due + Duration::from_millis(500);
            let row = player.take(passed, Timestamp::from_nanos(NOW)).unwrap();
            assert_eq!(row.due, due);
            let late = (NOW - row.event_time.unwrap().nanos()) / 1_000_000;
            rows.push((due.as_millis(), late));
        }
        rows
    }

    #[tokio::test]
    async fn rows_are_as_far_apart_as_they_were_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let replay = replay(folder.path(), &file(&[0, 10, 30]));
        let expected = [(0, 500), (10_000, 500), (30_000, 500), (45_000, 500)];
        assert_eq!(played(&replay, 4).await, expected);
        let faster = Replay {
            speed: 20.0,
            ..replay.clone()
        };
        let expected = [(0, 500), (500, 500), (1_500, 500), (2_250, 500)];
        assert_eq!(played(&faster, 4).await, expected);
        let once = Replay {
            repeats: false,
            ..replay
        };
        assert_eq!(played(&once, 9).await.len(), 3);
    }

    #[tokio::test]
    async fn a_row_of_an_earlier_time_comes_at_once_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let replay = replay(folder.path(), &file(&[5, 10, 2, 11]));
        let expected = [(0, 500), (5_000, 500), (5_000, 8_500), (6_000, 500)];
        assert_eq!(played(&replay, 4).await, expected);
    }

    #[tokio::test]
    async fn recorded_times_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let replay = Replay {
            times: Times::Recorded,
            ..replay(folder.path(), &file(&[0, 10]))
        };
        let mut player = Player::new(&replay);
        player.begin(Duration::from_secs(7));
        for second in [0, 10] {
            player.fill().await.unwrap();
            let passed = Duration::from_secs(100);
            let row = player.take(passed, Timestamp::from_nanos(NOW)).unwrap();
            let recorded = Timestamp::from_nanos((AT + second) * 1_000_000_000);
            assert_eq!(row.event_time, Some(recorded));
        }
    }

    #[tokio::test]
    async fn a_file_is_read_in_chunks_and_a_broken_row_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let seconds: Vec<i64> = (0..2 * CHUNK_ROWS as i64).collect();
        let text = file(&seconds) + "noon,1\n1769870000,2\n";
        let replay = Replay {
            repeats: false,
            ..replay(folder.path(), &text)
        };
        let mut player = Player::new(&replay);
        let mut rows = Vec::new();
        loop {
            player.fill().await.unwrap();
            assert!(player.ready.len() <= CHUNK_ROWS);
            let Some(row) = player.take(Duration::MAX, Timestamp::from_nanos(NOW)) else {
                break;
            };
            rows.push(row);
        }
        assert_eq!(rows.len(), seconds.len() + 2);
        let broken = &rows[seconds.len()];
        assert_eq!(broken.event_time, None);
        assert_eq!(broken.due, rows[seconds.len() - 1].due);
        assert!(rows[seconds.len() + 1].event_time.is_some());
    }

    #[tokio::test]
    async fn without_rows_there_is_nothing_to_replay() {
        let folder = tempfile::tempdir().unwrap();
        let replay = replay(folder.path(), "time,v\n");
        let error = Player::new(&replay).fill().await.unwrap_err();
        assert!(error.ends_with("a.csv has no rows"), "{error}");
    }
}
