//! What a caller may do about an error. Every crate's error answers `kind()` with one of these.

/// The way out of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Passing: the same call may succeed later.
    Retry,
    /// The input is wrong: quarantine or refuse it, and go on with the next.
    Reject,
    /// Stored bytes are damaged or not ours: never overwrite, report.
    Corrupt,
    /// Going on would break a guarantee: stop this part and say so.
    Fatal,
}
