//! Every stream's state, each on its own: one that cannot be read says nothing about the others.

use forebay_schemas::ErrorKind;
use serde::de::DeserializeOwned;

use super::StateKeeper;
use crate::{
    LakeError,
    table::{LakeTable, Snapshot},
};

/// The state of one stream that counts in a snapshot.
#[derive(Debug)]
pub struct FoundState<S> {
    /// The stream and partition, as the table knows it.
    pub app_id: String,
    /// The state's number.
    pub number: i64,
    /// What it says, or why it cannot be read: it is missing, damaged or sealed with another keyring.
    pub state: Result<S, LakeError>,
}

impl StateKeeper {
    /// As [`StateKeeper::states`], but a state that is lost or damaged takes no other one with it.
    ///
    /// # Errors
    /// When the log or the store cannot be read, which may pass.
    pub async fn states_each<S: DeserializeOwned>(
        &self,
        table: &LakeTable,
        snapshot: &Snapshot,
    ) -> Result<Vec<FoundState<S>>, LakeError> {
        let numbers = self.numbers(table, snapshot).await?;
        self.found(table, numbers).await
    }

    /// The states that the lake itself keeps under transactions that begin so.
    ///
    /// # Errors
    /// As [`StateKeeper::states_each`].
    pub(crate) async fn own_each<S: DeserializeOwned>(
        &self,
        table: &LakeTable,
        snapshot: &Snapshot,
        prefix: &str,
    ) -> Result<Vec<FoundState<S>>, LakeError> {
        let is_own = |app_id: &str| app_id.starts_with(prefix);
        let numbers = self.numbers_of(table, snapshot, is_own).await?;
        self.found(table, numbers).await
    }

    async fn found<S: DeserializeOwned>(
        &self,
        table: &LakeTable,
        numbers: Vec<(String, i64)>,
    ) -> Result<Vec<FoundState<S>>, LakeError> {
        let mut states = Vec::new();
        for (app_id, number, state) in self.load_each(table, numbers).await {
            let state = match state {
                Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
                state => state,
            };
            states.push(FoundState {
                app_id,
                number,
                state,
            });
        }
        Ok(states)
    }
}
