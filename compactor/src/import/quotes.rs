//! Whether the quotes of a CSV file (RFC 4180) are all closed where a cell ends.
//!
//! The CSV reader is lenient: an opening quote without its end takes all that follows into one cell, and no error
//! tells of the rows that vanished. Fed with the bytes on their way to the reader, in pieces of any length.

/// The mark of UTF-8 that some programs put in front of a file.
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Where in a cell the next byte lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At its beginning.
    Start,
    /// In one without quotes.
    Plain,
    /// Within quotes.
    Quoted,
    /// Behind a quote within quotes: the end, or the first of a doubled one.
    Quote,
    /// Behind the end and blanks.
    Closed,
}

/// What is wrong with a file's quotes; lines count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Never closed.
    Open { line: u64 },
    /// Closed in front of more text.
    Stray { line: u64, end: u64 },
}

/// A scan under way.
#[derive(Debug)]
pub(super) struct Quotes {
    separator: u8,
    place: Place,
    line: u64,
    after_return: bool,
    /// How many bytes of the mark in front were seen.
    mark: usize,
    /// The line of the last opening quote.
    opened: u64,
    /// Cells that hold line breaks: how many, and the line of the first.
    broken_over: Option<(u64, u64)>,
    broken: Option<Broken>,
}

impl Quotes {
    pub(super) fn new(separator: u8) -> Self {
        Self {
            separator,
            place: Place::Start,
            line: 1,
            after_return: false,
            mark: 0,
            opened: 0,
            broken_over: None,
            broken: None,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.next(*byte);
        }
    }

    /// At the end of the file: whether its quotes are closed where cells end.
    pub(super) fn check(&self) -> Result<(), Broken> {
        match (self.broken, self.place) {
            (Some(broken), _) => Err(broken),
            (None, Place::Quoted) => Err(Broken::Open { line: self.opened }),
            (None, _) => Ok(()),
        }
    }

    /// Cells that hold line breaks: how many, and the line of the first.
    pub(super) fn broken_over(&self) -> Option<(u64, u64)> {
        self.broken_over
    }

    fn next(&mut self, byte: u8) {
        if BYTE_ORDER_MARK.get(self.mark) == Some(&byte) {
            self.mark += 1;
            return;
        }
        self.mark = BYTE_ORDER_MARK.len();
        let is_break = matches!(byte, b'\n' | b'\r');
        let ends_cell = is_break || byte == self.separator;
        self.place = match (self.place, byte) {
            (Place::Quoted, b'"') => Place::Quote,
            (Place::Quoted, _) => Place::Quoted,
            (Place::Quote, b'"') => Place::Quoted,
            (Place::Start, b'"') => {
                self.opened = self.line;
                Place::Quoted
            }
            (Place::Quote | Place::Closed, _) if ends_cell => {
                self.close();
                Place::Start
            }
            (_, _) if ends_cell => Place::Start,
            (Place::Quote | Place::Closed, b' ' | b'\t') => Place::Closed,
            (Place::Quote | Place::Closed, _) => {
                self.broken.get_or_insert(Broken::Stray {
                    line: self.opened,
                    end: self.line,
                });
                Place::Plain
            }
            (Place::Start | Place::Plain, _) => Place::Plain,
        };
        // A return and a feed are one break.
        if is_break && !(byte == b'\n' && self.after_return) {
            self.line += 1;
        }
        self.after_return = byte == b'\r';
    }

    fn close(&mut self) {
        // Blanks behind the end are on its line.
        if self.line > self.opened {
            let (cells, first) = self.broken_over.unwrap_or((0, self.opened));
            self.broken_over = Some((cells + 1, first));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Option<(u64, u64)>, Broken>) {
        for piece in [1, 2, 1000] {
            let mut quotes = Quotes::new(b',');
            text.as_bytes()
                .chunks(piece)
                .for_each(|bytes| quotes.feed(bytes));
            assert_eq!(
                quotes.check().map(|()| quotes.broken_over()),
                expected,
                "{text:?} in pieces of {piece}"
            );
        }
    }

    #[test]
    fn a_quote_without_its_end_is_found_with_its_line() {
        check("", Ok(None));
        check("a,b\n1,\"x\"\n", Ok(None));
        check("a,b\n1,\"x \"\"y\"\", z\"\n2,\"\"", Ok(None));
        check("a,b\n1,5\"\n2,6\" pipe\n", Ok(None));
        check("a,b\n1,\"x\" ,2\n", Ok(None));
        check(
            "a,b\r\n1,\"two\r\nlines\"\r\n2,\"and\nthree\n\"\n",
            Ok(Some((2, 2))),
        );
        check("\u{feff}\"a\",b\n1,2\n", Ok(None));
        check("a,b\n1,2\n3,\"4\n5,6\n", Err(Broken::Open { line: 3 }));
        check("a,b\r1,2\r3,\"4\r5,6", Err(Broken::Open { line: 3 }));
        check("\u{feff}\"a,b\n1,2\n", Err(Broken::Open { line: 1 }));
        // The next opening quote is taken for its end.
        check(
            "a,b\n1,\"2\n3,4\n5,\"six\"\n",
            Err(Broken::Stray { line: 2, end: 4 }),
        );
        check(
            "a,b\n1,\"2\n3,4\n5,\"six\"\n7,\"8\n",
            Err(Broken::Stray { line: 2, end: 4 }),
        );
    }
}
