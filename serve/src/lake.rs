//! The lake's tables as queries read them: looked at again when the last look is a second old, and not more often.

use std::{sync::Arc, time::Duration};

use forebay_lake::{LakeTable, LakeView, keys::KeyDecrypter};
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

use crate::{error::QueryError, waiting::WaitingWindows};

/// How old a look at the tables' versions may be.
const LOOK_AGE_MAX: Duration = Duration::from_secs(1);

/// What it takes to read a lake.
#[derive(Clone)]
pub struct LakeReader {
    /// Its tables.
    pub tables: Vec<LakeTable>,
    /// Opens their files.
    pub decrypter: Arc<KeyDecrypter>,
    /// The windows that wait, where their compactor runs in this process.
    pub waiting: Option<WaitingWindows>,
}

/// The tables, and when they were looked at last.
pub(crate) struct LakeSource {
    reader: LakeReader,
    look: Mutex<Option<Look>>,
}

struct Look {
    at: Instant,
    view: Arc<LakeView>,
}

impl LakeSource {
    pub(crate) fn new(reader: LakeReader) -> Self {
        Self {
            reader,
            look: Mutex::new(None),
        }
    }

    /// The windows that wait, where they are known.
    pub(crate) fn waiting(&self) -> Option<&WaitingWindows> {
        self.reader.waiting.as_ref()
    }

    /// The tables as they are now, or were a second ago at most. Who comes while another looks waits for that look.
    pub(crate) async fn view(&self) -> Result<Arc<LakeView>, QueryError> {
        let mut look = self.look.lock().await;
        if let Some(look) = look.as_ref()
            && look.at.elapsed() < LOOK_AGE_MAX
        {
            return Ok(look.view.clone());
        }
        let LakeReader {
            tables, decrypter, ..
        } = &self.reader;
        let view = match look.as_ref() {
            Some(last) => last.view.refreshed(tables).await,
            None => LakeView::open(tables, decrypter).await,
        };
        let view = Arc::new(view.map_err(|error| {
            warn!(%error, "reading the lake's tables failed");
            QueryError::LakeUnavailable
        })?);
        *look = Some(Look {
            at: Instant::now(),
            view: view.clone(),
        });
        Ok(view)
    }
}
