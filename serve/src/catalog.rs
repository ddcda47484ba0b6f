//! What a user's session knows: the tables and views that are there for the user, PostgreSQL's own catalog over them, and
//! functions.
//!
//! A session lives for one statement, so nothing that one does is seen by the next. What is dear to make is made once for
//! each user and holds no rows: the functions, and `pg_catalog`, whose numbers (oids) must stay the same from one
//! statement to the next.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::SchemaRef,
    catalog::{
        CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
        MemorySchemaProvider, SchemaProvider, TableProvider,
    },
    common::Result,
    datasource::{MemTable, ViewTable, empty::EmptyTable},
    execution::{
        FunctionRegistry as _, SessionState, SessionStateBuilder, context::SessionContext,
        runtime_env::RuntimeEnv,
    },
    prelude::SessionConfig,
};
use datafusion_postgres::datafusion_pg_catalog::{
    pg_catalog::{
        PgCatalogSchemaProvider, PgCatalogStaticTables,
        context::{PgCatalogContextProvider, Role},
    },
    setup_pg_catalog,
};
use forebay_lake::ViewedTable;
use forebay_schemas::table::READINGS;

use crate::{
    dialect::times::UTC,
    fence::{fenced, fenced_rows},
    functions::{
        bounded::{Bounds, NOT_THERE},
        functions,
        patterns::Patterns,
    },
    lake::Sight,
    latest::latest_schema,
    rollups,
    user::User,
    views::{LATEST, VIEWS, View},
    waiting::{WINDOWS_WAITING, WaitingWindows, waiting_schema},
};

/// The database's name; any other is taken for it.
pub(crate) const DATABASE: &str = "forebay";
const SCHEMA: &str = "public";
const PG_CATALOG: &str = "pg_catalog";

/// What one statement is about.
pub(crate) struct Scope<'a> {
    pub(crate) user: &'a Arc<User>,
    pub(crate) sight: &'a Sight,
    /// The rows of [`LATEST`], where the statement names it.
    pub(crate) latest: Option<Arc<MemTable>>,
    /// Who knows the rows of [`WINDOWS_WAITING`], if that is known here.
    pub(crate) waiting: Option<&'a WaitingWindows>,
    /// The statement; only the views that it names are planned.
    pub(crate) sql: &'a str,
    pub(crate) time_zone: Option<&'a str>,
    pub(crate) runtime: Arc<RuntimeEnv>,
}

/// Sessions of one user.
pub(crate) struct UserCatalog {
    state: SessionState,
    static_tables: Arc<PgCatalogStaticTables>,
    /// `pg_catalog`, and the tables that it was made for.
    pg_catalog: Mutex<Option<(Shape, Arc<dyn SchemaProvider>)>>,
    /// The columns of the views that have been planned before.
    views: Mutex<BTreeMap<&'static str, SchemaRef>>,
}

type Shape = Vec<(String, SchemaRef)>;

impl UserCatalog {
    /// For a user, in whose sessions a query uses so many threads.
    ///
    /// # Errors
    /// When the engine refuses a function: a defect.
    pub(crate) fn new(
        user: &User,
        static_tables: Arc<PgCatalogStaticTables>,
        threads: usize,
    ) -> Result<Self> {
        let config = SessionConfig::new()
            .with_information_schema(true)
            .with_target_partitions(threads)
            .with_default_catalog_and_schema(DATABASE, SCHEMA);
        let mut context = SessionContext::new_with_config(config);
        setup_pg_catalog(&context, DATABASE, OwnRole(user.name.clone())).map_err(|error| *error)?;
        for function in functions(&user.name) {
            context.register_udf(function);
        }
        for name in NOT_THERE {
            context.deregister_udf(name);
        }
        context.register_function_rewrite(Arc::new(Bounds))?;
        context.register_function_rewrite(Arc::new(Patterns))?;
        Ok(Self {
            state: context.state(),
            static_tables,
            pg_catalog: Mutex::new(None),
            views: Mutex::default(),
        })
    }

    /// A session for one statement.
    ///
    /// # Errors
    /// When a view cannot be planned: a defect.
    pub(crate) async fn session(&self, scope: &Scope<'_>) -> Result<SessionContext> {
        let tables = scope.sight.view.tables();
        for table in &tables {
            table.register_store(&scope.runtime);
        }
        let public = Arc::new(MemorySchemaProvider::new());
        let mut shape = Shape::new();
        let own = own_tables(&tables, scope.user);
        for (name, table) in &own {
            shape.push((name.clone(), table.schema()));
            public.register_table(name.clone(), table.clone())?;
        }
        for (name, rows) in kept_views(scope)? {
            let rows = fenced_rows(rows, scope.user);
            shape.push((name.to_owned(), rows.schema()));
            public.register_table(name.to_owned(), rows)?;
        }
        let context = self.context(scope, &public, &own);
        for view in present(&shape) {
            if let Some(table) = self.view(view, scope, &context).await? {
                shape.push((view.name.to_owned(), table.schema()));
                public.register_table(view.name.to_owned(), table)?;
            }
        }
        let catalog = context.catalog(DATABASE);
        if let Some(catalog) = catalog {
            catalog.register_schema(PG_CATALOG, self.pg_catalog(scope.user, shape)?)?;
        }
        Ok(context)
    }

