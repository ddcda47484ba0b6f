//! One run: a thread that decodes, and one that watches it.

use std::{
    any::Any,
    collections::HashSet,
    hash::{BuildHasher as _, DefaultHasher, Hash, Hasher as _, RandomState},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{HANG, ROUNDS, chance::Chance, corpus};

const SECONDS: &str = "FOREBAY_FUZZ_SECONDS";
const SEED: &str = "FOREBAY_FUZZ_SEED";

/// The seed of tests.
const TEST_SEED: u64 = 20_261_129;
/// However many inputs are left.
const TEST_LENGTH: Duration = Duration::from_secs(1);
/// How often it is looked whether an input takes too long.
const LOOK: Duration = Duration::from_millis(100);
/// Inputs that gave something new and are damaged further; beyond them a new one takes the place of another.
const FURTHER_MAX: usize = 1_000;
/// How much longer than the longest input of the corpus a damaged one may be.
const GROWTH_BYTES: usize = 1_000;

/// How long a run takes, and its chance.
pub(crate) struct Length {
    pub(crate) seed: u64,
    pub(crate) rounds: u64,
    pub(crate) time: Duration,
    pub(crate) hang: Duration,
}

/// What is being decoded, and since when.
struct Watched {
    input: Vec<u8>,
    since: Instant,
}

/// How a run has ended.
enum End {
    Sound { inputs: u64, kinds: usize },
    Panicked { input: Vec<u8>, message: String },
}

impl Length {
    pub(crate) fn of_environment() -> Self {
        let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
        match number(SECONDS) {
            None => Self {
                seed: number(SEED).unwrap_or(TEST_SEED),
                rounds: ROUNDS,
                time: TEST_LENGTH,
                hang: HANG,
            },
            Some(seconds) => Self {
                // Its keys are random: another seed each time.
                seed: number(SEED).unwrap_or_else(|| RandomState::new().hash_one(SEED)),
                rounds: u64::MAX,
                time: Duration::from_secs(seconds),
                hang: HANG,
            },
        }
    }
}

/// Fuzzes a decoder; an error says what was found and where it is kept.
pub(crate) fn run<T: Hash>(
    folder: &Path,
    length: &Length,
    decode: impl FnMut(&[u8]) -> T + Send + 'static,
) -> Result<(), String> {
    let inputs = corpus::read(folder)?;
    let watched = Arc::new(Mutex::new(Watched {
        input: Vec::new(),
        since: now(),
    }));
    let (ended, end) = channel();
    let decoding = Decoding {
        watched: watched.clone(),
        chance: Chance::new(length.seed),
        rounds: length.rounds,
        until: now() + length.time,
        decode,
        seen: HashSet::new(),
    };
    // Not joined: one that hangs ends with the process of the tests.
    thread::spawn(move || decoding.run(inputs, &ended));
    loop {
        match end.recv_timeout(LOOK) {
            Ok(End::Sound { inputs, kinds }) => {
                let shown = folder.display();
                let seed = length.seed;
                println!("{shown}: {inputs} inputs of {kinds} kinds, seed {seed}");
                return Ok(());
            }
            Ok(End::Panicked { input, message }) => {
                let kept = corpus::keep(folder, "crash", &input);
                return Err(format!("decoding panicked: {message}; the input is {kept}"));
            }
            Err(RecvTimeoutError::Timeout) => {
                let watched = watched.lock().unwrap_or_else(PoisonError::into_inner);
                if watched.since.elapsed() > length.hang {
                    let kept = corpus::keep(folder, "hang", &watched.input);
                    let limit = length.hang;
                    return Err(format!("decoding took over {limit:?}; the input is {kept}"));
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err("fuzzing ended without a result".to_owned());
            }
        }
    }
}

struct Decoding<D> {
    watched: Arc<Mutex<Watched>>,
    chance: Chance,
    rounds: u64,
    until: Instant,
    decode: D,
    /// Hashes of what inputs came to.
    seen: HashSet<u64>,
}

impl<T: Hash, D: FnMut(&[u8]) -> T> Decoding<D> {
    fn run(mut self, inputs: Vec<Vec<u8>>, ended: &Sender<End>) {
        let end = match self.rounds(inputs) {
            Ok(inputs) => End::Sound {
                inputs,
                kinds: self.seen.len(),
            },
            Err(end) => end,
        };
        // Nobody waits for it where the input before took too long.
        ended.send(end).unwrap_or(());
    }

    /// How many inputs were decoded.
    fn rounds(&mut self, inputs: Vec<Vec<u8>>) -> Result<u64, End> {
        for input in &inputs {
            self.decode(input)?;
        }
        let longest = inputs.iter().map(Vec::len).max().unwrap_or(0);
        let bytes_max = 2 * longest + GROWTH_BYTES;
        let kept = inputs.len();
        let mut pool = inputs;
        let mut round = 0;
        while round < self.rounds && now() < self.until {
            round += 1;
            let base = self.chance.below(pool.len());
            let other = self.chance.below(pool.len());
            let input = self.chance.damage(&pool[base], &pool[other], bytes_max);
            if !self.decode(&input)? {
                continue;
            }
            if pool.len() < kept + FURTHER_MAX {
                pool.push(input);
            } else {
                let place = kept + self.chance.below(FURTHER_MAX);
                pool[place] = input;
            }
        }
        Ok(round + kept as u64)
    }

    /// Whether the input came to something new.
    fn decode(&mut self, input: &[u8]) -> Result<bool, End> {
        {
            let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            watched.input.clear();
            watched.input.extend_from_slice(input);
            watched.since = now();
        }
        let mut hasher = DefaultHasher::new();
        let decoded = catch_unwind(AssertUnwindSafe(|| (self.decode)(input).hash(&mut hasher)));
        match decoded {
            Ok(()) => Ok(self.seen.insert(hasher.finish())),
            Err(payload) => Err(End::Panicked {
                input: input.to_vec(),
                message: message(payload.as_ref()),
            }),
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<String>() {
        return text.clone();
    }
    let text = payload.downcast_ref::<&str>().copied();
    text.unwrap_or("without a message").to_owned()
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a decoder takes is what is measured, and nothing is simulated"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    const LENGTH: Length = Length {
        seed: 1,
        rounds: 5_000,
        time: Duration::from_secs(60),
        hang: Duration::from_millis(300),
    };

    fn corpus() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("valid"), "(()())").unwrap();
        folder
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Parentheses; panics or hangs below a depth.
    fn depth(input: &[u8], deepest: i32, end: fn()) -> i32 {
        let mut depth = 0;
        for byte in input {
            depth += match byte {
                b'(' => 1,
                b')' => -1,
                _ => 0,
            };
            if depth > deepest {
                end();
            }
        }
        depth
    }

    #[test]
    fn a_sound_decoder_passes() {
        let folder = corpus();
        let passed = run(folder.path(), &LENGTH, |input: &[u8]| {
            depth(input, 9_999, || {})
        });
        assert_eq!(passed, Ok(()));
        assert_eq!(names(&folder), ["valid"]);
    }

    #[test]
    fn a_crash_is_kept_and_tried_first_from_then_on() {
        let folder = corpus();
        let decode = |input: &[u8]| depth(input, 12, || panic!("too deep"));
        let fault = run(folder.path(), &LENGTH, decode).unwrap_err();
        assert!(
            fault.starts_with("decoding panicked: too deep; the input is kept as "),
            "{fault}"
        );
        let [found, _] = names(&folder).try_into().unwrap();
        assert!(found.starts_with("crash-"), "{found}");
        let no_rounds = Length {
            rounds: 0,
            ..LENGTH
        };
        assert!(run(folder.path(), &no_rounds, decode).is_err());
        assert_eq!(names(&folder).len(), 2, "one input, one file");
    }

    #[test]
    fn a_hang_is_kept() {
        let folder = corpus();
        let (_open, never) = channel::<()>();
        let never = Mutex::new(never);
        let decode = move |input: &[u8]| {
            if input.len() > 60 {
                never.lock().unwrap().recv().unwrap_or(());
            }
            input.len()
        };
        let fault = run(folder.path(), &LENGTH, decode).unwrap_err();
        assert!(fault.starts_with("decoding took over 300ms"), "{fault}");
        assert!(names(&folder)[0].starts_with("hang-"));
    }

    #[test]
    fn a_corpus_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let fault = run(folder.path(), &LENGTH, <[u8]>::len).unwrap_err();
        assert!(fault.ends_with("is empty"), "{fault}");
        let missing = folder.path().join("missing");
        assert!(run(&missing, &LENGTH, <[u8]>::len).is_err());
    }
}
