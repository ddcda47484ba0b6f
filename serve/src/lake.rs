//! The lake's tables as queries read them: looked at again when the last look is a second old, and not more often.

use std::{
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use forebay_lake::{
    CoveredView, LakeError, LakeTable, LakeView, RollupCover, UnreadNotes, keys::KeyDecrypter,
};
use forebay_runtime::RateLimit;
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

use crate::{ages::DeviceWays, error::QueryError, settings::RollupUse, waiting::WaitingWindows};

/// How old a look at the tables' versions may be.
const LOOK_AGE_MAX: Duration = Duration::from_secs(1);

/// Sites that a line of the log names.
const NAMED_MAX: usize = 8;

/// What it takes to read a lake.
#[derive(Clone)]
pub struct LakeReader {
    /// Its tables.
    pub tables: Vec<LakeTable>,
    /// Opens their files.
    pub decrypter: Arc<KeyDecrypter>,
    /// The windows that wait, where their compactor runs in this process.
    pub waiting: Option<WaitingWindows>,
    /// How the devices' newest readings came, likewise.
    pub ways: Option<DeviceWays>,
}

/// The tables, and when they were looked at last.
pub(crate) struct LakeSource {
    reader: LakeReader,
    rollups: RollupUse,
    look: Mutex<Option<Look>>,
    rollups_log: StdMutex<RateLimit>,
}

/// What a query sees.
#[derive(Clone)]
pub(crate) struct Sight {
    /// The tables.
    pub(crate) view: LakeView,
    /// For which times roll-ups may answer for readings.
    pub(crate) cover: Arc<RollupCover>,
}

struct Look {
    at: Instant,
    sight: Sight,
    /// Where roll-ups are used, what the next look goes on from.
    covered: Option<CoveredView>,
}

impl LakeSource {
    pub(crate) fn new(reader: LakeReader, rollups: RollupUse) -> Self {
        Self {
            reader,
            rollups,
            look: Mutex::new(None),
            rollups_log: StdMutex::default(),
        }
    }

    /// The windows that wait, where they are known.
    pub(crate) fn waiting(&self) -> Option<&WaitingWindows> {
        self.reader.waiting.as_ref()
    }

    /// How the devices' newest readings came, where that is known.
    pub(crate) fn ways(&self) -> Option<&DeviceWays> {
        self.reader.ways.as_ref()
    }

    /// The tables as they are now, or were a second ago at most. Who comes while another looks waits for that look.
    pub(crate) async fn sight(&self) -> Result<Sight, QueryError> {
        let mut last = self.look.lock().await;
        if let Some(last) = last.as_ref()
            && last.at.elapsed() < LOOK_AGE_MAX
        {
            return Ok(last.sight.clone());
        }
        let look = self.look(last.as_ref()).await.map_err(|error| {
            warn!(%error, "reading the lake's tables failed");
            QueryError::LakeUnavailable
        })?;
        let sight = look.sight.clone();
        *last = Some(look);
        Ok(sight)
    }

    async fn look(&self, last: Option<&Look>) -> Result<Look, LakeError> {
        let LakeReader {
            tables, decrypter, ..
        } = &self.reader;
        let (view, cover, covered) = match self.rollups {
            RollupUse::WhereTheyFit => {
                let last = last.and_then(|last| last.covered.as_ref());
                let covered = CoveredView::look(tables, decrypter, last).await?;
                if let Some(unread) = &covered.unread {
                    self.warn_of_rollups(unread);
                }
                (covered.view.clone(), covered.cover.clone(), Some(covered))
            }
            RollupUse::Never => {
                let view = match last {
                    Some(last) => last.sight.view.refreshed(tables).await?,
                    None => LakeView::open(tables, decrypter).await?,
                };
                (view, Arc::default(), None)
            }
        };
        Ok(Look {
            at: Instant::now(),
            sight: Sight { view, cover },
            covered,
        })
    }

    /// Roll-ups are a shortcut: queries answer from readings where it is not known what roll-ups hold.
    fn warn_of_rollups(&self, unread: &UnreadNotes) {
        let log = self.rollups_log.lock();
        let mut log = log.unwrap_or_else(PoisonError::into_inner);
        if let Some(skipped) = log.admit() {
            let (error, sites) = (&unread.error, named(unread.sites.as_deref()));
            warn!(%error, sites, skipped, "what roll-ups of these sites hold is not known, their readings are read instead");
        }
    }
}

/// Sites for the log: the first of them, and how many more there are.
fn named(sites: Option<&[String]>) -> String {
    let Some(sites) = sites else {
        return "all".to_owned();
    };
    let first = sites.len().min(NAMED_MAX);
    let mut text = sites[..first].join(", ");
    if sites.len() > first {
        text.push_str(&format!(" and {} more", sites.len() - first));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_named_as_far_as_a_line_of_the_log_holds_them() {
        let sites: Vec<String> = (0..10).map(|site| format!("site-{site}")).collect();
        assert_eq!(named(None), "all");
        assert_eq!(named(Some(&sites[..2])), "site-0, site-1");
        let all = named(Some(&sites));
        assert!(all.ends_with("site-7 and 2 more"), "{all}");
    }
}
