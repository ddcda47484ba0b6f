//! Where time and chance come into the program.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat};
use forebay_connectors::{Context, Uniform};
use forebay_keys::Random;
use forebay_schemas::{Clock, GatewayId, Timestamp};
use ring::rand::{SecureRandom as _, SystemRandom};

/// The gateway's clock, read once: a clock that is out of any range is an error before anything runs by it.
#[expect(
    clippy::disallowed_methods,
    reason = "the binary is where the clock comes in"
)]
pub(crate) fn now() -> anyhow::Result<Timestamp> {
    let since_1970 = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .context("this machine's clock is before the year 1970: set it")?;
    let nanos = i64::try_from(since_1970.as_nanos())
        .context("this machine's clock is after the year 2262: set it")?;
    Ok(Timestamp::from_nanos(nanos))
}

/// The gateway's clock.
pub(crate) fn clock() -> Clock {
    Arc::new(|| now().unwrap_or(Timestamp::from_nanos(0)))
}

/// Randomness of the system.
pub(crate) fn random() -> Random {
    Arc::new(SystemRandom::new())
}

/// What connectors are lent; what they write lies in the data folder.
pub(crate) fn context(gateway: GatewayId, data_dir: PathBuf) -> Context {
    Context {
        gateway,
        data_dir,
        clock: clock(),
        uniform: uniform(),
    }
}

pub(crate) fn uniform() -> Uniform {
    let random = SystemRandom::new();
    Arc::new(move || {
        let mut bytes = [0; 4];
        // Without randomness every gateway waits the same: slower to recover, not wrong.
        random.fill(&mut bytes).map_or(0.5, |()| {
            f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
        })
    })
}

/// An instant for people: RFC 3339 in UTC, to the second.
#[cfg(feature = "lake")]
pub(crate) fn rfc3339(at: Timestamp) -> String {
    DateTime::from_timestamp_nanos(at.nanos()).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An instant for people and programs: RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339_millis(at: Timestamp) -> String {
    DateTime::from_timestamp_nanos(at.nanos()).to_rfc3339_opts(SecondsFormat::Millis, true)
}
