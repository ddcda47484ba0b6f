//! A disk of a certain size: what frees room works when it is full, and it recovers without a hand.

use std::{
    collections::HashMap,
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use forebay_schemas::ErrorKind;

use super::{super::disk::RESERVE_BYTES, *};
use crate::{
    Attempt, LakeError, MaintainPolicy, Sealed, maintain, partition_rows, readings_partition,
    testing::{Bench, DAY_START, at, batch},
};

/// Counts the bytes of the files in a folder.
#[derive(Debug, Clone, Default)]
struct SmallDisk(Arc<Mutex<Small>>);

#[derive(Debug, Default)]
struct Small {
    /// Nothing is written beyond so many bytes; no bound if `None`.
    size: Option<u64>,
    folder: PathBuf,
}

/// Bytes by inode: a file has two names while it is put.
fn sizes(folder: &FsPath, found: &mut HashMap<u64, u64>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => sizes(&entry.path(), found),
            Ok(meta) => drop(found.insert(meta.ino(), meta.len())),
            Err(_) => {}
        }
    }
}

impl Small {
    fn used(&self) -> u64 {
        let mut found = HashMap::new();
        sizes(&self.folder, &mut found);
        found.values().sum()
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        match self.size {
            Some(size) if self.used() + bytes > size => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl SmallDisk {
    fn lies_in(&self, folder: &FsPath) {
        self.0.lock().unwrap().folder = folder.to_owned();
    }

    fn is_full_now(&self) {
        let mut small = self.0.lock().unwrap();
        small.size = Some(small.used());
    }
}

impl Medium for SmallDisk {
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.lock().unwrap().take(bytes.len() as u64)?;
        OsMedium.write(file, bytes, at)
    }

    fn sync(&self, _: &File) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _: &FsPath) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.0.lock().unwrap().take(bytes)?;
        OsMedium.allocate(file, bytes)
    }
}

async fn ingest(bench: &Bench, n: u64) -> Result<u64, LakeError> {
    let table = bench.readings();
    let from_state = table.snapshot().await?.state_of("s").await?;
    let rows = partition_rows(&[batch(n * 10 + 1, 10, DAY_START)])
        .unwrap()
        .remove(0);
    let partition = readings_partition(&rows);
    let add = bench
        .writer
        .put(
            table,
            rows.rows.clone(),
            &partition,
            Some(&rows.site),
            at(DAY_START),
        )
        .await?;
    let id = bench.writer.id()?;
    let to_state = from_state.map_or(1, |n| n + 1);
    table
        .commit(&Attempt {
            id,
            app_id: "s".into(),
            from_state,
            to_state,
            adds: vec![add],
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_recovers_by_its_own_vacuum() {
    let disk = SmallDisk::default();
    let bench = Bench::on(Sealed::Columns, Box::new(disk.clone())).await;
    disk.lies_in(bench.folder.path());
    ingest(&bench, 0).await.unwrap();
    let now = fs::metadata(bench.folder.path().join("lake/readings/_delta_log"))
        .unwrap()
        .modified()
        .unwrap();
    let later = |seconds: u64| {
        let time =
            now.duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_secs(seconds);
        at(time.as_micros() as i64)
    };
    let policy = MaintainPolicy {
        checkpoint_every: 2,
        ..MaintainPolicy::default()
    };
    let done = maintain(&bench.writer, &policy, later(1)).await;
    assert_eq!(
        (done.failed, done.files_deleted),
        (0, 0),
        "vacuumed just now, the next is due in a day: {done:?}"
    );

    // A file that a merge has replaced, and that has grown old enough since.
    let orphan = bench
        .folder
        .path()
        .join("lake/readings/part-00000000-0000-4000-8000-000000000001.parquet");
    let path = Path::from_absolute_path(&orphan).unwrap();
    bench
        .store
        .put_opts(&path, vec![0; 500_000].into(), PutMode::Create.into())
        .await
        .unwrap();
    let old = now - Duration::from_secs(10 * 24 * 3600);
    File::options()
        .append(true)
        .open(&orphan)
        .unwrap()
        .set_modified(old)
        .unwrap();
    disk.is_full_now();
    let error = ingest(&bench, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert!(orphan.exists());

    let done = maintain(&bench.writer, &policy, later(200)).await;
    assert_eq!((done.failed, done.files_deleted), (0, 1), "{done:?}");
    assert!(done.checkpoints > 0, "{done:?}");
    assert!(!orphan.exists());
    ingest(&bench, 1).await.unwrap();
    let reserve = bench.folder.path().join("lake/_forebay/reserve");
    assert_eq!(
        fs::metadata(&reserve).unwrap().len(),
        RESERVE_BYTES,
        "made again"
    );
    assert_eq!(bench.readings().snapshot().await.unwrap().files().len(), 2);
}

/// Else readings would fill the room that was given up for the vacuum's own entries.
#[tokio::test]
async fn data_files_wait_until_the_reserve_is_there_again() {
    let (disk, folder) = (SmallDisk::default(), tempfile::tempdir().unwrap());
    disk.lies_in(folder.path());
    let store =
        SyncedLocalStore::with_absolute_paths(folder.path(), Box::new(disk.clone())).unwrap();
    let put = async |name: &str, bytes: usize| {
        let path = Path::from_absolute_path(store.folder().join(name)).unwrap();
        store.put(&path, vec![0; bytes].into()).await
    };
    put("readings/data-1", 1_000).await.unwrap();
    disk.is_full_now();
    put("readings/data-2", 1_000).await.unwrap_err();
    assert!(store.disk().is_short());
    put("readings/_delta_log/1.json", 1_000).await.unwrap();
    put("readings/data-2", 1_000).await.unwrap_err();
    put("readings/_forebay/clock", 0).await.unwrap();
    fs::remove_file(store.folder().join("readings/data-1")).unwrap();
    put("readings/data-2", 1)
        .await
        .expect_err("there is room for the reserve alone");
    fs::remove_file(store.folder().join("readings/_delta_log/1.json")).unwrap();
    put("readings/data-2", 1_000).await.unwrap();
    assert!(!store.disk().is_short());
    let left: Vec<_> = fs::read_dir(store.folder().join("readings"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with(TEMPORARY_PREFIX)),
        "{left:?}"
    );
}
