//! What we look for in an entry of the Delta log: the commit's id and its application transactions.

use serde::Deserialize;

/// Key of the commit's id in `commitInfo`.
pub(crate) const COMMIT_ID: &str = "forebayCommitId";

/// One entry, as far as it concerns us.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LogEntry {
    /// The commit's id, if it is one of ours.
    pub(crate) commit_id: Option<String>,
    /// Application ids and the versions that they now have.
    pub(crate) transactions: Vec<(String, i64)>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "commitInfo")]
    commit_info: Option<CommitInfo>,
    txn: Option<Txn>,
}

#[derive(Deserialize)]
struct CommitInfo {
    #[serde(rename = "forebayCommitId")]
    id: Option<String>,
}

#[derive(Deserialize)]
struct Txn {
    #[serde(rename = "appId")]
    app_id: String,
    version: i64,
}

impl LogEntry {
    /// Reads an entry: one JSON object a line.
    pub(crate) fn parse(entry: &[u8]) -> serde_json::Result<Self> {
        let mut found = Self::default();
        for line in serde_json::Deserializer::from_slice(entry).into_iter::<Line>() {
            let line = line?;
            found.commit_id = line
                .commit_info
                .and_then(|info| info.id)
                .or(found.commit_id);
            found
                .transactions
                .extend(line.txn.map(|txn| (txn.app_id, txn.version)));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_transactions_are_found_among_other_actions() {
        let entry = br#"{"commitInfo":{"timestamp":1,"operation":"WRITE","forebayCommitId":"x"}}
{"add":{"path":"a","partitionValues":{},"size":1,"modificationTime":0,"dataChange":true}}
{"txn":{"appId":"s","version":4,"lastUpdated":1}}
{"txn":{"appId":"t","version":-1}}"#;
        let found = LogEntry::parse(entry).unwrap();
        assert_eq!(found.commit_id.as_deref(), Some("x"));
        assert_eq!(
            found.transactions,
            [("s".to_owned(), 4), ("t".to_owned(), -1)]
        );
        assert_eq!(LogEntry::parse(b"").unwrap(), LogEntry::default());
        assert!(LogEntry::parse(b"{\"txn\":").is_err());
    }
}
