//! Fuzzing of decoders on the stable toolchain: kept inputs, as they are and with seeded damage, and a watch that finds panics and
//! hangs.
//!
//! A decoder's corpus is a folder of its crate, `tests/corpus/NAME/`, with a few valid inputs of a few hundred bytes. [`fuzz`] gives it
//! each of them, and then damaged ones. What a decoder makes of an input is hashed; an input with a new hash is damaged further, so that
//! a run gets deeper than the corpus.
//!
//! - An input that makes the decoder panic, or takes longer than [`HANG`], is written into the corpus as `crash-…` or `hang-…`, and
//!   the test fails with its path. From then on it is the first that every run tries.
//! - A test takes about a second: [`ROUNDS`] inputs from one seed, the same in each run. `FOREBAY_FUZZ_SECONDS` sets how long each
//!   decoder is fuzzed instead, with another seed each time, which is printed: `cargo xtask soak --load fuzz`.
//!
//! It does not measure coverage, and it does not look at memory: that a decoder allocates no more than its input warrants is for the
//! decoder's own tests.

mod chance;
mod corpus;
mod run;

use std::{hash::Hash, path::PathBuf, time::Duration};

/// Inputs of each decoder in a test, or fewer where they take longer than a second.
pub const ROUNDS: u64 = 10_000;

/// What takes longer than this for one input has no end.
pub const HANG: Duration = Duration::from_secs(10);

/// The folder of a corpus of the crate that names it.
#[macro_export]
macro_rules! corpus {
    ($name:literal) => {
        ::std::path::PathBuf::from(::core::concat!(
            ::core::env!("CARGO_MANIFEST_DIR"),
            "/tests/corpus/",
            $name
        ))
    };
}

/// Gives the decoder the inputs of a corpus, and damaged ones. What the decoder answers tells inputs apart that are worth more damage:
/// best which kind of value or error came, without numbers.
///
/// # Panics
/// The decoder panics or hangs, the corpus is empty or cannot be read.
pub fn fuzz<T: Hash>(corpus: impl Into<PathBuf>, decode: impl FnMut(&[u8]) -> T + Send + 'static) {
    if let Err(fault) = run::run(&corpus.into(), &run::Length::of_environment(), decode) {
        failed(&fault);
    }
}

#[expect(clippy::panic, reason = "it is called by tests alone, which end so")]
fn failed(fault: &str) -> ! {
    panic!("{fault}")
}
