//! Tables for DataFusion: decrypts, leaves out the files that a filter excludes, and pushes filters into the rest.
//!
//! delta-rs's own scan cannot decrypt. A table is read as of one snapshot, so a query sees one version.

mod checked;
mod cover;
mod prune;
mod quoting;
mod viewed;

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DataFusionError, Result, ScalarValue, config::EncryptionFactoryOptions},
    datasource::{
        TableType,
        empty::EmptyTable,
        listing::PartitionedFile,
        object_store::ObjectStoreUrl,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    execution::{parquet_encryption::EncryptionFactory, runtime_env::RuntimeEnv},
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_plan::ExecutionPlan,
    prelude::{SessionConfig, SessionContext},
};
use deltalake_core::kernel::{Add, Version};
use forebay_schemas::table::{Column, Table};
use object_store::{ObjectStore, path::Path};
use parquet::encryption::{decrypt::FileDecryptionProperties, encrypt::FileEncryptionProperties};

use crate::{
    LakeError,
    file::schema::{arrow_fields, file_schema},
    file::stats::TagSeal,
    keys::KeyDecrypter,
    table::stored::keks,
    table::{LakeTable, Snapshot},
};
use checked::{CheckedFactory, MustBeSealed};
pub use cover::{CoveredView, RollupCover, UnreadNotes};
pub use quoting::quoting_hint;
pub use viewed::ViewedTable;

/// Tables as of one version each, for any number of sessions.
#[derive(Debug, Clone)]
pub struct LakeView(Vec<Arc<DeltaScan>>);

impl LakeView {
    /// The tables as they are now.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn open(
        tables: &[LakeTable],
        decrypter: &Arc<KeyDecrypter>,
    ) -> Result<Self, LakeError> {
        let tag_seal = Arc::new(TagSeal::of(decrypter.provider()).await?);
        let mut scans = Vec::with_capacity(tables.len());
        for table in tables {
            let snapshot = table.snapshot().await?;
            let scan = DeltaScan::new(table, snapshot, decrypter.clone(), tag_seal.clone());
            scans.push(Arc::new(scan));
        }
        Ok(Self(scans))
    }

    /// The tables as they are now; what is known of a table that has not changed since this view is kept.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub async fn refreshed(&self, tables: &[LakeTable]) -> Result<Self, LakeError> {
        let mut scans = Vec::with_capacity(tables.len());
        for (table, scan) in tables.iter().zip(&self.0) {
            let snapshot = table.snapshot().await?;
            if scan.is_of(table, &snapshot) {
                scans.push(scan.clone());
                continue;
            }
            let (decrypter, seal) = (scan.decrypter.clone(), scan.tag_seal.clone());
            scans.push(Arc::new(DeltaScan::new(table, snapshot, decrypter, seal)));
        }
        Ok(Self(scans))
    }

    /// The tables one by one, for a session that is composed elsewhere.
    pub fn tables(&self) -> Vec<ViewedTable> {
        self.0.iter().cloned().map(ViewedTable).collect()
    }

    /// A session in which the tables of these views can be named in SQL; memory and spilled rows are the runtime's.
    ///
    /// # Errors
    /// When two tables have one name.
    pub fn session(
        views: &[&Self],
        runtime: &Arc<RuntimeEnv>,
    ) -> Result<SessionContext, LakeError> {
        let context = SessionContext::new_with_config_rt(session_config(), runtime.clone());
        for scan in views.iter().flat_map(|view| &view.0) {
            let url = store_url(scan.table);
            context.register_object_store(url.as_ref(), scan.store.clone());
            register(&context, scan.table, scan.clone())?;
        }
        Ok(context)
    }
}

/// A session in which each of these tables, as of now, can be named in SQL.
///
/// # Errors
/// When a table cannot be read.
pub async fn session(
    tables: &[LakeTable],
    decrypter: &Arc<KeyDecrypter>,
) -> Result<SessionContext, LakeError> {
    let view = LakeView::open(tables, decrypter).await?;
    LakeView::session(&[&view], &Arc::new(RuntimeEnv::default()))
}

/// The same without rows, and without a lake: for planning a query before there is one.
///
/// # Errors
/// When two tables have one name.
pub fn empty_session(tables: &[&'static Table]) -> Result<SessionContext, LakeError> {
    let context = SessionContext::new_with_config(session_config());
    for table in tables {
        register(
            &context,
            table,
            Arc::new(EmptyTable::new(table_schema(table))),
        )?;
    }
    Ok(context)
}

fn session_config() -> SessionConfig {
    SessionConfig::new().with_information_schema(true)
}

fn register(
    context: &SessionContext,
    table: &Table,
    provider: Arc<dyn TableProvider>,
) -> Result<(), LakeError> {
    let registered = context.register_table(table.name, provider);
    registered.map(drop).map_err(|error| LakeError::Foreign {
        table: table.name,
        why: error.to_string(),
    })
}

fn table_schema(table: &Table) -> SchemaRef {
    Arc::new(Schema::new(arrow_fields(table.columns)))
}

/// What the scans of a query have read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanCost {
    /// Data files that were opened.
    pub files: usize,
    /// Bytes of their columns that were fetched.
    pub bytes: usize,
}

