//! A site's key, made once for a lake however old the keyring is.
//!
//! A second key under a name that the lake's files know would make files that no keyring reads together with the first ones.

use std::collections::{BTreeSet, HashSet};

use forebay_schemas::SiteId;

use crate::{
    Lake, LakeError, LakeTable,
    file::tags::keks_tag,
    keys::{KeyProvider, MasterKeyId, site_key_name},
    table::stored::keks,
};

/// The current keys of these sites, made where the provider has none and the lake's files know of none. The lake may be empty; no
/// table is made.
///
/// # Errors
/// [`crate::keys::KeyError::Older`] for a keyring that is older than the lake, then no key is made; as for reading tables.
pub async fn ensure_site_keys(
    lake: &Lake,
    provider: &dyn KeyProvider,
    sites: &[SiteId],
) -> Result<Vec<MasterKeyId>, LakeError> {
    let in_use = keys_in_use(lake.tables_there().await?.iter()).await?;
    provider.check_not_older(&in_use).await?;
    let mut ids = Vec::with_capacity(sites.len());
    for site in sites {
        ids.push(provider.ensure(&site_key_name(site), &in_use).await?);
    }
    Ok(ids)
}

/// The master keys under which files of these tables lie.
pub(crate) async fn keys_in_use(
    tables: impl Iterator<Item = &LakeTable>,
) -> Result<BTreeSet<MasterKeyId>, LakeError> {
    let mut in_use = BTreeSet::new();
    for table in tables {
        // Files of one writer share their keys.
        let mut seen = HashSet::new();
        for add in table.snapshot().await?.files() {
            if let Some(text) = keks_tag(&add).filter(|text| !seen.contains(*text)) {
                in_use.extend(
                    keks(table.schema(), &add)?
                        .into_iter()
                        .map(|kek| kek.master),
                );
                seen.insert(text.to_owned());
            }
        }
    }
    Ok(in_use)
}
