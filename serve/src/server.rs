//! The role at work: its ports, on threads of their own.
//!
//! Queries are heavy on the CPU and recurse: they run on threads that the data path does not share, half as many as the
//! machine has. One more has the ports: who signs in, cancels or waits for a time-out is not kept by a query that does not yield.
//! All have stacks for the deepest statement that is let through ([`crate::guard`]).

use std::{
    net::SocketAddr,
    sync::Arc,
    thread::{self, available_parallelism},
    time::Duration,
};

use datafusion_postgres::pgwire::api::{ConnectionManager, RandomPidSecretKeyGenerator};
use forebay_schemas::Clock;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle, Runtime},
    select,
    sync::oneshot,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    ServeError,
    audit::ServeProgress,
    doorway::Doorway,
    engine::Engine,
    http::HttpPort,
    lake::LakeReader,
    lockout::Lockout,
    pg::{PgPort, SignIn},
    secrets::Secrets,
    settings::ServeSettings,
};

/// Reserved for each thread, and used as far as a statement is deep.
const STACK_BYTES: usize = 128 << 20;
/// Threads that read files, where the lake lies in a folder.
const BLOCKING_THREADS_MAX: usize = 16;
/// How long a query under way may take to notice the stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });

/// Where a role at work listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// For clients of PostgreSQL.
    pub postgres: Option<SocketAddr>,
    /// For HTTP.
    pub http: Option<SocketAddr>,
}

/// Serves until the stop. `listening` is given the addresses once the ports are open.
///
/// # Errors
/// When the role cannot run: a port is taken, a file is not there.
pub async fn serve(
    settings: ServeSettings,
    reader: LakeReader,
    clock: Clock,
    progress: Arc<ServeProgress>,
    stop: CancellationToken,
    listening: impl FnOnce(Addresses) + Send + 'static,
) -> Result<(), ServeError> {
    let threads = available_parallelism().map_or(1, |count| count.get().div_ceil(2));
    let queries = runtime("serve-queries", threads)?;
    let ports = runtime("serve", 1)?;
    let (ended, end) = oneshot::channel();
    let part = Part {
        settings,
        reader,
        clock,
        progress,
        threads,
        queries: queries.handle().clone(),
    };
    // A token of its own: when this future is dropped, the threads stop, and the caller's token stays as it is.
    let stop = stop.child_token();
    let _ends_with_this = stop.clone().drop_guard();
    let begun = thread::Builder::new()
        .name("serve-main".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let outcome = run(&ports, part, stop, listening);
            ports.shutdown_timeout(STOP_TIMEOUT);
            queries.shutdown_timeout(STOP_TIMEOUT);
            // Nobody waits any more when this cannot be sent.
            let _unheard = ended.send(outcome);
        });
    begun.map_err(ServeError::Threads)?;
    match end.await {
        Ok(outcome) => outcome,
        Err(_) => Err(ServeError::Engine("its threads panicked".into())),
    }
}

fn runtime(name: &str, threads: usize) -> Result<Runtime, ServeError> {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name(name)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(ServeError::Threads)
}

struct Part {
    settings: ServeSettings,
    reader: LakeReader,
    clock: Clock,
    progress: Arc<ServeProgress>,
    threads: usize,
    queries: Handle,
}

fn run(
    runtime: &Runtime,
    part: Part,
    stop: CancellationToken,
    listening: impl FnOnce(Addresses) + Send + 'static,
) -> Result<(), ServeError> {
    runtime.block_on(async move {
        let mut ports = JoinSet::new();
        let addresses = part.open(&mut ports, &stop).await?;
        let (postgres, http) = (addresses.postgres, addresses.http);
        info!(?postgres, ?http, "answering queries");
        listening(addresses);
        let ended = async { while ports.join_next().await.is_some() {} };
        // A connection may be at a statement that takes long to plan: the stop does not wait for it.
        select! {
            () = ended => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    })
}

impl Part {
    async fn open(
        self,
        ports: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Addresses, ServeError> {
        let secrets = Arc::new(Secrets::load(&self.settings)?);
        let (postgres_tls, http_tls) = secrets.acceptors()?.unzip();
        let limits = self.settings.limits;
        let progress = self.progress;
        let engine = Engine::new(
            self.reader,
            limits,
            self.settings.rollups,
            (self.threads, self.queries),
            self.clock,
            progress.clone(),
        )?;
        engine.prepare(&secrets.users())?;
        let engine = Arc::new(engine);
        let lockout = Arc::new(Lockout::default());
        let postgres = listener(self.settings.postgres_listen).await?;
        let http = listener(self.settings.http_listen).await?;
        let addresses = Addresses {
            postgres: postgres.as_ref().map(|(_, address)| *address),
            http: http.as_ref().map(|(_, address)| *address),
        };
        if let Some((listener, _)) = postgres {
            let sign_in = SignIn {
                secrets: secrets.clone(),
                lockout: lockout.clone(),
                progress: progress.clone(),
                connections: Arc::new(ConnectionManager::new()),
                process_ids: RandomPidSecretKeyGenerator::default(),
                has_tls: postgres_tls.is_some(),
            };
            let port = Arc::new(PgPort::new(engine.clone(), sign_in, postgres_tls));
            ports.spawn(port.serve(listener, stop.clone()));
        }
        if let Some((listener, _)) = http {
            let port = Arc::new(HttpPort {
                engine,
                secrets: secrets.clone(),
                lockout,
                doorway: Arc::new(Doorway::new(progress.clone())),
                progress,
                tls: http_tls,
            });
            ports.spawn(port.serve(listener, stop.clone()));
        }
        ports.spawn(secrets.follow(stop.clone()));
        Ok(addresses)
    }
}

async fn listener(
    address: Option<SocketAddr>,
) -> Result<Option<(TcpListener, SocketAddr)>, ServeError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok(Some((listener, bound)))
}
