//! What a verb answers, on stdout.

use std::io::{self, Write as _};

/// Prints an answer, or a part of it. Whoever has seen enough closes the pipe (`| head`), which is no failure.
///
/// # Errors
/// When it cannot be written, as on a full disk.
pub(crate) fn print(answer: impl AsRef<[u8]>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(answer.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}
