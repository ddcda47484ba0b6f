//! The alerts on disk: one file, written whole, and a folder of requests beside it.
//!
//! Invariants kept here: the file is the one before or the one after, at every moment (temporary file synced, renamed, folder
//! synced); a request is applied once: its file is removed only after the state is synced that holds what it did, and its name
//! until the file is gone.
//!
//! Some MB beside the file are kept for a full disk, which is what an alert may have to say.
//!
//! Requests are files of their own because another process, `run`, may hold the state in memory.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{AlertError, Book, request::Asked};

/// Version of the file.
const FORMAT: u32 = 1;

/// Requests that are taken at one look.
const REQUESTS_MAX: usize = 1000;
/// A request is a few hundred bytes.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// What is kept for a full disk: enough for the state and its successor.
const RESERVE_BYTES: usize = 4 * 1024 * 1024;

/// Where the alerts lie: `<data_dir>/alerts/`.
#[derive(Debug, Clone)]
pub struct StateFolder {
    path: PathBuf,
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Unlike that of any other request.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    /// What is asked, or why the file cannot be read.
    pub(crate) asked: Result<Asked, String>,
}

#[derive(Serialize, Deserialize)]
struct Stored<B> {
    version: u32,
    #[serde(flatten)]
    book: B,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl StateFolder {
    /// The folder in this data folder.
    pub fn new(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join("alerts"),
        }
    }

    /// The lock of who runs the alerts.
    pub fn lock_path(data_dir: &Path) -> PathBuf {
        data_dir.join("run-alerts.lock")
    }

    /// Reads the alerts; none where there is no file yet.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, or is of a later release.
    pub fn load(&self) -> Result<Book, AlertError> {
        let path = self.state();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Book::default()),
            Err(source) => return Err(failed("read", &path)(source)),
        };
        let damaged = |source| AlertError::Damaged {
            path: path.clone(),
            source,
        };
        let Version { version } = serde_json::from_slice(&text).map_err(damaged)?;
        if version > FORMAT {
            return Err(AlertError::NewerFormat {
                path,
                found: version,
                known: FORMAT,
            });
        }
        let stored: Stored<Book> = serde_json::from_slice(&text).map_err(damaged)?;
        Ok(stored.book)
    }

    /// The file's bytes for these alerts.
    ///
    /// # Errors
    /// None that can happen: all keys are texts.
    pub(crate) fn encode(&self, book: &Book) -> Result<Vec<u8>, AlertError> {
        let stored = Stored {
            version: FORMAT,
            book,
        };
        serde_json::to_vec(&stored).map_err(|source| AlertError::Damaged {
            path: self.state(),
            source,
        })
    }

    /// Puts these bytes in the file's place, durably.
    pub(crate) fn save(&self, bytes: &[u8]) -> Result<(), AlertError> {
        self.with_reserve(|| write_durably(&self.path, &self.state(), bytes))
    }

    /// Where the disk is full, the reserve makes room for another try.
    fn with_reserve(&self, write: impl Fn() -> Result<(), AlertError>) -> Result<(), AlertError> {
        let written = write();
        let is_full = written.as_ref().is_err_and(AlertError::is_full);
        if is_full && fs::remove_file(self.reserve()).is_ok() {
            return write();
        }
        written
    }

    /// Sets the reserve aside where it is not.
    ///
    /// # Errors
    /// There is no room for it; then nothing is left of it.
    pub(crate) fn keep_reserve(&self) -> Result<(), AlertError> {
        let file = self.reserve();
        if file.exists() {
            return Ok(());
        }
        let kept = write_durably(&self.path, &file, &vec![0_u8; RESERVE_BYTES]);
        if kept.is_err() {
            fs::remove_file(file.with_extension("new")).ok();
        }
        kept
    }

    /// Leaves a request for the process that runs the alerts; answers its file, which that process removes.
    pub(crate) fn leave(&self, asked: &Asked, name: &str) -> Result<PathBuf, AlertError> {
        let folder = self.requests();
        let file = folder.join(format!("{name}.json"));
        let bytes = serde_json::to_vec(asked).map_err(|source| AlertError::Damaged {
            path: file.clone(),
            source,
        })?;
        write_durably(&folder, &file, &bytes)?;
        Ok(file)
    }

    /// The requests whose files are there, in the order of their names.
    pub(crate) fn waiting(&self) -> Result<Vec<Waiting>, AlertError> {
        let read = |(name, file): (String, PathBuf)| Waiting {
            name,
            asked: read_request(&file),
            file,
        };
        Ok(self.request_files()?.into_iter().map(read).collect())
    }

    /// Names and files of requests, in the order of their names.
    pub(crate) fn request_files(&self) -> Result<Vec<(String, PathBuf)>, AlertError> {
        let folder = self.requests();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed("read", &folder)(source)),
        };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect();
        files.sort();
        files.truncate(REQUESTS_MAX);
        let named = |file: PathBuf| {
            let name = file.file_stem().unwrap_or_default();
            (name.to_string_lossy().into_owned(), file)
        };
        Ok(files.into_iter().map(named).collect())
    }

    fn state(&self) -> PathBuf {
        self.path.join("state.json")
    }

    fn reserve(&self) -> PathBuf {
        self.path.join("reserve")
    }

    fn requests(&self) -> PathBuf {
        self.path.join("requests")
    }
}