    /// A view, planned if the statement names it; else its columns alone. `None` where it is not there for the user.
    async fn view(
        &self,
        view: &View,
        scope: &Scope<'_>,
        context: &SessionContext,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        let views = || self.views.lock().unwrap_or_else(PoisonError::into_inner);
        let known = views().get(view.name).cloned();
        if let Some(schema) = known
            && !names(scope.sql, view.name)
        {
            return Ok(Some(Arc::new(EmptyTable::new(schema))));
        }
        let Some(sql) = view.sql(&scope.user.columns_hidden) else {
            return Ok(None);
        };
        let plan = context.state().create_logical_plan(&sql).await?;
        views().insert(view.name, plan.schema().inner().clone());
        Ok(Some(Arc::new(ViewTable::new(plan, None))))
    }

    fn context(
        &self,
        scope: &Scope<'_>,
        public: &Arc<MemorySchemaProvider>,
        own: &[OwnTable],
    ) -> SessionContext {
        let catalogs = catalogs(public.clone());
        let mut config = self.state.config().clone();
        // Without one the engine's times would have none, and `timestamptz '…'` would lose its own.
        let zone = scope.time_zone.unwrap_or(UTC);
        config.options_mut().execution.time_zone = Some(zone.to_owned());
        // What is planned below that knows which files there are, and how many rows they have.
        config.options_mut().explain.logical_plan_only = !scope.user.sites.is_all();
        let mut state = SessionStateBuilder::new_from_existing(self.state.clone())
            .with_config(config.with_create_default_catalog_and_schema(false))
            .with_catalog_list(catalogs)
            .with_runtime_env(scope.runtime.clone());
        if names(scope.sql, READINGS.name) {
            let (others, sight) = (self.state.optimizers(), scope.sight);
            let rules = rollups::rules(others, &sight.cover, &scope.user.sites, own);
            state = state.with_optimizer_rules(rules);
        }
        SessionContext::new_with_state(state.build())
    }

    /// PostgreSQL's catalog over tables of this shape, without their rows.
    fn pg_catalog(&self, user: &User, shape: Shape) -> Result<Arc<dyn SchemaProvider>> {
        let mut kept = self
            .pg_catalog
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((known, provider)) = kept.as_ref()
            && *known == shape
        {
            return Ok(provider.clone());
        }
        let public = Arc::new(MemorySchemaProvider::new());
        for (name, schema) in &shape {
            let table = Arc::new(EmptyTable::new(schema.clone()));
            public.register_table(name.clone(), table)?;
        }
        let provider: Arc<dyn SchemaProvider> = Arc::new(PgCatalogSchemaProvider::try_new(
            catalogs(public),
            self.static_tables.clone(),
            OwnRole(user.name.clone()),
        )?);
        *kept = Some((shape, provider.clone()));
        Ok(provider)
    }
}

/// Whether a statement holds a name, in whatever case. One that does not cannot speak of it.
pub(crate) fn names(sql: &str, name: &str) -> bool {
    sql.to_ascii_lowercase().contains(name)
}

/// A table as a user sees it, by its name.
type OwnTable = (String, Arc<dyn TableProvider>);

fn own_tables(tables: &[ViewedTable], user: &User) -> Vec<OwnTable> {
    let own = |table: &ViewedTable| Some((table.table().name.to_owned(), fenced(table, user)?));
    tables.iter().filter_map(own).collect()
}

/// The views whose rows are kept in memory: those that the statement does not name without them.
fn kept_views(scope: &Scope<'_>) -> Result<Vec<(&'static str, Arc<dyn TableProvider>)>> {
    let latest: Arc<dyn TableProvider> = match &scope.latest {
        Some(rows) => rows.clone(),
        None => Arc::new(EmptyTable::new(latest_schema())),
    };
    let mut views = vec![(LATEST, latest)];
    if let Some(waiting) = scope.waiting {
        let rows: Arc<dyn TableProvider> = if names(scope.sql, WINDOWS_WAITING) {
            waiting.rows()?
        } else {
            Arc::new(EmptyTable::new(waiting_schema()))
        };
        views.push((WINDOWS_WAITING, rows));
    }
    Ok(views)
}

/// The views whose tables are there.
fn present(shape: &Shape) -> Vec<&'static View> {
    let there: BTreeSet<&str> = shape.iter().map(|(name, _)| name.as_str()).collect();
    let is_there = |view: &&View| view.tables.iter().all(|table| there.contains(table));
    VIEWS.iter().filter(is_there).collect()
}

fn catalogs(public: Arc<MemorySchemaProvider>) -> Arc<dyn CatalogProviderList> {
    let catalog = Arc::new(MemoryCatalogProvider::new());
    // A new catalog has no schema that could be in the way.
    let _replaced = catalog.register_schema(SCHEMA, public);
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(DATABASE.to_owned(), catalog);
    Arc::new(catalogs)
}

/// A user sees no other.
#[derive(Debug, Clone)]
struct OwnRole(String);

#[async_trait]
impl PgCatalogContextProvider for OwnRole {
    async fn roles(&self) -> Vec<String> {
        vec![self.0.clone()]
    }

    async fn role(&self, name: &str) -> Option<Role> {
        Some(Role {
            name: name.to_owned(),
            is_superuser: false,
            can_login: true,
            can_create_db: false,
            can_create_role: false,
            can_create_user: false,
            can_replication: false,
            grants: Vec::new(),
            inherited_roles: Vec::new(),
        })
    }
}
