//! InfluxDB line protocol, version 1 and 2: `measurement,key=value field=1.5,other=2i 1700000000000000000`.
//!
//! The tag of a reading is `measurement.field`; keys other than the device's follow the measurement as they do in the line, in
//! the order of their names, so that two series of the source stay two: `cpu,core=0.usage`.

use std::collections::BTreeMap;

use forebay_connectors::Sample;
use forebay_schemas::{DeviceId, Status, TagName, Timestamp, Value};

use crate::{
    refusal::{Place, Refusal},
    request::Precision,
    route::{Captured, Rule},
    weight,
};

/// The samples of a body; a fault refuses it as a whole.
pub(crate) fn samples(
    body: &str,
    rule: &Rule,
    captured: &Captured,
    precision: Option<Precision>,
) -> Result<Vec<Sample>, Refusal> {
    let mut cursor = Cursor {
        body: body.as_bytes(),
        at: 0,
    };
    let mut samples = Vec::new();
    while cursor.skip_to_point() {
        let begin = cursor.at;
        let point = cursor
            .point(precision.unwrap_or(Precision::Nanos))
            .map_err(|(at, what)| Refusal::at(place(body, at), what))?;
        let at_point = |refusal: Refusal| Refusal::at(place(body, begin), refusal.reason);
        samples.extend(point.samples(rule, captured).map_err(at_point)?);
        weight::check(&samples)?;
    }
    Ok(samples)
}

fn place(body: &str, at: usize) -> Place {
    let before = body.as_bytes().get(..at).unwrap_or(body.as_bytes());
    let line_from = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    Place {
        line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
        column: String::from_utf8_lossy(&before[line_from..])
            .chars()
            .count()
            + 1,
    }
}

struct Point {
    measurement: String,
    tags: BTreeMap<String, String>,
    fields: Vec<(String, Value)>,
    time: Option<Timestamp>,
}

impl Point {
    fn samples(mut self, rule: &Rule, captured: &Captured) -> Result<Vec<Sample>, Refusal> {
        let in_body = |error: forebay_schemas::InvalidName| Refusal::bad(error.to_string());
        let device = match (self.tags.remove(&rule.device_tag), &captured.device) {
            (_, Some(device)) => Some(device.clone()),
            (Some(name), None) => Some(DeviceId::new(&name).map_err(in_body)?),
            (None, None) => None,
        };
        let mut prefix = self.measurement;
        for (key, value) in &self.tags {
            prefix.push_str(&format!(",{key}={value}"));
        }
        let mut samples = Vec::with_capacity(self.fields.len());
        for (field, value) in self.fields {
            let tag = TagName::new(&format!("{prefix}.{field}")).map_err(in_body)?;
            let content = (Some(value), Status::GOOD);
            samples.push(rule.sample(device.clone(), tag, self.time, content)?);
        }
        Ok(samples)
    }
}

/// Where it is wrong, in bytes from 0, and what.
type Wrong = (usize, String);

struct Cursor<'b> {
    body: &'b [u8],
    at: usize,
}

