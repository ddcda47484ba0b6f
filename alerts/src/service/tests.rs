//! Requests beside the looks: each is applied once, whatever becomes of its file.

use forebay_schemas::{GatewayId, SiteId};
use tempfile::TempDir;

use super::*;
use crate::{Fact, Filters, Limit, Measure, Rule, Severity, TakenUp, Timing};

fn second(n: i64) -> Timestamp {
    Timestamp::from_nanos(n * 1_000_000_000)
}

/// No facts; it keeps which warnings were reported as taken up.
#[derive(Default)]
struct Nothing(std::sync::Mutex<Vec<TakenUp>>);

#[async_trait::async_trait]
impl FactSource for Nothing {
    async fn facts(&self) -> Facts {
        Facts::default()
    }

    fn taken_up(&self, warnings: Vec<TakenUp>) {
        *self.0.lock().unwrap() = warnings;
    }
}

/// What runs the alerts of this folder, as it is after a start at second 100.
fn started(folder: &Path) -> (Judge, Shared) {
    started_with(folder, Arc::default())
}

fn started_with(folder: &Path, source: Arc<Nothing>) -> (Judge, Shared) {
    let settings = AlertSettings {
        every: Duration::from_secs(5),
        lake_every: Duration::from_secs(60),
        rules: Vec::new(),
        routes: Vec::new(),
    };
    let judge = Judge {
        settings,
        subscriptions: Vec::new(),
        source,
        progress: Arc::default(),
        unstored: RateLimit::default(),
        unremoved: RateLimit::default(),
        reserve_due: Instant::now(),
    };
    let folder = StateFolder::new(folder);
    let shared = Shared {
        sender: Sender {
            gateway: GatewayId::new("g").unwrap(),
            site: SiteId::new("s").unwrap(),
        },
        uniform: Arc::new(|| 0.0),
        clock: Arc::new(|| second(100)),
        kept: Mutex::new(Kept {
            book: folder.load().unwrap(),
            stored: Vec::new(),
        }),
        folder,
        news: BTreeMap::new(),
    };
    (judge, shared)
}

fn silence(until: i64) -> Request {
    Request::Silence {
        matchers: [("device".to_owned(), "p*".to_owned())].into(),
        until: second(until),
        by: "ann".into(),
        note: None,
    }
}

/// Ends of the silences that hold.
async fn silences(shared: &Shared) -> Vec<i64> {
    let kept = shared.kept.lock().await;
    let until = kept.book.silences.iter().map(|one| one.until.micros());
    until.map(|micros| micros / 1_000_000).collect()
}

#[tokio::test]
async fn a_request_that_outlives_a_kill_is_not_applied_again() {
    let folder = TempDir::new().unwrap();
    let (mut judge, shared) = started(folder.path());
    let asked = Asked::new(&silence(500), second(90));
    let file = shared.folder.leave(&asked, "2").unwrap();
    let copy = fs::read(&file).unwrap();
    assert!(shared.has_new_requests().await);
    assert_eq!(judge.look(&shared, None).await, Looked::Stored);
    assert!(!file.exists());
    // The person ends it; then the file is there again, as it is where the process was killed before it could remove it.
    let id = shared.kept.lock().await.book.silences[0].id.clone();
    let end = Request::EndSilence { silence: id };
    fs::write(&file, copy).unwrap();
    let ended = shared.folder.leave(&Asked::new(&end, second(91)), "1");
    let (mut judge, shared) = started(folder.path());
    judge.look(&shared, None).await;
    assert_eq!(silences(&shared).await, [0; 0]);
    assert!(!file.exists() && !ended.unwrap().exists());
    // Once the files are gone, nothing is kept of them.
    judge.look(&shared, None).await;
    assert!(shared.kept.lock().await.book.applied.is_empty());
}

