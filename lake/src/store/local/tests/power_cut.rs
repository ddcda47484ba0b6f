//! A disk that keeps, when the power goes, only what was synced: each missing sync loses what a put has promised (E10).

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::Mutex,
};

use forebay_schemas::table::READINGS;

use super::*;
use crate::{
    LakeError, Sealed,
    testing::{Bench, DAY_START, at, batch},
};

/// What is written and what is durable, by inode and by folder.
#[derive(Debug, Default)]
struct Drive {
    written: Mutex<HashMap<u64, Vec<u8>>>,
    durable: Mutex<HashMap<u64, Vec<u8>>>,
    names: Mutex<HashMap<PathBuf, BTreeMap<String, u64>>>,
    /// So many syncs of a folder with this name fail.
    bad_syncs: Mutex<(String, usize)>,
}

#[derive(Debug, Clone, Default)]
struct Drives(Arc<Drive>);

impl Medium for Drives {
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut written = self.0.written.lock().unwrap();
        let content = written.entry(file.metadata()?.ino()).or_default();
        if at == 0 {
            // Inode numbers are given again.
            content.clear();
        }
        let end = at as usize + bytes.len();
        content.resize(content.len().max(end), 0);
        content[at as usize..end].copy_from_slice(bytes);
        OsMedium.write(file, bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let inode = file.metadata()?.ino();
        let content = self
            .0
            .written
            .lock()
            .unwrap()
            .get(&inode)
            .cloned()
            .unwrap_or_default();
        self.0.durable.lock().unwrap().insert(inode, content);
        Ok(())
    }

    fn sync_folder(&self, folder: &FsPath) -> io::Result<()> {
        let mut bad = self.0.bad_syncs.lock().unwrap();
        if bad.1 > 0 && folder.ends_with(&bad.0) {
            bad.1 -= 1;
            return Err(io::Error::other("the disk does not answer"));
        }
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // Temporary files of others may go meanwhile.
            if let Ok(meta) = fs::symlink_metadata(entry.path()) {
                names.insert(entry.file_name().to_string_lossy().into_owned(), meta.ino());
            }
        }
        self.0
            .names
            .lock()
            .unwrap()
            .insert(folder.canonicalize()?, names);
        Ok(())
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        OsMedium.allocate(file, bytes)
    }
}

impl Drives {
    /// What is left of a file, from `above` on, when the power goes now.
    fn after_a_power_cut(&self, above: &FsPath, file: &FsPath) -> Option<Vec<u8>> {
        let names = self.0.names.lock().unwrap();
        let mut folder = above.canonicalize().unwrap();
        let mut inode = None;
        for part in file.components() {
            let name = part.as_os_str().to_string_lossy().into_owned();
            inode = Some(*names.get(&folder)?.get(&name)?);
            folder.push(name);
        }
        self.0.durable.lock().unwrap().get(&inode?).cloned()
    }
}

/// The disk, what lies above the lake's folder, and a store in it.
fn store() -> (Drives, tempfile::TempDir, SyncedLocalStore) {
    let (drives, above) = (Drives::default(), tempfile::tempdir().unwrap());
    let folder = above.path().join("data/lake");
    let store = SyncedLocalStore::with_absolute_paths(&folder, Box::new(drives.clone())).unwrap();
    (drives, above, store)
}

fn path_in(store: &SyncedLocalStore, name: &str) -> Path {
    Path::from_absolute_path(store.folder().join(name)).unwrap()
}

#[tokio::test]
async fn what_a_put_has_answered_survives_a_power_cut() {
    let (drives, above, store) = store();
    for (name, mode) in [
        ("readings/_delta_log/0.json", PutMode::Create),
        ("readings/site=a/part-1.parquet", PutMode::Overwrite),
        ("readings/site=b/deep/part-2.parquet", PutMode::Create),
    ] {
        store
            .put_opts(
                &path_in(&store, name),
                name.as_bytes().to_vec().into(),
                mode.into(),
            )
            .await
            .unwrap();
        let left = drives.after_a_power_cut(above.path(), &FsPath::new("data/lake").join(name));
        assert_eq!(left.as_deref(), Some(name.as_bytes()), "{name}");
    }
}