impl Cursor<'_> {
    /// Goes to the next line that is neither empty nor a comment; false at the end.
    fn skip_to_point(&mut self) -> bool {
        while let Some(next) = self.peek() {
            match next {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'#' => {
                    while self.peek().is_some_and(|next| next != b'\n') {
                        self.at += 1;
                    }
                }
                _ => return true,
            }
        }
        false
    }

    fn point(&mut self, precision: Precision) -> Result<Point, Wrong> {
        let measurement = self.word(b", \n")?;
        if measurement.is_empty() {
            return Err((self.at, "a measurement is expected".to_owned()));
        }
        let mut tags = BTreeMap::new();
        while self.take(b',') {
            let at = self.at;
            let key = self.word(b"=, \n")?;
            self.expect(b'=', "= is expected behind the key of a tag")?;
            let value = self.word(b"=, \n")?;
            if key.is_empty() || value.is_empty() {
                return Err((at, "a tag needs a key and a value".to_owned()));
            }
            tags.insert(key, value);
        }
        self.spaces("fields such as temp=21.5 are expected behind a space")?;
        let mut fields = Vec::new();
        loop {
            let at = self.at;
            let key = self.word(b"=, \n")?;
            if key.is_empty() {
                return Err((at, "the key of a field is expected".to_owned()));
            }
            self.expect(b'=', "= is expected behind the key of a field")?;
            fields.push((key, self.value()?));
            if !self.take(b',') {
                break;
            }
        }
        Ok(Point {
            measurement,
            tags,
            fields,
            time: self.time(precision)?,
        })
    }

    /// Text up to an unescaped stop.
    fn word(&mut self, stops: &[u8]) -> Result<String, Wrong> {
        let begin = self.at;
        let mut word = Vec::new();
        while let Some(next) = self.peek() {
            let behind = self.body.get(self.at + 1).copied();
            match (next, behind) {
                (b'\\', Some(escaped @ (b',' | b'=' | b' '))) => {
                    word.push(escaped);
                    self.at += 2;
                }
                (stop, _) if stops.contains(&stop) => break,
                (other, _) => {
                    word.push(other);
                    self.at += 1;
                }
            }
        }
        String::from_utf8(word).map_err(|_| (begin, "not UTF-8".to_owned()))
    }

    fn value(&mut self) -> Result<Value, Wrong> {
        let begin = self.at;
        if self.take(b'"') {
            return self.quoted(begin);
        }
        let word = self.word(b", \r\n")?;
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
        let value = match word.as_bytes() {
            [b't' | b'T'] | b"true" | b"True" | b"TRUE" => Some(Value::Bool(true)),
            [b'f' | b'F'] | b"false" | b"False" | b"FALSE" => Some(Value::Bool(false)),
            [.., b'i'] => word[..word.len() - 1].parse().ok().map(Value::I64),
            [.., b'u'] => word[..word.len() - 1].parse().ok().map(Value::U64),
            _ => number(&word).map(Value::F64),
        };
        value.ok_or_else(|| {
            let shown: String = word.chars().take(40).collect();
            (begin, format!("{shown:?} is not a value: a number, 1i, 1u, true, false or \"text\" is expected"))
        })
    }

    fn quoted(&mut self, begin: usize) -> Result<Value, Wrong> {
        let mut text = Vec::new();
        while let Some(next) = self.peek() {
            self.at += 1;
            match (next, self.peek()) {
                (b'"', _) => {
                    let text = String::from_utf8(text);
                    return text
                        .map(Value::Text)
                        .map_err(|_| (begin, "not UTF-8".to_owned()));
                }
                (b'\\', Some(escaped @ (b'"' | b'\\'))) => {
                    text.push(escaped);
                    self.at += 1;
                }
                _ => text.push(next),
            }
        }
        Err((begin, "the text is not closed".to_owned()))
    }

    /// The time and the end of the line.
    fn time(&mut self, precision: Precision) -> Result<Option<Timestamp>, Wrong> {
        while self.take(b' ') {}
        let begin = self.at;
        let written = self.word(b" \r\n")?;
        while self.take(b' ') || self.take(b'\r') {}
        if !matches!(self.peek(), None | Some(b'\n')) {
            return Err((
                self.at,
                "the end of the line is expected behind the time".to_owned(),
            ));
        }
        if written.is_empty() {
            return Ok(None);
        }
        let count: Option<i64> = written.parse().ok();
        let time = count.and_then(|count| precision.time(count));
        let wrong = || {
            (
                begin,
                format!("{written:?} is not a time in {}", precision.name()),
            )
        };
        time.map(Some).ok_or_else(wrong)
    }

    fn spaces(&mut self, missing: &str) -> Result<(), Wrong> {
        if self.peek() != Some(b' ') {
            return Err((self.at, missing.to_owned()));
        }
        while self.take(b' ') {}
        Ok(())
    }

    fn expect(&mut self, byte: u8, missing: &str) -> Result<(), Wrong> {
        if self.take(byte) {
            return Ok(());
        }
        Err((self.at, missing.to_owned()))
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use forebay_connectors::RuleId;
    use forebay_payload::Selection;
    use proptest::prelude::*;

    use super::*;
    use crate::route::{Format, Template};

    fn rule() -> Rule {
        Rule {
            id: RuleId(0),
            template: Template::parse("/write").unwrap(),
            format: Format::Line,
            device: DeviceId::new("gate").ok(),
            tag: None,
            device_tag: "host".to_owned(),
            selection: Selection::default(),
        }
    }

    /// Device, tag, value and time.
    type Shown = (String, String, Option<Value>, Option<i64>);

    fn read(body: &str) -> Result<Vec<Shown>, String> {
        let samples = samples(body, &rule(), &Captured::default(), None);
        let shown = |sample: Sample| {
            let (device, tag) = (sample.device.to_string(), sample.tag.to_string());
            (
                device,
                tag,
                sample.value,
                sample.event_time.map(Timestamp::nanos),
            )
        };
        match samples {
            Ok(samples) => Ok(samples.into_iter().map(shown).collect()),
            Err(refusal) => Err(refusal.reason),
        }
    }

    #[test]
    fn lines_become_samples_with_names_types_and_times() {
        let text = |text: &str| Value::Text(text.to_owned());
        let table = [
            (
                "cpu,host=a usage=1.5 17",
                ("a", "cpu.usage", Value::F64(1.5), Some(17)),
            ),
            ("cpu usage=2i", ("gate", "cpu.usage", Value::I64(2), None)),
            (
                "cpu,core=0,host=a,b=1 n=3u\r",
                ("a", "cpu,b=1,core=0.n", Value::U64(3), None),
            ),
            (
                "m\\ x,host=a\\,b k\\=1=t 5",
                ("a,b", "m x.k=1", Value::Bool(true), Some(5)),
            ),
            (
                "m s=\"a, \\\"b\\\" = c\\\\\" 5",
                ("gate", "m.s", text("a, \"b\" = c\\"), Some(5)),
            ),
            (
                "m s=\"two\nlines\"",
                ("gate", "m.s", text("two\nlines"), None),
            ),
            (
                "# a comment\n\n  é v=-1e3 -5  \n",
                ("gate", "é.v", Value::F64(-1000.0), Some(-5)),
            ),
        ];
        for (body, (device, tag, value, time)) in table {
            let expected = vec![(device.to_owned(), tag.to_owned(), Some(value), time)];
            assert_eq!(read(body), Ok(expected), "{body}");
        }
        let two = read("a x=1,y=2 1\nb x=3 2").unwrap();
        let tags: Vec<&str> = two.iter().map(|(_, tag, ..)| tag.as_str()).collect();
        assert_eq!(tags, ["a.x", "a.y", "b.x"]);
    }

    #[test]
    fn what_cannot_be_read_is_named_by_line_and_column() {
        let table = [
            (
                "cpu",
                "line 1, column 4: fields such as temp=21.5 are expected",
            ),
            (
                "a x=1\ncpu,core v=1",
                "line 2, column 9: = is expected behind the key of a tag",
            ),
            ("a x=1\né v=abc", "line 2, column 5: \"abc\" is not a value"),
            (
                "a x=1 12 13",
                "line 1, column 10: the end of the line is expected",
            ),
            ("a x=1 1.5", "line 1, column 7: \"1.5\" is not a time in ns"),
            ("a x=NaN", "line 1, column 5: \"NaN\" is not a value"),
            ("a x=\"open", "line 1, column 5: the text is not closed"),
            ("a x=9223372036854775808i", "line 1, column 5:"),
            (",host=a x=1", "line 1, column 1: a measurement is expected"),
            (
                "a,host= x=1",
                "line 1, column 3: a tag needs a key and a value",
            ),
            ("a =1", "line 1, column 3: the key of a field is expected"),
            (
                "a x",
                "line 1, column 4: = is expected behind the key of a field",
            ),
        ];
        for (body, expected) in table {
            let reason = read(body).unwrap_err();
            assert!(reason.starts_with(expected), "{body:?}: {reason}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(body in "[a-c,= \\\\\"\n\r0-9.iuté#-]{0,60}") {
            drop(read(&body));
        }

        #[test]
        fn numbers_come_back_as_they_were_written(value in any::<i64>(), float in -1e300..1e300_f64, time in any::<i64>()) {
            let read = read(&format!("m a={value}i,b={float} {time}")).unwrap();
            prop_assert_eq!(&read[0].2, &Some(Value::I64(value)));
            prop_assert_eq!(&read[1].2, &Some(Value::F64(float)));
            prop_assert_eq!(read[1].3, Some(time));
        }
    }
}