#[tokio::test]
async fn a_file_that_cannot_be_removed_holds_up_no_other_request() {
    let folder = TempDir::new().unwrap();
    let (mut judge, shared) = started(folder.path());
    let file = shared
        .folder
        .leave(&Asked::new(&silence(500), second(90)), "2");
    let file = file.unwrap();
    // A folder is no request, and nobody who removes files removes it.
    fs::create_dir(file.with_file_name("1.json")).unwrap();
    judge.look(&shared, None).await;
    assert_eq!(silences(&shared).await, [500]);
    assert!(!file.exists());
    // It asks for no look of its own any more, and a look goes on trying to remove it.
    assert!(!shared.has_new_requests().await);
    fs::remove_dir(file.with_file_name("1.json")).unwrap();
    let later = Asked::new(&silence(600), second(95));
    shared.folder.leave(&later, "3").unwrap();
    assert!(shared.has_new_requests().await);
    judge.look(&shared, None).await;
    assert_eq!(silences(&shared).await, [500, 600]);
}

#[test]
fn a_silence_has_the_name_that_its_person_was_told() {
    let asked = Asked::new(&silence(500), Timestamp::from_nanos(1_234_567_891));
    let told = Book::default().apply(&asked.request, asked.at).unwrap();
    let stored: Asked = serde_json::from_slice(&serde_json::to_vec(&asked).unwrap()).unwrap();
    let mut book = Book::default();
    assert_eq!(book.apply(&stored.request, stored.at).unwrap(), told);
    // A second time changes nothing.
    assert_eq!(book.apply(&stored.request, stored.at).unwrap(), told);
    assert_eq!(book.silences.len(), 1);
}

/// A warning of a job as it is now.
fn warning(severity: Severity) -> Facts {
    let labels = [("job", "j"), ("device", "pump"), ("key", "k")];
    let mut fact = Fact::new(Subject::JobResult, &labels, Measure::Holds(Some(second(0))));
    fact.severity = Some(severity);
    Facts {
        facts: vec![fact],
        read: [Subject::JobResult].into(),
    }
}

#[tokio::test]
async fn a_person_is_told_what_is_stored_and_not_what_was_asked() {
    let folder = TempDir::new().unwrap();
    let source = Arc::<Nothing>::default();
    let (mut judge, shared) = started_with(folder.path(), source.clone());
    judge.settings.rules = vec![Rule {
        name: "warns".into(),
        subject: Subject::JobResult,
        filters: Filters::default(),
        limit: Limit::Holds,
        timing: Timing {
            after: Duration::ZERO,
            clear_after: Duration::ZERO,
        },
        severity: None,
        instances_max: 10,
    }];
    judge.look(&shared, Some(&warning(Severity::Warning))).await;
    let alert = shared.folder.load().unwrap();
    let alert = alert.instances().next().unwrap().alert_id.clone();
    let request = Request::Acknowledge {
        alert: alert[..6].to_owned(),
        by: "ann".into(),
        note: None,
    };
    let lock = LockFile::take(&StateFolder::lock_path(folder.path())).unwrap();
    for (at, severity, told) in [
        (101, Severity::Warning, "is acknowledged by ann"),
        // In the look that takes the request the alert becomes worse, which nobody has taken up.
        (102, Severity::Critical, "is not acknowledged"),
    ] {
        let clock: Clock = Arc::new(move || second(at));
        let answering = async {
            while !shared.has_new_requests().await {
                tokio::task::yield_now().await;
            }
            judge.look(&shared, Some(&warning(severity))).await;
        };
        let (done, ()) = tokio::join!(ask(folder.path(), &request, &clock), answering);
        let said = done.unwrap_or_else(|error| error.to_string());
        assert!(said.contains(told) && said.contains(&alert), "{said}");
        let taken = source.0.lock().unwrap().clone();
        let expected = (severity == Severity::Warning).then_some("ann");
        let by: Vec<&str> = taken.iter().map(|one| one.by.as_str()).collect();
        assert_eq!(by, Vec::from_iter(expected), "{taken:?}");
    }
    // Where nobody runs them, it is done here.
    drop(lock);
    let clock: Clock = Arc::new(|| second(103));
    let said = ask(folder.path(), &request, &clock).await.unwrap();
    assert!(said.contains("is acknowledged by ann"), "{said}");
    let book = shared.folder.load().unwrap();
    assert_eq!(book.taken_up(|rule| rule == "warns").len(), 1);
    assert_eq!(book.taken_up(|rule| rule == "another"), []);
}
