//! Where the lake lies, for whoever asks what is sealed on this machine.

use std::path::PathBuf;

#[cfg(feature = "lake")]
use forebay_lake::Location;
#[cfg(feature = "lake")]
use forebay_schemas::table::TABLES;

use crate::config::Config;

/// A folder whose content lies sealed under the keyring.
pub(crate) struct SealedFolder {
    pub(crate) folder: PathBuf,
    /// It holds something sealed where one of these exists.
    pub(crate) signs: Vec<PathBuf>,
}

/// Where the lake lies; neither in a build without one.
pub(crate) struct LakePlace {
    /// A folder of this machine.
    pub(crate) folder: Option<SealedFolder>,
    /// In a bucket, which other gateways may share.
    pub(crate) in_bucket: bool,
}

impl LakePlace {
    /// As the configuration says; nothing is opened.
    #[cfg(feature = "lake")]
    pub(crate) fn of(config: &Config) -> Self {
        match config.lake.location(&config.gateway.data_dir) {
            Location::Folder(folder) => {
                let signs = TABLES.iter().map(|table| folder.join(table.name)).collect();
                Self {
                    folder: Some(SealedFolder { folder, signs }),
                    in_bucket: false,
                }
            }
            Location::S3(_) => Self {
                folder: None,
                in_bucket: true,
            },
        }
    }

    /// A build without a lake has none.
    #[cfg(not(feature = "lake"))]
    pub(crate) fn of(_config: &Config) -> Self {
        Self {
            folder: None,
            in_bucket: false,
        }
    }
}
