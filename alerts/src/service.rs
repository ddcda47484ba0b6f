//! The alerts at work: facts are judged, states stored, deliveries sent.
//!
//! Invariants kept here: a state is on disk before anything of it is sent, so that a kill at any moment loses no alert and a
//! delivery that goes out twice carries the same id; what cannot be stored is not sent, and is tried again at the next look.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use forebay_runtime::{LockError, LockFile, RateLimit, report};
use forebay_schemas::{Clock, Timestamp};
use tokio::{
    select,
    sync::{Mutex, Notify},
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    AlertError, AlertSettings, Book, Changed, Delivery, FactSource, Facts, Request, Sender,
    StateFolder, Subject, Subscription, request::Asked, store::Waiting,
};

/// How long a person waits for the process that runs the alerts.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// How often a waiter looks, and how often requests are looked for.
const LOOK: Duration = Duration::from_millis(200);
/// How often it is seen to that there is a reserve for a full disk.
const RESERVE_EVERY: Duration = Duration::from_secs(600);
/// How long routes may take to stop.
const STOP_MAX: Duration = Duration::from_secs(5);

/// A number drawn from 0 to 1.
pub type Uniform = Arc<dyn Fn() -> f64 + Send + Sync>;

/// What the alerts need to run.
pub struct AlertRun {
    /// Rules and routes.
    pub settings: AlertSettings,
    /// Where facts come from.
    pub source: Arc<dyn FactSource>,
    /// Who sends.
    pub sender: Sender,
    /// Where the alerts lie.
    pub folder: StateFolder,
    /// The gateway's clock.
    pub clock: Clock,
    /// Chance, for waits.
    pub uniform: Uniform,
    /// What can be watched.
    pub progress: Arc<AlertProgress>,
}

/// How the alerts stand, for metrics.
#[derive(Debug, Default)]
pub struct AlertProgress(RwLock<Standing>);

/// Numbers of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Alerts that fire, by rule; a rule without any is there with 0.
    pub firing: BTreeMap<String, u64>,
    /// Deliveries that wait, by route.
    pub waiting: BTreeMap<String, u64>,
}

impl AlertProgress {
    /// The numbers as they are now.
    pub fn standing(&self) -> Standing {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, settings: &AlertSettings, book: &Book) {
        let mut standing = Standing::default();
        for rule in &settings.rules {
            standing.firing.insert(rule.name.clone(), 0);
        }
        for instance in book.instances().filter(|one| one.state.is_firing()) {
            *standing.firing.entry(instance.rule.clone()).or_default() += 1;
        }
        for route in &settings.routes {
            standing.waiting.insert(route.name.clone(), 0);
        }
        for (route, count) in book.waiting() {
            standing.waiting.insert(route.to_owned(), count as u64);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}

/// What the judge and the routes share.
pub(crate) struct Shared {
    pub(crate) sender: Sender,
    pub(crate) uniform: Uniform,
    clock: Clock,
    folder: StateFolder,
    kept: Mutex<Kept>,
    news: BTreeMap<String, Notify>,
}

/// The alerts, and the bytes that stand on disk for them.
struct Kept {
    book: Book,
    stored: Vec<u8>,
}

/// Runs the alerts until `stop`.
///
/// # Errors
/// A state that cannot be read. What cannot be written is tried again.
pub async fn run(run: AlertRun, stop: CancellationToken) -> Result<(), AlertError> {
    let folder = run.folder.clone();
    let book = on_disk(move || folder.load()).await?;
    let (settings, progress) = (run.settings, run.progress);
    let names = settings.routes.iter().map(|route| route.name.clone());
    let shared = Arc::new(Shared {
        sender: run.sender,
        uniform: run.uniform,
        clock: run.clock,
        folder: run.folder,
        kept: Mutex::new(Kept {
            book,
            stored: Vec::new(),
        }),
        news: names.map(|name| (name, Notify::new())).collect(),
    });
    let mut routes = JoinSet::new();
    let stopping = stop.child_token();
    for route in settings.routes.clone() {
        routes.spawn(route.run(shared.clone(), stopping.clone()));
    }
    let mut judge = Judge {
        subscriptions: settings
            .routes
            .iter()
            .map(|route| route.subscription.clone())
            .collect(),
        settings,
        source: run.source,
        progress,
        unstored: RateLimit::default(),
        unremoved: RateLimit::default(),
        reserve_due: Instant::now(),
    };
    judge.run(&shared, &stop).await;
    stopping.cancel();
    let ended = async { while routes.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_MAX, ended).await.is_err() {
        warn!("routes timed out stopping, what they had not delivered is sent at the next start");
    }
    Ok(())
}

/// Looks at facts and requests, again and again.
struct Judge {
    settings: AlertSettings,
    subscriptions: Vec<Subscription>,
    source: Arc<dyn FactSource>,
    progress: Arc<AlertProgress>,
    unstored: RateLimit,
    unremoved: RateLimit,
    reserve_due: Instant,
}

/// Whether a look has ended on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    Stored,
    Failed,
}

impl Judge {
    async fn run(&mut self, shared: &Shared, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let next = Instant::now() + self.settings.every;
            let facts = select! {
                facts = self.source.facts() => facts,
                () = stop.cancelled() => return,
            };
            let mut looked = self.look(shared, Some(&facts)).await;
            self.keep_reserve(shared).await;
            while Instant::now() < next && !stop.is_cancelled() {
                let until = next.min(Instant::now() + LOOK);
                select! {
                    () = sleep_until(until) => {}
                    () = stop.cancelled() => return,
                }
                // A person waits for the answer; after a failure, until the next look at facts.
                if looked == Looked::Stored && shared.has_new_requests().await {
                    looked = self.look(shared, None).await;
                }
            }
        }
    }

