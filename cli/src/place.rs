//! What the user pointed at: a configuration file, or a data folder with or without one.

use std::path::{Path, PathBuf};

use anyhow::bail;
use forebay_config::ConfigErrors;

/// The name of a configuration file in a data folder.
pub(crate) const CONFIG_FILE: &str = "forebay.toml";
const DATA_DIR: &str = "forebay-data";

/// A place to work in.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The configuration file, if there is one.
    pub(crate) config: Option<PathBuf>,
    /// Where it would be looked for, where there is none.
    pub(crate) expected: PathBuf,
    /// Where data lies unless the configuration says otherwise.
    pub(crate) root: PathBuf,
}

impl Place {
    /// `-c FILE` or `--data-dir D`; with neither ./forebay.toml, else ./forebay-data.
    pub(crate) fn find(config: Option<PathBuf>, data_dir: Option<PathBuf>) -> anyhow::Result<Self> {
        match (config, data_dir) {
            (Some(_), Some(_)) => {
                bail!("-c and --data-dir exclude each other: give one of them")
            }
            (Some(file), None) => Ok(Self::of_file(file)),
            (None, Some(root)) => Ok(Self::of_folder(root)),
            (None, None) => {
                let here = PathBuf::from(CONFIG_FILE);
                match here.exists() {
                    true => Ok(Self::of_file(here)),
                    false => Ok(Self {
                        expected: here,
                        ..Self::of_folder(PathBuf::from(DATA_DIR))
                    }),
                }
            }
        }
    }

    /// The configuration, which must be there.
    pub(crate) fn file(&self) -> Result<&Path, ConfigErrors> {
        let missing = || {
            ConfigErrors::of_file(
                &self.expected,
                "does not exist: `forebay init` writes one, -c names one",
            )
        };
        self.config.as_deref().ok_or_else(missing)
    }

    fn of_file(file: PathBuf) -> Self {
        Self {
            root: folder_of(&file).join(DATA_DIR),
            expected: file.clone(),
            config: Some(file),
        }
    }

    fn of_folder(root: PathBuf) -> Self {
        let file = root.join(CONFIG_FILE);
        Self {
            config: file.exists().then(|| file.clone()),
            expected: file,
            root,
        }
    }
}

fn folder_of(file: &Path) -> &Path {
    file.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}
