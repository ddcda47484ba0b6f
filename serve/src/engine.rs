//! Runs a user's statements within the limits.

mod interrupt;
mod rows;
mod width;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::{
    common::ParamValues,
    error::DataFusionError,
    execution::{
        SendableRecordBatchStream, TaskContext,
        context::SessionContext,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::GreedyMemoryPool,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    logical_expr::LogicalPlan,
    physical_plan::{ExecutionPlan, execute_stream, stream::RecordBatchReceiverStreamBuilder},
    sql::{
        parser::Statement as EngineStatement,
        sqlparser::{ast::Statement, parser::ParserError},
    },
};
use datafusion_postgres::datafusion_pg_catalog::{
    pg_catalog::PgCatalogStaticTables, sql::PostgresCompatibilityParser,
};
use forebay_lake::quoting_hint;
use forebay_schemas::Clock;
use futures::StreamExt as _;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    ServeError,
    audit::{Asker, AuditLine, ServeProgress},
    catalog::{Scope, UserCatalog, names},
    dialect::{self, times::Zone},
    error::QueryError,
    functions::name_user_columns,
    guard::{self, SeesAll},
    lake::{LakeReader, LakeSource},
    latest::Latest,
    settings::{Limits, RollupUse},
    user::{User, Users},
    views::LATEST,
};
use interrupt::{Interrupt, interruptible};
pub(crate) use rows::Rows;
use width::width_max;

/// What a token is once it is parsed, about.
const TOKEN_BYTES: usize = 256;
/// Statements in one message.
const STATEMENTS_MAX: usize = 32;

/// One statement, parsed, and as the log shows it.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    pub(crate) statement: Statement,
    pub(crate) shown: Arc<str>,
    /// About how many bytes it takes, parsed.
    pub(crate) weight: usize,
}

/// What is known of a statement before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    pub(crate) schema: SchemaRef,
    /// Its parameters in order, with their types where they follow from the statement.
    pub(crate) parameters: Vec<Option<DataType>>,
}

/// How a statement runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    pub(crate) time_zone: Option<String>,
    /// Shorter than the configured one.
    pub(crate) timeout: Option<Duration>,
}

/// Leave to run, shared by the statements of one message.
pub(crate) type Turn = Arc<OwnedSemaphorePermit>;

/// Runs statements.
pub(crate) struct Engine {
    lake: LakeSource,
    latest: Latest,
    limits: Limits,
    turns: Arc<Semaphore>,
    parser: PostgresCompatibilityParser,
    static_tables: Arc<PgCatalogStaticTables>,
    catalogs: Mutex<HashMap<String, Arc<UserCatalog>>>,
    threads: usize,
    /// The threads for queries.
    queries: Handle,
    pub(crate) progress: Arc<ServeProgress>,
}

impl Engine {
    /// # Errors
    /// [`ServeError::Engine`] when the engine refuses what is part of this program: a defect.
    pub(crate) fn new(
        reader: LakeReader,
        limits: Limits,
        rollups: RollupUse,
        (threads, queries): (usize, Handle),
        clock: Clock,
        progress: Arc<ServeProgress>,
    ) -> Result<Self, ServeError> {
        let static_tables = PgCatalogStaticTables::try_new();
        let static_tables = static_tables.map_err(|error| ServeError::Engine(error.to_string()))?;
        Ok(Self {
            lake: LakeSource::new(reader, rollups),
            latest: Latest::new(clock, queries.clone()),
            limits,
            turns: Arc::new(Semaphore::new(limits.queries_at_once)),
            parser: PostgresCompatibilityParser::new(),
            static_tables: Arc::new(static_tables),
            catalogs: Mutex::default(),
            threads,
            queries,
            progress,
        })
    }