    /// One look: requests, facts, what is to be sent; stored before it is sent.
    async fn look(&mut self, shared: &Shared, facts: Option<&Facts>) -> Looked {
        let requests = match self.try_look(shared, facts).await {
            Ok(requests) => requests,
            Err(error) => {
                if let Some(skipped) = self.unstored.admit() {
                    error!(
                        skipped,
                        error = report(&error),
                        "storing the alerts failed, retrying: nothing is sent meanwhile"
                    );
                }
                return Looked::Failed;
            }
        };
        let removed = shared.remove(requests).await;
        if let Err(error) = removed
            && let Some(skipped) = self.unremoved.admit()
        {
            warn!(
                skipped,
                error = report(&error),
                "removing a request that is done failed, retrying: it is not applied again"
            );
        }
        Looked::Stored
    }

    /// What an alert needs on a disk that is full by then.
    async fn keep_reserve(&mut self, shared: &Shared) {
        if Instant::now() < self.reserve_due {
            return;
        }
        self.reserve_due = Instant::now() + RESERVE_EVERY;
        let folder = shared.folder.clone();
        if let Err(error) = on_disk(move || folder.keep_reserve()).await {
            let error = report(&error);
            warn!(error, "setting room aside for a full disk failed, retrying");
        }
    }

    /// Answers the requests that are done, whose files may go.
    async fn try_look(
        &self,
        shared: &Shared,
        facts: Option<&Facts>,
    ) -> Result<Vec<Waiting>, AlertError> {
        let requests = shared.requests().await?;
        let now = shared.now();
        let mut kept = shared.kept.lock().await;
        // What is not stored is not so: the next look begins with what is.
        let mut book = kept.book.clone();
        let applied = apply(&mut book, &requests);
        let mut changed = Vec::new();
        if let Some(facts) = facts {
            let gateway = &shared.sender.gateway;
            changed = book.advance(&self.settings.rules, facts, gateway, now);
        }
        let planned = book.plan(&self.subscriptions, &shared.sender, now);
        kept.replace(book, &shared.folder).await?;
        applied.iter().for_each(Applied::log);
        changed.iter().for_each(log);
        if planned.dropped > 0 {
            error!(
                deliveries = planned.dropped,
                "deliveries dropped: too many wait, or their route is gone"
            );
        }
        self.progress.note(&self.settings, &kept.book);
        self.source
            .taken_up(kept.book.taken_up(|rule| self.is_of_a_job(rule)));
        drop(kept);
        if planned.queued > 0 {
            shared.news.values().for_each(Notify::notify_one);
        }
        Ok(requests)
    }
}

impl Judge {
    /// Whether a rule is over warnings of jobs.
    fn is_of_a_job(&self, name: &str) -> bool {
        let mut rules = self.settings.rules.iter();
        rules.any(|rule| rule.name == name && rule.subject == Subject::JobResult)
    }
}

/// What became of a request.
struct Applied<'r> {
    request: &'r Waiting,
    done: Result<String, String>,
}

impl Applied<'_> {
    fn log(&self) {
        let file = self.request.file.display();
        match &self.done {
            Ok(done) => info!(done, "request applied"),
            Err(reason) => warn!(%file, reason, "request refused"),
        }
    }
}

/// Applies the requests that are not applied yet. Those whose files are gone need not be known any more.
fn apply<'r>(book: &mut Book, requests: &'r [Waiting]) -> Vec<Applied<'r>> {
    let there: BTreeSet<&String> = requests.iter().map(|request| &request.name).collect();
    book.applied.retain(|name| there.contains(name));
    let mut applied = Vec::new();
    for request in requests {
        if !book.applied.insert(request.name.clone()) {
            continue;
        }
        let asked = request.asked.as_ref().map_err(String::clone);
        let done = asked.and_then(|asked| {
            let done = book.apply(&asked.request, asked.at);
            done.map_err(|refused| refused.to_string())
        });
        applied.push(Applied { request, done });
    }
    applied
}