fn read_request(file: &Path) -> Result<Asked, String> {
    let size = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > REQUEST_BYTES_MAX {
        return Err(format!("{size} bytes are no request"));
    }
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

fn write_durably(folder: &Path, file: &Path, bytes: &[u8]) -> Result<(), AlertError> {
    fs::create_dir_all(folder).map_err(failed("create", folder))?;
    let new = file.with_extension("new");
    let mut to = File::create(&new).map_err(failed("create", &new))?;
    to.write_all(bytes).map_err(failed("write", &new))?;
    to.sync_all().map_err(failed("sync", &new))?;
    fs::rename(&new, file).map_err(failed("rename", &new))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync", folder))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AlertError {
    let path = path.to_owned();
    move |source| AlertError::Io { what, path, source }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use forebay_schemas::{GatewayId, SiteId, Timestamp};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        Fact, Facts, Filters, Limit, Measure, Repeats, Request, Rule, Sender, Severity, Subject,
        Subscription, Timing,
    };

    /// What a release wrote: a change of it takes another [`FORMAT`] and a reader of this one.
    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/state.v1.json");

    fn second(n: i64) -> Timestamp {
        Timestamp::from_nanos(n * 1_000_000_000)
    }

    /// Alerts that have something of everything.
    fn book() -> Book {
        let rule = Rule {
            name: "disk".into(),
            subject: Subject::Disk,
            filters: Filters::default(),
            limit: Limit::Above {
                limit: 90.0,
                clear: 80.0,
            },
            timing: Timing {
                after: std::time::Duration::ZERO,
                clear_after: std::time::Duration::from_secs(60),
            },
            severity: Some(Severity::Critical),
            instances_max: 10,
        };
        let all = globset::Glob::new("*").unwrap();
        let subscription = Subscription {
            route: "ops".into(),
            alerts: globset::GlobSet::new([all]).unwrap(),
            severity_min: Severity::Info,
            repeat_every: std::time::Duration::from_secs(60),
            repeats: Repeats::Remind,
        };
        let sender = Sender {
            gateway: GatewayId::new("g").unwrap(),
            site: SiteId::new("s").unwrap(),
        };
        let disk = |folder: &str, percent| {
            Fact::new(
                Subject::Disk,
                &[("folder", folder)],
                Measure::Number(percent),
            )
        };
        let mut book = Book::default();
        for (at, a, b) in [(100, 95.0, 95.0), (110, 70.0, 95.0)] {
            let facts = Facts {
                facts: vec![disk("/a", a), disk("/b", b)],
                read: BTreeSet::from([Subject::Disk]),
            };
            let rules = std::slice::from_ref(&rule);
            book.advance(rules, &facts, &sender.gateway, second(at));
            book.plan(std::slice::from_ref(&subscription), &sender, second(at));
        }
        let alert = book.instances().last().unwrap().alert_id.clone();
        let (by, note) = ("ann".to_owned(), Some("on my way".to_owned()));
        for request in [
            Request::Acknowledge {
                alert: alert.clone(),
                by: by.clone(),
                note: note.clone(),
            },
            Request::Shelve {
                alert,
                until: Some(second(400)),
            },
            Request::Silence {
                matchers: BTreeMap::from([("device".to_owned(), "p*".to_owned())]),
                until: second(500),
                by,
                note,
            },
        ] {
            book.apply(&request, second(120)).unwrap();
        }
        book
    }

    #[test]
    fn the_file_is_a_stored_format() {
        let folder = TempDir::new().unwrap();
        let state = StateFolder::new(folder.path());
        assert_eq!(state.load().unwrap(), Book::default());
        let bytes = state.encode(&book()).unwrap();
        let shown: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let text = fs::read(GOLDEN).unwrap();
        let golden: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            shown,
            golden,
            "{}",
            serde_json::to_string_pretty(&shown).unwrap()
        );
        state.save(&text).unwrap();
        let read = state.load().unwrap();
        assert_eq!(state.encode(&read).unwrap(), bytes);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_left_alone() {
        let folder = TempDir::new().unwrap();
        let state = StateFolder::new(folder.path());
        for (text, why) in [
            ("{\"version\":1,\"insta", "is damaged"),
            ("{}", "is damaged: missing field `version`"),
            ("{\"version\":2,\"what\":3}", "has format 2, newer than 1"),
        ] {
            state.save(text.as_bytes()).unwrap();
            let error = state.load().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert_eq!(fs::read_to_string(state.state()).unwrap(), text);
        }
    }

    #[test]
    fn requests_wait_in_their_order_and_strangers_are_named() {
        let folder = TempDir::new().unwrap();
        let state = StateFolder::new(folder.path());
        let end = |name: &str| Asked {
            at: second(7),
            request: Request::EndSilence {
                silence: name.to_owned(),
            },
        };
        assert!(state.waiting().unwrap().is_empty());
        state.leave(&end("b"), "2").unwrap();
        state.leave(&end("a"), "1").unwrap();
        fs::write(state.requests().join("3.json"), "no request").unwrap();
        fs::write(state.requests().join("4.new"), "not renamed yet").unwrap();
        let found = state.waiting().unwrap();
        let found: Vec<_> = found.into_iter().map(|waiting| waiting.asked).collect();
        assert_eq!(found[..2], [Ok(end("a")), Ok(end("b"))]);
        assert!(found[2].is_err() && found.len() == 3, "{found:?}");
    }

    #[test]
    fn a_full_disk_takes_what_was_kept_for_it() {
        let folder = TempDir::new().unwrap();
        let state = StateFolder::new(folder.path());
        state.keep_reserve().unwrap();
        state.keep_reserve().unwrap();
        assert_eq!(
            fs::metadata(state.reserve()).unwrap().len(),
            RESERVE_BYTES as u64
        );
        // The disk has room once the reserve is gone.
        let write = |kind: io::ErrorKind| {
            state.with_reserve(|| {
                if state.reserve().exists() {
                    return Err(failed("write", &state.state())(kind.into()));
                }
                state.save(b"{}")
            })
        };
        assert!(write(io::ErrorKind::PermissionDenied).is_err());
        write(io::ErrorKind::StorageFull).unwrap();
        assert_eq!(fs::read(state.state()).unwrap(), b"{}");
        assert!(!state.reserve().exists());
    }
}
