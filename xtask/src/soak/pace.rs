//! Time, which a soak is about, and the runs of `dist` too: the one place of this crate that looks at the clock and waits.

use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Since when.
pub(crate) struct Watch(Instant);

impl Watch {
    #[expect(
        clippy::disallowed_methods,
        reason = "a soak is measured in the time of the machine it runs on"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn passed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a soak watches other processes, which tell of nothing"
)]
pub(crate) fn sleep(time: Duration) {
    thread::sleep(time);
}

/// µs since 1970 UTC, for peers that date their values.
#[expect(
    clippy::disallowed_methods,
    reason = "a device's clock is the machine's"
)]
pub(crate) fn micros_now() -> anyhow::Result<u128> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())
}

/// A whole number of `s`, `m` or `h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time such as \"90s\", \"3m\" or \"1h\"");
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(seconds) * number)
}

/// As `12m05s`.
pub(crate) fn shown(time: Duration) -> String {
    format!("{}m{:02}s", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("3m", Some(180)),
            ("1h", Some(3600)),
            ("3", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(
                duration(text).ok(),
                seconds.map(Duration::from_secs),
                "{text:?}"
            );
        }
        assert_eq!(shown(Duration::from_secs(725)), "12m05s");
    }
}
