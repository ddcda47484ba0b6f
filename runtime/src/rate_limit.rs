//! A limit for log lines that repeat: the first of a minute is written, the others are counted.

use std::time::Duration;

use tokio::time::Instant;

/// How long others are only counted, unless said otherwise.
const QUIET: Duration = Duration::from_secs(60);

/// One kind of log line.
#[derive(Debug)]
pub struct RateLimit {
    quiet: Duration,
    last: Option<Instant>,
    skipped: u64,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            quiet: QUIET,
            last: None,
            skipped: 0,
        }
    }
}

impl RateLimit {
    /// Notes that there is something to log. Some if a line may be written now: how many were skipped since the last one.
    pub fn admit(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last < self.quiet) {
            self.skipped += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.skipped))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_a_minute_and_the_number_of_those_between() {
        let mut limit = RateLimit::default();
        assert_eq!(
            (limit.admit(), limit.admit(), limit.admit()),
            (Some(0), None, None)
        );
        advance(Duration::from_secs(59)).await;
        assert_eq!(limit.admit(), None);
        advance(Duration::from_secs(1)).await;
        assert_eq!((limit.admit(), limit.admit()), (Some(3), None));
    }
}
