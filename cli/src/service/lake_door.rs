//! The lake as the parts of a service share it: opened by the first that gets through to it.
//!
//! An edge begins without its lake: the link to it may be down for days, and devices are read meanwhile.

use std::sync::Arc;

use forebay_lake::LakeWriter;
use tokio::sync::OnceCell;

use crate::store::Store;

/// Opens the lake once for all.
#[derive(Clone)]
pub(super) struct LakeDoor {
    store: Arc<Store>,
    lake: Arc<OnceCell<Arc<LakeWriter>>>,
}

impl LakeDoor {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            lake: Arc::default(),
        }
    }

    /// The lake open for writing.
    ///
    /// # Errors
    /// As [`Store::writer`]; the next call tries again.
    pub(super) async fn open(&self) -> anyhow::Result<Arc<LakeWriter>> {
        self.lake
            .get_or_try_init(|| async { Ok(Arc::new(self.store.writer().await?)) })
            .await
            .cloned()
    }
}