    /// Makes what each user's sessions share, so that the first query need not.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub(crate) fn prepare(&self, users: &Users) -> Result<(), ServeError> {
        for user in users.iter() {
            let made = self.catalog(user);
            made.map_err(|_| ServeError::Engine(format!("the catalog of {}", user.name)))?;
        }
        Ok(())
    }

    /// How long a query may take at most.
    pub(crate) fn timeout(&self) -> Duration {
        self.limits.timeout
    }

    /// The statements of a text.
    pub(crate) fn parse(&self, sql: &str) -> Result<Vec<Parsed>, QueryError> {
        let tokens = guard::check_text(sql)?;
        let shown: Arc<str> = guard::shown(&tokens).into();
        let weight = sql.len() + TOKEN_BYTES * tokens.len();
        let prepared = dialect::prepared(sql, &tokens)?;
        let parsed = self.parser.parse(&prepared);
        let parsed = parsed.map_err(|error| not_parsed(&error, sql))?;
        if parsed.len() > STATEMENTS_MAX {
            let why = format!("{} statements, more than {STATEMENTS_MAX}", parsed.len());
            return Err(QueryError::TooComplex(why));
        }
        for statement in &parsed {
            guard::check_expansion(statement)?;
        }
        let named = |mut statement| {
            name_user_columns(&mut statement, &tokens);
            dialect::checked(&mut statement, &tokens)?;
            Ok(Parsed {
                statement,
                shown: shown.clone(),
                weight,
            })
        };
        parsed.into_iter().map(named).collect()
    }

    /// Waits for leave to run.
    pub(crate) async fn turn(&self) -> Result<Turn, QueryError> {
        let wait = self.limits.timeout / 4;
        match timeout(wait, self.turns.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Arc::new(permit)),
            // The semaphore is never closed.
            Ok(Err(_)) => Err(QueryError::Internal),
            Err(_) => Err(QueryError::Busy(wait)),
        }
    }

    /// Plans a statement without running it.
    pub(crate) async fn describe(
        &self,
        user: &Arc<User>,
        parsed: &Parsed,
        terms: &Terms,
    ) -> Result<Described, QueryError> {
        let limit = self.deadline(terms).1;
        let planning = self.plan(user, parsed, terms);
        let (_, plan) = timeout(limit, planning)
            .await
            .map_err(|_| QueryError::TimedOut(limit))??;
        let parameters = rows::parameters(&plan).map_err(|error| self.error(&error))?;
        Ok(Described {
            schema: plan.schema().inner().clone(),
            parameters,
        })
    }

    /// Runs a statement. The rows come as they are read; whoever drops them ends the query.
    pub(crate) async fn run(
        &self,
        asker: Asker,
        parsed: &Parsed,
        parameters: Option<ParamValues>,
        terms: &Terms,
        turn: Turn,
    ) -> Result<Rows, QueryError> {
        let user = asker.user.clone();
        let progress = self.progress.clone();
        let mut line = AuditLine::new(asker, parsed.shown.to_string(), progress);
        let (deadline, limit) = self.deadline(terms);
        let interrupt = Interrupt::at(deadline);
        let starting = self.start(&user, parsed, parameters, terms, &interrupt);
        let started = match timeout_at(deadline, starting).await {
            Ok(started) => started,
            Err(_) => Err(QueryError::TimedOut(limit)),
        };
        match started {
            Ok(stream) => Ok(Rows::new(
                stream,
                self.limits,
                (deadline, limit),
                interrupt,
                line,
                turn,
            )),
            Err(error) => {
                line.failed(&error);
                Err(error)
            }
        }
    }

    async fn start(
        &self,
        user: &Arc<User>,
        parsed: &Parsed,
        parameters: Option<ParamValues>,
        terms: &Terms,
        interrupt: &Interrupt,
    ) -> Result<SendableRecordBatchStream, QueryError> {
        let (context, mut plan) = self.plan(user, parsed, terms).await?;
        if let Some(parameters) = parameters {
            plan = plan
                .replace_params_with_values(&parameters)
                .map_err(|error| self.error(&error))?;
        }
        guard::check_constants(&plan)?;
        let width_max = width_max(self.limits.memory_bytes_max);
        let planned = physical(&context, plan, interrupt, width_max).await;
        let planned = planned.map_err(|error| self.error(&error))?;
        Ok(self.running(planned, context.task_ctx()))
    }

    /// Runs a plan on the threads for queries. Dropping the rows ends it.
    fn running(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
    ) -> SendableRecordBatchStream {
        let mut rows = RecordBatchReceiverStreamBuilder::new(plan.schema(), 1);
        let batches = rows.tx();
        let sending = async move {
            let mut running = execute_stream(plan, context)?;
            while let Some(batch) = running.next().await {
                if batches.send(batch).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        rows.spawn_on(sending, &self.queries);
        rows.build()
    }

    async fn plan(
        &self,
        user: &Arc<User>,
        parsed: &Parsed,
        terms: &Terms,
    ) -> Result<(SessionContext, LogicalPlan), QueryError> {
        let sight = self.lake.sight().await?;
        let sql = parsed.statement.to_string();
        let latest = if names(&sql, LATEST) {
            let rows = self
                .latest
                .rows(&sight.view, self.lake.ways(), &user.columns_hidden);
            Some(rows.await?)
        } else {
            None
        };
        let scope = Scope {
            user,
            sight: &sight,
            latest,
            waiting: self.lake.waiting(),
            sql: &sql,
            time_zone: terms.time_zone.as_deref(),
            runtime: self.runtime()?,
        };
        let catalog = self.catalog(user)?;
        let context = catalog.session(&scope).await;
        let context = context.map_err(|error| self.error(&error))?;
        let statement = EngineStatement::Statement(Box::new(parsed.statement.clone()));
        let plan = context.state().statement_to_plan(statement).await;
        let plan = plan.map_err(|error| self.error(&error))?;
        // First: what follows walks through the plan.
        guard::check_size(&plan)?;
        let zone = Zone::of(terms.time_zone.as_deref());
        let plan = dialect::typed(plan, &zone).map_err(|error| self.error(&error))?;
        let sees_all = if user.sites.is_all() {
            SeesAll::Yes
        } else {
            SeesAll::No
        };
        guard::check_plan(&plan, sees_all)?;
        Ok((context, plan))
    }

    /// What one query may take; nothing is spilled to the disk, which belongs to the data path.
    fn runtime(&self) -> Result<Arc<RuntimeEnv>, QueryError> {
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let pool = GreedyMemoryPool::new(self.limits.memory_bytes_max);
        RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(disk)
            .build_arc()
            .map_err(|error| self.error(&error))
    }

    fn catalog(&self, user: &Arc<User>) -> Result<Arc<UserCatalog>, QueryError> {
        let mut catalogs = self.catalogs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = catalogs.get(&user.name) {
            return Ok(known.clone());
        }
        let made = UserCatalog::new(user, self.static_tables.clone(), self.threads);
        let made = Arc::new(made.map_err(|error| self.error(&error))?);
        catalogs.insert(user.name.clone(), made.clone());
        Ok(made)
    }

    fn deadline(&self, terms: &Terms) -> (Instant, Duration) {
        let configured = self.limits.timeout;
        let limit = terms.timeout.map_or(configured, |own| own.min(configured));
        (Instant::now() + limit, limit)
    }

    fn error(&self, error: &DataFusionError) -> QueryError {
        QueryError::of(error, self.limits.memory_bytes_max)
    }
}

/// What the parser says, and what the statement may lack.
fn not_parsed(error: &ParserError, sql: &str) -> QueryError {
    QueryError::Syntax(match quoting_hint(sql) {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    })
}

/// A plan that can be ended at any time.
async fn physical(
    context: &SessionContext,
    plan: LogicalPlan,
    interrupt: &Interrupt,
    width_max: usize,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let rows = context.execute_logical_plan(plan).await?;
    interruptible(rows.create_physical_plan().await?, interrupt, width_max)
}
