//! An error with its causes, in one line.

use std::error::Error;

/// The error and its causes, joined by colons: each cause by its first line, because behind it may be a backtrace, and none
/// that the one before repeats already (DataFusion's messages hold their sources').
pub fn report(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = first_line(error);
        if !last.contains(&line) {
            text = format!("{text}: {line}");
            last = line;
        }
        cause = error.source();
    }
    text
}

fn first_line(error: &(dyn Error + 'static)) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Link>>);

    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1
                .as_deref()
                .map(|cause| cause as &(dyn Error + 'static))
        }
    }

    #[test]
    fn repeated_causes_and_further_lines_are_left_out() {
        let refused = Link("refused\nbacktrace", None);
        let store = Link("the store: refused", Some(Box::new(refused)));
        let top = Link("commit failed", Some(Box::new(store)));
        assert_eq!(report(&top), "commit failed: the store: refused");
    }
}
