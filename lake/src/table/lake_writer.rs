//! A lake open for writing: every table, the means to seal files, the names of streams.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use deltalake_core::kernel::Version;
use forebay_schemas::{
    SiteId, Timestamp,
    table::{TABLES, Table},
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::{
    Add, Attempt, Lake, LakeError, LakeTable, StateKeeper,
    file::stats::{FileStats, MICROS_PER_DAY, TagSeal, Tally, event_times, span, stats_of},
    file::tags::is_sealed,
    file::{EncodedFile, FileError, FileLayout, Profile, write_batches},
    keys::{
        KeyDecrypter, KeyEncrypter, KeyError, KeyProvider, Random, TABLE_KEY, random_bytes,
        site_key_name,
    },
    table::change::Transaction,
    table::site_keys::keys_in_use,
    table::stored::{data_path, keks},
};

/// Whether the tables' files are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// Profile `columns`.
    Columns,
    /// Profile `none`: everything lies in clear.
    None,
}

/// A file before it is stored, and what its rows are.
pub(crate) struct Encoded {
    pub(crate) file: EncodedFile,
    stats: FileStats,
}

/// A lake open for writing. All its tables exist.
pub struct LakeWriter {
    tables: BTreeMap<&'static str, LakeTable>,
    keeper: StateKeeper,
    keys: Arc<dyn KeyProvider>,
    encrypter: KeyEncrypter,
    tag_seal: TagSeal,
    sealed: Sealed,
    random: Random,
}

impl LakeWriter {
    /// Opens every table, creating those that are missing, once the store has shown that it creates objects once (E7).
    ///
    /// # Errors
    /// As [`Lake::table`]; [`LakeError::Unconditional`] for a store that does not; when the keyring lacks its
    /// secrets, and [`KeyError::WrongKey`] when the lake is another's.
    pub async fn open(
        lake: &Lake,
        keys: Arc<dyn KeyProvider>,
        sealed: Sealed,
        random: Random,
    ) -> Result<Self, LakeError> {
        let keeper = StateKeeper::of(&*keys).await?;
        lake.check_creation(random_id(&random)?).await?;
        let mut tables = BTreeMap::new();
        for table in TABLES {
            let table = lake.table(table).await?;
            table.for_writing();
            tables.insert(table.schema().name, table);
        }
        let encrypter = KeyEncrypter::new(keys.clone(), random.clone());
        let tag_seal = TagSeal::of(&*keys).await?;
        let writer = Self {
            tables,
            keeper,
            keys,
            encrypter,
            tag_seal,
            sealed,
            random,
        };
        writer.check_keyring().await?;
        for table in writer.tables() {
            table.checkpoint_at_open().await;
        }
        Ok(writer)
    }

