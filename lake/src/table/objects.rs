//! Objects that a table's rows name, such as a trained model's bytes.
//!
//! Each lies under `_forebay/objects/<name>`, sealed like a state, and is created once: its name is a keyed hash of its
//! bytes, so the same bytes are one object. Nothing deletes them.

use forebay_schemas::table::Table;
use object_store::{ObjectStoreExt as _, PutMode, path::Path};

use crate::{LakeError, LakeWriter};

impl LakeWriter {
    /// The name that these bytes have as an object.
    pub fn object_name(&self, bytes: &[u8]) -> String {
        self.keeper().name_of(bytes)
    }

    /// Stores bytes beside a table, unless they are there, and answers their name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keep_object(
        &self,
        table: &'static Table,
        bytes: &[u8],
    ) -> Result<String, LakeError> {
        let name = self.object_name(bytes);
        let path = path_of(&name);
        let sealed = self.keeper().seal_bytes(&path, bytes, self.random())?;
        let store = self.table(table)?.store();
        match store
            .put_opts(&path, sealed.into(), PutMode::Create.into())
            .await
        {
            Ok(_)
            | Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(name),
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes of an object.
    ///
    /// # Errors
    /// [`LakeError::StateLost`] when it is missing, damaged, or sealed with another keyring.
    pub async fn kept_object(
        &self,
        table: &'static Table,
        name: &str,
    ) -> Result<Vec<u8>, LakeError> {
        let (table, path) = (self.table(table)?, path_of(name));
        let sealed = match table.store().get(&path).await {
            Err(object_store::Error::NotFound { .. }) => {
                return Err(LakeError::StateLost {
                    table: table.schema().name,
                    path: path.to_string(),
                    why: "it is missing".into(),
                });
            }
            found => found?.bytes().await?,
        };
        self.keeper().open_bytes(table, &path, sealed.to_vec())
    }
}

fn path_of(name: &str) -> Path {
    Path::from_iter(["_forebay", "objects", name])
}
