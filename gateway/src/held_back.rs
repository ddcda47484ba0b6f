//! What one connector's steps hold back, on its way from the steps to the file and, released, to the spool.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use forebay_connectors::Token;
use forebay_schemas::Lane;
use forebay_stream::OpenReceipt;
use tokio::{task::spawn_blocking, time::sleep};
use tracing::{info, warn};

use crate::{
    Lanes, Pipeline, SeriesFolder,
    held::{HeldFile, HeldItem, owner},
    keeper::{AcceptedReadings, Keeper},
    spool_append::AppendUnit,
};

/// Pause after a file that could not be written.
const RETRY: Duration = Duration::from_millis(500);

/// One connector's.
pub(crate) struct HeldBack {
    connector: String,
    file: Option<HeldFile>,
    pub(crate) keeper: Keeper,
    /// Receipts of what is stored and may still be in the file.
    stored: Vec<Token>,
}

impl HeldBack {
    /// Takes what the last process held back into the pipeline, which releases it. A file that cannot be read is as good as none.
    pub(crate) async fn recall(
        connector: &str,
        folder: Option<&SeriesFolder>,
        lanes: Lanes,
        found: &BTreeMap<Lane, Vec<OpenReceipt>>,
        pipeline: &mut Pipeline,
    ) -> Self {
        let (keeper, restored) = Keeper::restore(Some(owner(connector)), lanes, found);
        let stored: Vec<Token> = restored.into_iter().map(|one| one.token).collect();
        let file = folder.and_then(|folder| HeldFile::of(folder, connector));
        if let Some(file) = file.clone() {
            let loaded = spawn_blocking(move || file.load()).await;
            match loaded.unwrap_or_else(|_| Ok(Vec::new())) {
                Ok(items) if items.is_empty() => {}
                Ok(items) => {
                    let held = items.len();
                    info!(
                        connector,
                        held, "recovered what the steps of the last run held back"
                    );
                    let stored: BTreeSet<Token> = stored.iter().cloned().collect();
                    pipeline.recover(items, &stored);
                }
                Err(error) => warn!(
                    connector,
                    error = forebay_runtime::report(&error),
                    "reading what steps held back failed: open windows of the last run are lost"
                ),
            }
        }
        Self {
            connector: connector.to_owned(),
            file,
            keeper,
            stored,
        }
    }

    /// What was released, by lane and under its receipts.
    pub(crate) fn units(&mut self, pipeline: &mut Pipeline) -> BTreeMap<Lane, Vec<AppendUnit>> {
        let released = pipeline.take_released();
        let mut taken = Vec::with_capacity(released.len());
        for one in released {
            let token = one.token();
            self.stored.push(token.clone());
            taken.push(AcceptedReadings {
                readings: one.readings,
                token: Some(token),
            });
        }
        self.keeper.spread(taken)
    }

    /// Makes what is held back durable, for as long as it takes, and ends the receipts of what was released.
    pub(crate) async fn settle(&mut self, pipeline: &mut Pipeline) {
        if pipeline.take_held_has_changed() || !self.stored.is_empty() {
            if let Some(file) = self.file.clone() {
                self.save(file, pipeline.held()).await;
            }
            self.keeper.end(std::mem::take(&mut self.stored));
        }
    }

    async fn save(&self, file: HeldFile, items: Vec<HeldItem>) {
        loop {
            let (file, items) = (file.clone(), items.clone());
            let Ok(saved) = spawn_blocking(move || file.save(&items)).await else {
                // Cut off with the runtime.
                return;
            };
            let Err(error) = saved else { return };
            let (connector, error) = (&self.connector, forebay_runtime::report(&error));
            warn!(
                connector,
                error, "storing what steps hold back failed, retrying"
            );
            sleep(RETRY).await;
        }
    }
}
