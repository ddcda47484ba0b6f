//! A folder in a bucket for objects that belong to no table, such as reports.
//!
//! They are not sealed: who puts them there says what may be read.

use std::sync::Arc;

use futures::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path, prefix::PrefixStore};

use crate::{LakeError, S3Settings};

/// The objects in one folder of a bucket.
pub struct BucketFolder {
    store: Arc<dyn ObjectStore>,
}

impl BucketFolder {
    /// Opens a folder below the settings' prefix, after asking whether the bucket is there.
    ///
    /// # Errors
    /// As [`crate::Lake::s3`].
    pub async fn open(settings: &S3Settings, folder: &str) -> Result<Self, LakeError> {
        let (bucket, prefix, _) = settings.open().await?;
        Ok(Self::within(bucket, prefix.join(folder)))
    }

    fn within(store: Arc<dyn ObjectStore>, folder: Path) -> Self {
        Self {
            store: Arc::new(PrefixStore::new(store, folder)),
        }
    }

    /// Writes an object, in place of one of the same name.
    ///
    /// # Errors
    /// When the store refuses or does not answer.
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), LakeError> {
        self.store.put(&Path::from(name), bytes.into()).await?;
        Ok(())
    }

    /// The names of the objects that are there.
    ///
    /// # Errors
    /// As [`BucketFolder::put`].
    pub async fn names(&self) -> Result<Vec<String>, LakeError> {
        let found: Vec<_> = self.store.list(None).try_collect().await?;
        Ok(found
            .iter()
            .map(|object| object.location.to_string())
            .collect())
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// As [`BucketFolder::put`].
    pub async fn delete(&self, name: &str) -> Result<(), LakeError> {
        self.store.delete(&Path::from(name)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn objects_of_other_folders_are_not_seen() {
        let bucket: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let week = BucketFolder::within(bucket.clone(), Path::from("reports/week"));
        let other = BucketFolder::within(bucket, Path::from("reports/weekend"));
        week.put("week-1.html", b"one".to_vec()).await.unwrap();
        week.put("week-1.html", b"again".to_vec()).await.unwrap();
        other.put("weekend-1.html", b"two".to_vec()).await.unwrap();
        assert_eq!(week.names().await.unwrap(), ["week-1.html"]);
        week.delete("week-1.html").await.unwrap();
        assert!(week.names().await.unwrap().is_empty());
        assert_eq!(other.names().await.unwrap().len(), 1);
    }
}
