//! Keeping a table's log short and its store free of what nobody needs, on its own schedule (E7, E8).
//!
//! Invariants: nothing here takes part in a commit of data, and its failures harm no data; only a vacuum deletes data
//! files. The table itself says what is due: the last checkpoint, and the transaction of the last vacuum.

mod log;
mod retention;
mod vacuum;

use std::time::Duration;

use forebay_schemas::Timestamp;

use crate::{LakeError, LakeTable, LakeWriter};

/// When to do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaintainPolicy {
    /// A checkpoint is due after as many commits, or after `log_retention`.
    pub checkpoint_every: u64,
    /// How long entries of the log are kept once a checkpoint holds what they say, and how old a checkpoint may get that
    /// lacks entries: a log holds at most about twice this time. At least [`RETENTION_MIN`].
    pub log_retention: Duration,
    /// How long deleted and never committed files are kept; at least [`RETENTION_MIN`]. Readers of an old version, and
    /// attempts under way, must be done within this time.
    pub file_retention: Duration,
}

/// The shortest retention: a merge under way must not lose its files again and again.
pub const RETENTION_MIN: Duration = Duration::from_secs(60);

const DAY_SECONDS: u64 = 24 * 3600;
const DAY: Duration = Duration::from_secs(DAY_SECONDS);

/// So many vacuums are due within the retention of files: what is needless stays at most a seventh longer.
const VACUUMS: u32 = 7;

impl Default for MaintainPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl MaintainPolicy {
    /// What holds where the configuration says nothing.
    pub const DEFAULT: Self = Self {
        checkpoint_every: 100,
        log_retention: Duration::from_secs(30 * DAY_SECONDS),
        file_retention: Duration::from_secs(7 * DAY_SECONDS),
    };

    /// A vacuum is due after this time.
    fn vacuum_every(&self) -> Duration {
        self.file_retention / VACUUMS
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Log entries and checkpoints deleted.
    pub log_files_deleted: u64,
    /// Tables vacuumed.
    pub vacuums: u64,
    /// Data files, state objects and temporary files deleted.
    pub files_deleted: u64,
    /// Tables of which something could not be done; the log says what.
    pub failed: u64,
}

/// Does what is due in every table. Call it every minute or so: when nothing is due it reads a few small objects.
///
/// A failure is logged and counted, and the other tables are seen to all the same; what is undone is due next time.
pub async fn maintain(lake: &LakeWriter, policy: &MaintainPolicy, now: Timestamp) -> Maintained {
    let mut done = Maintained::default();
    for table in lake.tables() {
        let outcome = table.maintain(lake, policy, now, &mut done).await;
        if let Err(error) = outcome {
            done.failed += 1;
            tracing::warn!(table = table.schema().name, %error, "maintenance failed, retrying later");
        }
    }
    done
}

impl LakeTable {
    async fn maintain(
        &self,
        lake: &LakeWriter,
        policy: &MaintainPolicy,
        now: Timestamp,
        done: &mut Maintained,
    ) -> Result<(), LakeError> {
        // What cannot be told must not keep the log from being cleaned.
        let told = self.tell_retention(policy).await;
        let logged = self.shorten_log(policy, now, done).await;
        // On a full disk this makes room for the others: they come again.
        let vacuumed = self.vacuum_if_due(lake, policy, now).await?;
        done.vacuums += u64::from(vacuumed.is_some());
        done.files_deleted += vacuumed.unwrap_or_default();
        logged.and(told)
    }

    async fn shorten_log(
        &self,
        policy: &MaintainPolicy,
        now: Timestamp,
        done: &mut Maintained,
    ) -> Result<(), LakeError> {
        let retention = ms(policy.log_retention.max(RETENTION_MIN));
        if self
            .checkpoint_if_due(policy.checkpoint_every, retention, now)
            .await?
        {
            done.checkpoints += 1;
            done.log_files_deleted += self.clean_log(retention, now).await?;
        }
        Ok(())
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests;
