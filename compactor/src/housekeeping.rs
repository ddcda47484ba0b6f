//! Small files become large ones, and logs stay short: on its own schedule, beside ingest, which it never holds up.
//!
//! Whatever fails here is logged and done again later: no reading depends on it.

use std::{sync::Arc, time::Duration};

use forebay_lake::{LakeError, LakeWriter, MaintainPolicy, MergeOutcome, MergePolicy, maintain, merge, plan};
use forebay_schemas::{Clock, Timestamp, table::TABLES};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often files and logs are looked at.
const EVERY: Duration = Duration::from_secs(60);
/// A file younger than this may soon have company.
const SETTLED: Duration = Duration::from_secs(60);

/// Merges and maintains until the stop; a merge under way is dropped then, which loses nothing.
pub async fn run_housekeeping(lake: Arc<LakeWriter>, policy: MaintainPolicy, clock: Clock, stop: CancellationToken) {
    let work = async {
        loop {
            tokio::time::sleep(EVERY).await;
            let now = clock();
            if let Err(error) = merge_small_files(&lake, now).await {
                warn!(%error, "merging failed, will be tried again");
            }
            maintain(&lake, &policy, now).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Merges what is worth it in every table.
///
/// # Errors
/// When a table cannot be read; a merge that fails is logged.
pub async fn merge_small_files(lake: &LakeWriter, now: Timestamp) -> Result<(), LakeError> {
    let settled = now.nanos().saturating_sub(i64::try_from(SETTLED.as_nanos()).unwrap_or(i64::MAX));
    let policy = MergePolicy::settled_before(Timestamp::from_nanos(settled));
    for table in TABLES {
        let snapshot = lake.table(table)?.snapshot().await?;
        for spec in plan(table, &snapshot.files(), &policy) {
            match merge(lake, &spec, now).await {
                Ok(MergeOutcome::Merged { rows, bytes, .. }) => {
                    info!(table = table.name, files = spec.files.len(), rows, bytes, "merged small files");
                }
                Ok(MergeOutcome::Abandoned { why }) => info!(table = table.name, why, "a merge was given up"),
                // One bad file must not keep all others small.
                Err(error) => warn!(table = table.name, %error, "a merge failed, the others go on"),
            }
        }
    }
    Ok(())
}
