//! Which files of a table are active, read from its Delta log entry by entry while they are there.

use std::{
    collections::HashMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::Value;

/// The log of one table.
pub(super) struct TableLog {
    folder: PathBuf,
    next: u64,
    active: HashMap<String, u64>,
}

impl TableLog {
    /// `table` is the table's folder.
    pub(super) fn new(table: &Path) -> Self {
        Self {
            folder: table.join("_delta_log"),
            next: 0,
            active: HashMap::new(),
        }
    }

    /// Reads the entries that are new. They are looked for more often than they are cleaned up.
    pub(super) fn advance(&mut self) -> anyhow::Result<()> {
        loop {
            let path = self.folder.join(format!("{:020}.json", self.next));
            let text = match fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => {
                    return Err(error).with_context(|| format!("read {}", path.display()));
                }
            };
            self.take(&text)
                .with_context(|| format!("read {}", path.display()))?;
            self.next += 1;
        }
    }

    fn take(&mut self, entry: &str) -> anyhow::Result<()> {
        for line in entry.lines() {
            let action: Value = serde_json::from_str(line)?;
            let path = |action: &Value| action["path"].as_str().map(str::to_owned);
            if let Some(added) = path(&action["add"]) {
                self.active.insert(
                    added,
                    action["add"]["size"]
                        .as_u64()
                        .context("an add has a size")?,
                );
            }
            if let Some(removed) = path(&action["remove"]) {
                self.active.remove(&removed);
            }
        }
        Ok(())
    }

    /// How many entries there have been.
    pub(super) fn entries(&self) -> u64 {
        self.next
    }

    pub(super) fn files(&self) -> u64 {
        self.active.len() as u64
    }

    pub(super) fn bytes(&self) -> u64 {
        self.active.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_and_not_removed_is_active() -> anyhow::Result<()> {
        let mut log = TableLog::new(Path::new("none"));
        log.take("{\"commitInfo\":{}}\n{\"add\":{\"path\":\"a\",\"size\":3}}\n{\"add\":{\"path\":\"b\",\"size\":5}}")?;
        log.take("{\"remove\":{\"path\":\"a\"}}\n{\"add\":{\"path\":\"c\",\"size\":7}}")?;
        assert_eq!((log.files(), log.bytes()), (2, 12));
        Ok(())
    }
}
