//! What grows with devices, apart from the state that each commit writes (E5): how far the devices of a stream have come.
//!
//! One object a stream and partition, `_forebay/times/<app id>`, sealed like a state and overwritten. It is no part of any
//! promise: one that is old, missing or unreadable makes devices look silent, which holds no watermark; the stream's next
//! readings make it good.

use forebay_schemas::table::TABLE_FORMAT_VERSION;
use object_store::{ObjectStoreExt as _, path::Path};
use serde::{Deserialize, Serialize};

use super::{SiteTimes, StateKeeper};
use crate::{LakeError, keys::Random, table::LakeTable};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Times {
    /// Version of this object's layout.
    format: u32,
    sites: Vec<SiteTimes>,
}

impl StateKeeper {
    /// Stores how far the devices of a stream have come, for states that say that they lie apart.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn store_times(
        &self,
        table: &LakeTable,
        app_id: &str,
        sites: Vec<SiteTimes>,
        random: &Random,
    ) -> Result<(), LakeError> {
        let path = path_of(app_id);
        let sealed = self.seal(
            &path,
            &Times {
                format: TABLE_FORMAT_VERSION,
                sites,
            },
            random,
        )?;
        table.store().put(&path, sealed.into()).await?;
        Ok(())
    }

    /// Puts the devices of a stream into its state, as JSON, where they lie apart.
    pub(super) async fn add_times(
        &self,
        table: &LakeTable,
        app_id: &str,
        state: &mut serde_json::Value,
    ) {
        let path = path_of(app_id);
        let times = match self.open::<Times>(table, &path).await {
            Ok(times) => times.sites,
            Err(error) => {
                tracing::warn!(%path, %error, "the times of a stream's devices cannot be read, they count as silent");
                return;
            }
        };
        let Some(sites) = state
            .get_mut("sites")
            .and_then(serde_json::Value::as_array_mut)
        else {
            return;
        };
        for site in sites {
            let name = site.get("site").and_then(serde_json::Value::as_str);
            let found = times.iter().find(|times| Some(times.site.as_str()) == name);
            if let Some(Ok(devices)) = found.map(|times| serde_json::to_value(&times.devices)) {
                site["devices"] = devices;
            }
        }
    }
}

fn path_of(app_id: &str) -> Path {
    Path::from_iter(["_forebay", "times", app_id])
}
