//! Writing, syncing and taking room: the boundary at which disks fail or lose power, and at which tests let them.

use std::{
    fmt,
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

/// What is asked of a disk.
pub(crate) trait Medium: fmt::Debug + Send + Sync {
    /// Writes all bytes at `at`.
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Makes a file's bytes durable.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Takes so much room for a new file.
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Debug)]
pub(crate) struct OsMedium;

impl Medium for OsMedium {
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn allocate(&self, mut file: &File, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            // Not every file system can: then the bytes are written.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                let zeros = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
                file.write_all(&zeros)
            }
            allocated => Ok(allocated?),
        }
    }
}
