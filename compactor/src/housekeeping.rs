//! Small files become large ones, and logs stay short: on its own schedule, beside ingest, which it never holds up.
//!
//! Whatever fails here is logged and done again later: no reading depends on it.

use std::{sync::Arc, time::Duration};

use forebay_lake::{
    LakeError, LakeWriter, MaintainPolicy, MergeOutcome, MergePolicy, maintain, merge, plan,
};
use forebay_schemas::{Clock, Timestamp, table::TABLES};
use tokio_util::sync::CancellationToken;
use tracing::{field::Empty, info, info_span, warn};

use crate::traced::traced;

/// How often logs and needless files are looked at.
const MAINTAIN_EVERY: Duration = Duration::from_secs(60);

/// When small files are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeSettings {
    /// How often files are looked at.
    pub every: Duration,
    /// A file younger than this may soon have company, and waits.
    pub settled: Duration,
}

impl Default for MergeSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl MergeSettings {
    /// What holds where the configuration says nothing.
    pub const DEFAULT: Self = Self {
        every: Duration::from_secs(60),
        settled: Duration::from_secs(60),
    };
}

/// Merges and maintains until the stop; a merge under way is dropped then, which loses nothing.
pub async fn run_housekeeping(
    lake: Arc<LakeWriter>,
    merging: MergeSettings,
    policy: MaintainPolicy,
    clock: Clock,
    stop: CancellationToken,
) {
    let merges = async {
        loop {
            tokio::time::sleep(merging.every).await;
            if let Err(error) = merge_small_files(&lake, merging.settled, clock()).await {
                warn!(%error, "merging failed, retrying later");
            }
        }
    };
    let maintenance = async {
        loop {
            tokio::time::sleep(MAINTAIN_EVERY).await;
            maintain(&lake, &policy, clock()).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = merges => {}
        () = maintenance => {}
    }
}

/// Merges what is worth it in every table. Only a table that cannot be read is an error; a merge that fails is logged.
async fn merge_small_files(
    lake: &LakeWriter,
    settled: Duration,
    now: Timestamp,
) -> Result<(), LakeError> {
    let settled = now
        .nanos()
        .saturating_sub(i64::try_from(settled.as_nanos()).unwrap_or(i64::MAX));
    let policy = MergePolicy::settled_before(Timestamp::from_nanos(settled));
    for table in TABLES {
        let snapshot = lake.table(table)?.snapshot().await?;
        for spec in plan(lake, table, &snapshot.files(), &policy) {
            let files = spec.files.len().cast_signed();
            let span = info_span!(
                "merge",
                table = table.name,
                files,
                trace_id = Empty,
                otel.status_description = Empty
            );
            match traced(span, merge(lake, &spec, now)).await {
                Ok(MergeOutcome::Merged { rows, bytes, .. }) => {
                    info!(table = table.name, files, rows, bytes, "merged small files");
                }
                Ok(MergeOutcome::Abandoned { why }) => {
                    info!(table = table.name, why, "a merge was abandoned")
                }
                // One bad file must not keep all others small.
                Err(error) => {
                    warn!(table = table.name, %error, "a merge failed, continuing with the others")
                }
            }
        }
    }
    Ok(())
}