    /// Files of two keyrings in one lake could not be read together by anyone: a file of each table is asked whether this
    /// keyring opens it. One whose master key is not here at all tells nothing: it may have been destroyed on purpose.
    async fn check_keyring(&self) -> Result<(), LakeError> {
        self.keys
            .check_not_older(&keys_in_use(self.tables.values()).await?)
            .await?;
        let decrypter = self.decrypter();
        for table in self.tables.values() {
            let files = table.snapshot().await?.files();
            let Some(add) = files.iter().find(|add| is_sealed(add)) else {
                continue;
            };
            for kek in keks(table.schema(), add)? {
                if let Err(error @ KeyError::WrongKey { .. }) =
                    decrypter.prepare(std::slice::from_ref(&kek)).await
                {
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    /// All tables.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &LakeTable> {
        self.tables.values()
    }

    /// One of the lake's tables.
    ///
    /// # Errors
    /// [`LakeError::Foreign`] for a table that is not among [`TABLES`].
    pub fn table(&self, table: &'static Table) -> Result<&LakeTable, LakeError> {
        let missing = || LakeError::Foreign {
            table: table.name,
            why: "a lake has no such table".into(),
        };
        self.tables.get(table.name).ok_or_else(missing)
    }

    /// Names streams and keeps their states.
    pub fn keeper(&self) -> &StateKeeper {
        &self.keeper
    }

    /// Opens the files of this lake.
    pub fn decrypter(&self) -> Arc<KeyDecrypter> {
        Arc::new(KeyDecrypter::new(self.keys.clone()))
    }

    /// The source of ids and nonces.
    pub fn random(&self) -> &Random {
        &self.random
    }

    /// Seals rows into a file of a table and answers its Add action, which counts once it is committed.
    ///
    /// Values go under the master key of `site`; without one, under the table's.
    ///
    /// # Errors
    /// When a key cannot be had, then nothing is written; or when the store fails.
    pub async fn put(
        &self,
        table: &LakeTable,
        rows: RecordBatch,
        partition: &[(&'static str, String)],
        site: Option<&SiteId>,
        now: Timestamp,
    ) -> Result<Add, LakeError> {
        // What holds more than a day has no company to wait for: it stays.
        let layout = if span(&rows) > MICROS_PER_DAY {
            FileLayout::MEASURED
        } else {
            FileLayout::QUICK
        };
        let (schema, sampled) = (rows.schema(), rows.clone());
        let sample = move || Ok::<_, LakeError>(sampled);
        let file = self
            .encode(schema, site, &layout, sample, std::iter::once(Ok(rows)))
            .await?;
        self.put_encoded(table, file, partition, now).await
    }

    /// Seals rows, a batch at a time, into the bytes of a file; encodings are chosen by the sample.
    pub(crate) async fn encode<E>(
        &self,
        schema: SchemaRef,
        site: Option<&SiteId>,
        layout: &FileLayout,
        sample: impl FnOnce() -> Result<RecordBatch, E> + Send + 'static,
        batches: impl Iterator<Item = Result<RecordBatch, E>> + Send + 'static,
    ) -> Result<Encoded, E>
    where
        E: From<FileError> + From<LakeError> + Send + 'static,
    {
        let sealing = self
            .profile(site)
            .await?
            .seal(&self.encrypter)
            .await
            .map_err(LakeError::from)?;
        let layout = *layout;
        let encoding = spawn_blocking(move || {
            let sample = sample()?;
            let mut tally = Tally::default();
            let counted = batches.inspect(|rows| rows.iter().for_each(|rows| tally.add(rows)));
            let file = write_batches(&schema, &sample, counted, sealing, &layout)?;
            Ok(Encoded {
                file,
                stats: tally.stats(),
            })
        });
        // A panic while encoding is a broken invariant: it goes on in the caller's thread.
        encoding
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// Puts a file into a table's store and answers its Add action, which counts once it is committed.
    pub(crate) async fn put_encoded(
        &self,
        table: &LakeTable,
        Encoded { file, stats }: Encoded,
        partition: &[(&'static str, String)],
        now: Timestamp,
    ) -> Result<Add, LakeError> {
        let path = data_path(partition, self.id()?);
        let stats_tag = match self.sealed {
            Sealed::None => stats.in_clear(),
            Sealed::Columns => {
                self.tag_seal
                    .seal(table.schema().name, &path, &stats, &self.random)?
            }
        };
        table
            .put_file(file, path, partition, (&stats, stats_tag), now)
            .await
    }

    /// Appends rows to a table without partitions, in one commit.
    ///
    /// # Errors
    /// [`LakeError::Fenced`] if the table's state is no longer `from_state`: nothing has been written then.
    pub async fn append(
        &self,
        table: &'static Table,
        rows: RecordBatch,
        transaction: Transaction,
        now: Timestamp,
    ) -> Result<Version, LakeError> {
        let table = self.table(table)?;
        let adds = vec![self.put(table, rows, &[], None, now).await?];
        let Transaction {
            app_id,
            from_state,
            to_state,
        } = transaction;
        table
            .commit(&Attempt {
                id: self.id()?,
                app_id,
                from_state,
                to_state,
                adds,
            })
            .await
    }

    /// What a file holds, as the sealed tag of its commit says; `None` where there is none that opens.
    pub fn stats(&self, table: &Table, add: &Add) -> Option<FileStats> {
        stats_of(table, add, &self.tag_seal)
    }

    /// First and last event time of a file's rows, µs since 1970 UTC, as its commit says; without a sealed tag that opens,
    /// the bounds of their days. `None` where it says nothing.
    pub fn event_times(&self, table: &Table, add: &Add) -> Option<(i64, i64)> {
        event_times(table, add, &self.tag_seal)
    }

    /// A random id (RFC 9562, version 4).
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn id(&self) -> Result<Uuid, LakeError> {
        random_id(&self.random)
    }

    /// Where a file's columns get their keys. A new site's is durable before it is used, and is made only once: a
    /// keyring that
    /// has lost it is refused.
    async fn profile(&self, site: Option<&SiteId>) -> Result<Profile, LakeError> {
        if self.sealed == Sealed::None {
            return Ok(Profile::None);
        }
        let table = self.keys.current(TABLE_KEY).await?;
        let site = match site {
            Some(site) => {
                let name = site_key_name(site);
                match self.keys.current(&name).await {
                    Ok(id) => id,
                    Err(KeyError::MissingKey { .. }) => {
                        self.keys
                            .ensure(&name, &keys_in_use(self.tables.values()).await?)
                            .await?
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            None => table.clone(),
        };
        Ok(Profile::Columns { table, site })
    }
}

fn random_id(random: &Random) -> Result<Uuid, LakeError> {
    Ok(uuid::Builder::from_random_bytes(random_bytes(random)?).into_uuid())
}
