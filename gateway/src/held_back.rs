//! What one connector's steps hold back, on its way from the steps to the file and, released, to the spool.
//!
//! Invariants: the file is durable before anything that follows from the same messages is appended, and names those of the
//! messages whose receipts are open; a receipt of what was released ends once the file is without it. So a message is counted
//! once by windows and doors, and what passes them is stored once, whatever moment the process ends at (E1).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use forebay_connectors::{Extent, Restored, SessionId, Token};
use forebay_schemas::Lane;
use forebay_stream::OpenReceipt;
use tokio::{task::spawn_blocking, time::sleep};
use tracing::{info, warn};

use crate::{
    Lanes, Pipeline, SeriesFolder,
    held::{Fed, HeldFile, Holdings, Passed, owner},
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
    session: Option<SessionId>,
    /// Messages that windows and doors have readings of and whose receipts are open.
    fed: BTreeMap<Token, Fed>,
    /// Those of them that an earlier process was given, and that have not come again.
    of_before: BTreeSet<Token>,
    /// Whether `fed` has changed since the file was written.
    has_changed: bool,
}

impl HeldBack {
    /// Takes what the last process held back into the pipeline, which releases it. A file that cannot be read is as good as none.
    pub(crate) async fn recall(
        connector: &str,
        session: Option<SessionId>,
        folder: Option<&SeriesFolder>,
        lanes: Lanes,
        found: &BTreeMap<Lane, Vec<OpenReceipt>>,
        pipeline: &mut Pipeline,
    ) -> Self {
        let (keeper, restored) = Keeper::restore(Some(owner(connector)), lanes, found);
        let stored: Vec<Token> = restored.into_iter().map(|one| one.token).collect();
        let file = folder.and_then(|folder| HeldFile::of(folder, connector));
        let mut fed = BTreeMap::new();
        if let Some(file) = file.clone() {
            let loaded = spawn_blocking(move || file.load()).await;
            match loaded.unwrap_or_else(|_| Ok(Holdings::default())) {
                Ok(holdings) => {
                    let held = holdings.items.len();
                    if held > 0 {
                        info!(
                            connector,
                            held, "recovered what the steps of the last run held back"
                        );
                    }
                    let stored: BTreeSet<Token> = stored.iter().cloned().collect();
                    pipeline.recover(holdings.items, &stored);
                    // Nobody sends again what another session had.
                    let of_session = holdings.fed.filter(|(of, _)| Some(*of) == session);
                    fed = of_session.map(|(_, fed)| fed).unwrap_or_default();
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
            session,
            of_before: fed.keys().cloned().collect(),
            fed,
            has_changed: false,
        }
    }

    /// What the connector is to know of its session, given what the spools know: a message that windows took as a whole has no
    /// receipt there.
    pub(crate) fn with_restored(&self, mut restored: Vec<Restored>) -> Vec<Restored> {
        let in_spools: BTreeSet<Token> = restored.iter().map(|one| one.token.clone()).collect();
        let others = self
            .fed
            .iter()
            .filter(|(token, _)| !in_spools.contains(*token));
        restored.extend(others.map(|(token, fed)| Restored {
            token: token.clone(),
            extent: fed.extent,
        }));
        restored.sort();
        restored
    }

    /// The same for a connector that starts again in this process: what its messages fed comes again as after a restart.
    pub(crate) fn with_restored_again(&mut self, restored: Vec<Restored>) -> Vec<Restored> {
        self.of_before = self.fed.keys().cloned().collect();
        self.with_restored(restored)
    }

    /// A message comes; answers what passed of it, where windows or doors of an earlier process have the rest.
    pub(crate) fn take_before(&mut self, token: &Token) -> Option<Passed> {
        if self.of_before.remove(token) {
            return self.fed.get(token).map(|fed| fed.passed.clone());
        }
        // Another message of the same words.
        self.has_changed |= self.fed.remove(token).is_some();
        None
    }

    /// Windows or doors have readings of a message; `extent` is whether they have all of them.
    pub(crate) fn note_fed(&mut self, token: Token, extent: Extent, passed: Passed) {
        if self.session.is_some() {
            self.fed.insert(token, Fed { extent, passed });
            self.has_changed = true;
        }
    }

    /// Receipts of messages have ended.
    pub(crate) fn end(&mut self, tokens: &[Token]) {
        for token in tokens {
            self.of_before.remove(token);
            self.has_changed |= self.fed.remove(token).is_some();
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

    /// Makes what is held back durable, for as long as it takes, and ends the receipts of what was stored before. What was
    /// released is in the file until the next time: it is not stored yet. Answers whether there was anything to be made durable.
    pub(crate) async fn secure(&mut self, pipeline: &mut Pipeline) -> bool {
        let has_changed = pipeline.take_held_has_changed() || self.has_changed;
        if !has_changed && self.stored.is_empty() {
            return false;
        }
        if let Some(file) = self.file.clone() {
            let fed = self.session.map(|session| (session, self.fed.clone()));
            let items = pipeline.held();
            self.save(file, Holdings { items, fed }).await;
        }
        self.has_changed = false;
        self.keeper.end(std::mem::take(&mut self.stored));
        has_changed
    }

    async fn save(&self, file: HeldFile, holdings: Holdings) {
        let holdings = Arc::new(holdings);
        loop {
            let (file, holdings) = (file.clone(), holdings.clone());
            let Ok(saved) = spawn_blocking(move || file.save(&holdings)).await else {
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