#[tokio::test]
async fn what_was_uploaded_in_parts_survives_a_power_cut() {
    let (drives, above, store) = store();
    let name = "readings/_delta_log/1.checkpoint.parquet";
    let mut upload = store.put_multipart(&path_in(&store, name)).await.unwrap();
    for part in ["one ", "two"] {
        upload.put_part(part.into()).await.unwrap();
    }
    upload.complete().await.unwrap();
    let left = drives.after_a_power_cut(above.path(), &FsPath::new("data/lake").join(name));
    assert_eq!(left.as_deref(), Some(b"one two".as_slice()));
}

/// Whoever made the folders was killed before it synced their names.
#[tokio::test]
async fn folders_that_a_crash_has_left_are_made_durable() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("data/lake");
    fs::create_dir_all(folder.join("readings/site=a")).unwrap();
    let drives = Drives::default();
    let store = SyncedLocalStore::with_absolute_paths(&folder, Box::new(drives.clone())).unwrap();
    store
        .put(
            &path_in(&store, "readings/site=a/part-1.parquet"),
            "rows".into(),
        )
        .await
        .unwrap();
    let file = FsPath::new("lake/readings/site=a/part-1.parquet");
    let left = drives.after_a_power_cut(&above.path().join("data"), file);
    assert_eq!(left.as_deref(), Some(b"rows".as_slice()));
}

/// The entry is linked and visible, but a power cut would take it: a stream that let go of its readings would lose
/// them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_whose_folder_could_not_be_synced_is_not_believed() {
    let drives = Drives::default();
    let bench = Bench::on(Sealed::Columns, Box::new(drives.clone())).await;
    bench
        .ingest("s", &batch(1, 5, DAY_START), at(DAY_START))
        .await;
    let table = bench.readings();
    let version = table.snapshot().await.unwrap().version();
    let id = bench.writer.id().unwrap();
    let next = crate::Attempt {
        id,
        app_id: "s".into(),
        from_state: Some(1),
        to_state: 2,
        adds: Vec::new(),
    };
    *drives.0.bad_syncs.lock().unwrap() = ("_delta_log".into(), usize::MAX);
    let error = table.commit(&next).await.unwrap_err();
    assert!(matches!(error, LakeError::Store(_)), "{error}");
    table
        .snapshot()
        .await
        .map(drop)
        .expect_err("what was found after the error is not believed");
    bench
        .another()
        .await
        .map(drop)
        .expect_err("nor by a program that opens the lake now");

    *drives.0.bad_syncs.lock().unwrap() = (String::new(), 0);
    assert_eq!(
        table.commit(&next).await.unwrap(),
        version + 1,
        "it had landed, and is durable now"
    );
    let entry = format!("lake/{}/_delta_log/{:020}.json", READINGS.name, version + 1);
    let left = drives.after_a_power_cut(bench.folder.path(), FsPath::new(&entry));
    assert!(left.is_some_and(|left| !left.is_empty()), "{entry}");
    assert_eq!(
        table.snapshot().await.unwrap().state_of("s").await.unwrap(),
        Some(2)
    );
}

/// Another process linked an entry and was killed before it synced the folder; this one has been running all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_a_killed_process_is_synced_before_it_is_believed() {
    let drives = Drives::default();
    let bench = Bench::on(Sealed::Columns, Box::new(drives.clone())).await;
    let table = bench.readings();
    let log = bench
        .folder
        .path()
        .join("lake")
        .join(READINGS.name)
        .join("_delta_log");
    let name = format!("{:020}.json", table.snapshot().await.unwrap().version() + 1);
    let entry = r#"{"commitInfo":{"timestamp":1,"operation":"WRITE"}}
{"txn":{"appId":"s","version":7}}"#;
    fs::write(log.join(&name), entry).unwrap();
    assert_eq!(
        table.snapshot().await.unwrap().state_of("s").await.unwrap(),
        Some(7)
    );
    let names = drives.0.names.lock().unwrap();
    assert!(names[&log.canonicalize().unwrap()].contains_key(&name));
}