fn log(changed: &Changed) {
    let (alert, id, summary) = (&changed.rule, &changed.alert_id, &changed.summary);
    let state = changed.state.name();
    if changed.state.is_resolved() {
        info!(alert, id, state, summary, "alert resolved");
    } else {
        warn!(alert, id, state, summary, "alert fires");
    }
}

/// Work that blocks, off the reactor. One that panicked has done nothing that is known of.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AlertError> + Send + 'static,
) -> Result<T, AlertError> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(AlertError::Io {
            what: "use",
            path: "alerts".into(),
            source: error.into(),
        })
    })
}

impl Kept {
    /// Puts another book in the place of this one, on disk first where it differs there.
    async fn replace(&mut self, book: Book, folder: &StateFolder) -> Result<(), AlertError> {
        let bytes = folder.encode(&book)?;
        if bytes != self.stored {
            let (to, written) = (folder.clone(), bytes.clone());
            on_disk(move || to.save(&written)).await?;
            self.stored = bytes;
        }
        self.book = book;
        Ok(())
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// What a route has to send next.
    pub(crate) async fn first(&self, route: &str) -> Option<Delivery> {
        let kept = self.kept.lock().await;
        kept.book.queues.get(route)?.first().cloned()
    }

    /// Waits until there may be more for a route.
    pub(crate) async fn changed(&self, route: &str) {
        match self.news.get(route) {
            Some(news) => news.notified().await,
            // Every route has one.
            None => sleep(LOOK).await,
        }
    }

    /// Takes a delivery out of a route's queue. Where that cannot be stored it is sent again after a kill, under the same id.
    pub(crate) async fn done(&self, route: &str, id: &str) {
        let mut kept = self.kept.lock().await;
        let mut book = kept.book.clone();
        if let Some(queue) = book.queues.get_mut(route) {
            queue.take(id);
        }
        let Err(error) = kept.replace(book.clone(), &self.folder).await else {
            return;
        };
        kept.book = book;
        warn!(
            route,
            id,
            error = report(&error),
            "storing that an alert was delivered failed: it may be delivered again after a restart"
        );
    }

    async fn requests(&self) -> Result<Vec<Waiting>, AlertError> {
        let folder = self.folder.clone();
        on_disk(move || folder.waiting()).await
    }

    async fn has_new_requests(&self) -> bool {
        let folder = self.folder.clone();
        let found = on_disk(move || folder.request_files()).await;
        let kept = self.kept.lock().await;
        let is_new = |one: &(String, PathBuf)| !kept.book.applied.contains(&one.0);
        found.is_ok_and(|found| found.iter().any(is_new))
    }

    async fn remove(&self, requests: Vec<Waiting>) -> Result<(), AlertError> {
        if requests.is_empty() {
            return Ok(());
        }
        on_disk(move || {
            let mut removed = Ok(());
            // One that stays does not keep the others.
            for Waiting { file, .. } in requests {
                if let Err(source) = fs::remove_file(&file) {
                    removed = Err(AlertError::Io {
                        what: "remove",
                        path: file,
                        source,
                    });
                }
            }
            removed
        })
        .await
    }
}

/// Does as a person asks: here where nobody runs the alerts, else by the process that does, which is waited for. The answer says
/// what is stored in the end.
///
/// # Errors
/// A request that cannot be done, or that nobody took.
pub async fn ask(data_dir: &Path, request: &Request, clock: &Clock) -> Result<String, AlertError> {
    let folder = StateFolder::new(data_dir);
    let asked = Asked::new(request, clock());
    let mut book = folder.load()?;
    // A copy says what is meant, or why it is refused; whether it was done, what is stored says.
    let meant = book.meant(request)?;
    book.apply(&meant, asked.at)?;
    let asked = Asked {
        request: meant,
        ..asked
    };
    match LockFile::take(&StateFolder::lock_path(data_dir)) {
        Ok(_lock) => {
            // Between reading and locking, a process may have ended that has written since.
            let mut book = folder.load()?;
            book.apply(&asked.request, asked.at)?;
            folder.save(&folder.encode(&book)?)?;
        }
        Err(LockError::Held { .. }) => {
            let name = format!("{}-{}", asked.at.nanos(), std::process::id());
            let file = folder.leave(&asked, &name)?;
            let deadline = Instant::now() + ANSWER_MAX;
            while file.exists() {
                if Instant::now() >= deadline {
                    return Err(AlertError::NoAnswer {
                        seconds: ANSWER_MAX.as_secs(),
                    });
                }
                sleep(LOOK).await;
            }
        }
        Err(error) => return Err(AlertError::Lock(error)),
    }
    Ok(folder.load()?.confirmed(&asked)?)
}

#[cfg(test)]
mod tests;
