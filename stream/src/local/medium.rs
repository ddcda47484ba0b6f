//! The boundary at which disks fail, and at which tests let them.
//!
//! Invariant: a sector that cannot be read is damage and not a reason to wait: its bytes are read as zeros, for which no seal
//! holds, so that what lies around it is still found. Only bad sectors are treated so: a file that is missing or may not be
//! read is an error.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use rustix::io::Errno;
use tracing::warn;

/// What is given up at once where a sector is bad: a page, by which the system reads.
const PIECE_BYTES: u64 = 4096;
/// A disk may need more than one try.
const TRIES: usize = 2;

/// Reading, writing and syncing.
pub(super) trait Medium: Send + Sync {
    /// Reads all bytes from `at`.
    fn read(&self, file: &File, buffer: &mut [u8], at: u64) -> io::Result<()>;
    /// Writes all bytes at `at`.
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Makes them durable.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Makes the entries of a directory durable.
    fn sync_folder(&self, folder: &File) -> io::Result<()>;
}

/// The operating system's files.
pub(super) struct OsMedium;

impl Medium for OsMedium {
    fn read(&self, file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
        file.read_exact_at(buffer, at)
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&self, folder: &File) -> io::Result<()> {
        folder.sync_all()
    }
}

/// Reads all bytes of `path` from `at`; those of bad sectors are zeros.
///
/// # Errors
/// Of another kind than a bad sector.
pub(super) fn read_around(
    medium: &dyn Medium,
    path: &Path,
    file: &File,
    buffer: &mut [u8],
    at: u64,
) -> io::Result<()> {
    if read_or_bad(medium, file, buffer, at)? {
        return Ok(());
    }
    let mut from = 0;
    let mut bad_bytes = 0;
    while from < buffer.len() {
        let place = at + from as u64;
        let to_border = usize::try_from(PIECE_BYTES - place % PIECE_BYTES).unwrap_or(buffer.len());
        let to = buffer.len().min(from + to_border);
        let piece = &mut buffer[from..to];
        if !read_or_bad(medium, file, piece, place)? {
            piece.fill(0);
            bad_bytes += piece.len();
        }
        from = to;
    }
    warn!(path = %path.display(), at, bytes = bad_bytes, "the disk failed to read some sectors, skipped them");
    Ok(())
}

/// All of a small file; one with a bad sector is a damaged one.
pub(super) fn read_whole(medium: &dyn Medium, path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    read_around(medium, path, &file, &mut bytes, 0)?;
    Ok(bytes)
}

/// Whether the bytes were read; false where a sector is bad.
fn read_or_bad(medium: &dyn Medium, file: &File, buffer: &mut [u8], at: u64) -> io::Result<bool> {
    for _ in 0..TRIES {
        match medium.read(file, buffer, at) {
            Ok(()) => return Ok(true),
            Err(error) if is_bad_sector(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// As a disk, a flash chip or a file system with checksums says that its bytes are lost.
fn is_bad_sector(error: &io::Error) -> bool {
    [Errno::IO, Errno::BADMSG, Errno::UCLEAN]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