impl ScanCost {
    /// Of a plan that has been run to its end.
    pub fn of(plan: &dyn ExecutionPlan) -> Self {
        let own = plan.metrics();
        let sum = |name| {
            own.as_ref()
                .and_then(|own| own.sum_by_name(name))
                .map_or(0, |sum| sum.as_usize())
        };
        let mut cost = Self {
            files: sum("files_opened"),
            bytes: sum("bytes_scanned"),
        };
        for child in plan.children() {
            let Self { files, bytes } = Self::of(child.as_ref());
            cost = Self {
                files: cost.files + files,
                bytes: cost.bytes + bytes,
            };
        }
        cost
    }
}

fn store_url(table: &Table) -> ObjectStoreUrl {
    // A table's name is a constant of lower-case letters: always a valid host.
    ObjectStoreUrl::parse(format!("forebay://{}", table.name))
        .unwrap_or_else(|_| ObjectStoreUrl::local_filesystem())
}

/// One snapshot of one table.
#[derive(Debug, Clone)]
struct DeltaScan {
    table: &'static Table,
    version: Version,
    schema: SchemaRef,
    files: Vec<Add>,
    store: Arc<dyn ObjectStore>,
    decrypter: Arc<KeyDecrypter>,
    tag_seal: Arc<TagSeal>,
}

impl DeltaScan {
    fn new(
        table: &LakeTable,
        snapshot: Snapshot,
        decrypter: Arc<KeyDecrypter>,
        tag_seal: Arc<TagSeal>,
    ) -> Self {
        let (store, table) = (table.store().clone(), table.schema());
        let schema = table_schema(table);
        Self {
            table,
            version: snapshot.version(),
            schema,
            files: snapshot.files(),
            store,
            decrypter,
            tag_seal,
        }
    }

    /// Whether it is of this version of this table.
    fn is_of(&self, table: &LakeTable, snapshot: &Snapshot) -> bool {
        snapshot.version() == self.version && table.schema().name == self.table.name
    }

    /// DataFusion puts partition columns last; our tables have them first.
    fn projection(&self, projection: Option<&Vec<usize>>) -> Vec<usize> {
        let (total, partitions) = (self.table.columns.len(), self.table.partition_columns);
        let moved = |i: usize| {
            if i < partitions {
                total - partitions + i
            } else {
                i - partitions
            }
        };
        match projection {
            Some(columns) => columns.iter().map(|i| moved(*i)).collect(),
            None => (0..total).map(moved).collect(),
        }
    }

    /// The file, with its keys fetched.
    async fn open(&self, add: &Add) -> Result<PartitionedFile> {
        let path = Path::parse(&add.path).map_err(external)?;
        let mut file = PartitionedFile::new(path.to_string(), add.size.unsigned_abs());
        file.object_meta.location = path;
        file.partition_values = partition_values(self.table.partition_columns(), add)?;
        let keks = keks(self.table, add).map_err(external)?;
        self.decrypter.prepare(&keks).await.map_err(external)?;
        Ok(if keks.is_empty() {
            file
        } else {
            file.with_extension(MustBeSealed)
        })
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The values of a file's partition columns, typed.
fn partition_values(columns: &[Column], add: &Add) -> Result<Vec<ScalarValue>> {
    let fields = arrow_fields(columns);
    fields
        .iter()
        .map(|field| {
            let text = add.partition_values.get(field.name()).cloned().flatten();
            match text {
                Some(text) => ScalarValue::try_from_string(text, field.data_type()),
                None => ScalarValue::try_new_null(field.data_type()),
            }
        })
        .collect()
}

#[async_trait]
impl TableProvider for DeltaScan {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let kept = prune::files(
            session,
            &self.schema,
            self.table,
            &self.files,
            filters,
            &self.tag_seal,
        )?;
        let schema = TableSchema::builder(file_schema(self.table))
            .with_table_partition_cols(arrow_fields(self.table.partition_columns()))
            .build();
        let readers =
            CheckedFactory::new(self.table.name, self.store.clone(), self.decrypter.clone());
        let source = ParquetSource::new(schema)
            .with_pushdown_filters(true)
            .with_enable_page_index(true)
            .with_parquet_file_reader_factory(Arc::new(readers))
            .with_encryption_factory(Arc::new(Decryption(self.decrypter.clone())));
        let lanes = session.config().target_partitions().max(1);
        let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new(); lanes.min(kept.len().max(1))];
        let count = groups.len();
        for (i, add) in kept.into_iter().enumerate() {
            groups[i % count].push(self.open(add).await?);
        }
        let scan = FileScanConfigBuilder::new(store_url(self.table), Arc::new(source))
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_projection_indices(Some(self.projection(projection)))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }
}

/// The same keys for every file: which ones a file needs stands in its own key metadata.
#[derive(Debug)]
struct Decryption(Arc<KeyDecrypter>);

#[async_trait]
impl EncryptionFactory for Decryption {
    async fn get_file_encryption_properties(
        &self,
        _: &EncryptionFactoryOptions,
        _: &SchemaRef,
        _: &Path,
    ) -> Result<Option<Arc<FileEncryptionProperties>>> {
        Err(DataFusionError::NotImplemented(
            "the lake's files are written by its own writer".into(),
        ))
    }

    async fn get_file_decryption_properties(
        &self,
        _: &EncryptionFactoryOptions,
        _: &Path,
    ) -> Result<Option<Arc<FileDecryptionProperties>>> {
        let properties = self.0.properties().map_err(external)?;
        Ok(Some(properties))
    }
}

#[cfg(test)]
mod tests;
