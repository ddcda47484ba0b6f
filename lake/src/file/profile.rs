//! Encryption profiles: which column lies under which master key.

use std::sync::Arc;

use forebay_schemas::table::VALUE_COLUMNS;
use parquet::{
    encryption::encrypt::FileEncryptionProperties,
    schema::types::{ColumnDescriptor, SchemaDescriptor},
};

use super::FileError;
use crate::keys::{FileKeys, KeyEncrypter, KeyError, KeyUse, MasterKeyId, SecretKey, WrappedKek};

/// How a table's files are encrypted.
#[derive(Debug, Clone)]
pub enum Profile {
    /// A data key for each column: measured values under the site's master key, the rest and the footer under the
    /// table's.
    Columns {
        /// Master key of names, times and the footer.
        table: MasterKeyId,
        /// Master key of [`VALUE_COLUMNS`]; the table's again where a table has no sites.
        site: MasterKeyId,
    },
    /// One data key for the footer and all columns.
    Uniform {
        /// Master key that wraps it.
        table: MasterKeyId,
        /// The data key itself.
        data_key: UniformKey,
    },
    /// Nothing is encrypted.
    None,
}

/// The data key of a uniform file.
#[derive(Debug, Clone)]
pub enum UniformKey {
    /// A fresh one for each file.
    PerFile,
    /// One for all files of a table, for readers that can only be given a key (DuckDB). AES-GCM with random nonces
    /// bears about 2³² pages under one key: a table that large needs another.
    Shared(SecretKey),
}

impl Profile {
    /// Fetches what one file's keys are wrapped under.
    ///
    /// # Errors
    /// The key provider's.
    pub async fn seal(&self, encrypter: &KeyEncrypter) -> Result<Sealing, KeyError> {
        let masters: &[&MasterKeyId] = match self {
            Self::Columns { table, site } => &[table, site],
            Self::Uniform { table, .. } => &[table],
            Self::None => return Ok(Sealing::clear()),
        };
        let keys = encrypter.file_keys(masters).await?;
        Ok(Sealing(Some((self.clone(), keys))))
    }
}

/// The means to seal one file; writing the file uses it up.
#[derive(Debug)]
pub struct Sealing(Option<(Profile, FileKeys)>);

/// A file's keys as parquet takes them, and what its readers need.
pub(super) struct SealedKeys {
    pub(super) properties: Arc<FileEncryptionProperties>,
    pub(super) keks: Vec<WrappedKek>,
}

impl Sealing {
    /// No encryption: for tables whose profile is [`Profile::None`].
    pub fn clear() -> Self {
        Self(None)
    }

    /// Makes the file's keys: one for every leaf column, or one for all.
    pub(super) fn keys_for(
        self,
        schema: &SchemaDescriptor,
    ) -> Result<Option<SealedKeys>, FileError> {
        let Some((profile, keys)) = self.0 else {
            return Ok(None);
        };
        let properties = match &profile {
            Profile::None => return Ok(None),
            Profile::Columns { table, site } => column_keys(schema, &keys, table, site)?,
            Profile::Uniform { table, data_key } => uniform_key(&keys, table, data_key)?,
        };
        Ok(Some(SealedKeys {
            properties,
            keks: keys.keks(),
        }))
    }
}

fn column_keys(
    schema: &SchemaDescriptor,
    keys: &FileKeys,
    table: &MasterKeyId,
    site: &MasterKeyId,
) -> Result<Arc<FileEncryptionProperties>, FileError> {
    let footer = keys.data_key(table, KeyUse::Footer)?;
    let mut builder = FileEncryptionProperties::builder(footer.secret.expose().to_vec())
        .with_footer_key_metadata(footer.metadata);
    for column in schema.columns() {
        let master = if is_value(column) { site } else { table };
        let key = keys.data_key(master, KeyUse::Column)?;
        let path = column.path().string();
        builder =
            builder.with_column_key_and_metadata(&path, key.secret.expose().to_vec(), key.metadata);
    }
    let properties = builder.build().map_err(FileError::Write)?;
    let (keyed, ..) = properties.column_keys();
    let unkeyed = schema
        .columns()
        .iter()
        .map(|column| column.path().string())
        .find(|path| !keyed.contains(path));
    match unkeyed {
        Some(column) => Err(FileError::Unkeyed { column }),
        None => Ok(properties),
    }
}

fn uniform_key(
    keys: &FileKeys,
    table: &MasterKeyId,
    data_key: &UniformKey,
) -> Result<Arc<FileEncryptionProperties>, FileError> {
    let key = match data_key {
        UniformKey::PerFile => keys.data_key(table, KeyUse::Footer)?,
        UniformKey::Shared(key) => keys.wrap_data_key(table, KeyUse::Footer, key.clone())?,
    };
    FileEncryptionProperties::builder(key.secret.expose().to_vec())
        .with_footer_key_metadata(key.metadata)
        .build()
        .map_err(FileError::Write)
}

/// By the first part of its path, so that a nested column goes with its parent.
fn is_value(column: &ColumnDescriptor) -> bool {
    column
        .path()
        .parts()
        .first()
        .is_some_and(|name| VALUE_COLUMNS.contains(&name.as_str()))
}
