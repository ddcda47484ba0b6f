//! CSV with a header, wide or long.
//!
//! Long, where there are columns `tag` and `value`: a reading a row. Wide: a tag for each column but `time` and the device's.
//! An empty cell of a wide row is no reading; in a long row it is a bad one.

use csv::{ReaderBuilder, StringRecord, Trim};
use forebay_connectors::Sample;
use forebay_payload::{Format as PayloadFormat, Payload, Selection};
use forebay_schemas::{DeviceId, Quality, Status, TagName, Timestamp, Value};

use crate::{
    refusal::Refusal,
    request::Precision,
    route::{Captured, Rule},
    weight,
};

const TIME: &str = "time";
const TAG: &str = "tag";
const VALUE: &str = "value";
const UNIT: &str = "unit";
const QUALITY: &str = "quality";
/// More columns are no table.
const COLUMNS_MAX: usize = 10_000;

/// The samples of a body; a fault refuses it as a whole.
pub(crate) fn samples(
    body: &[u8],
    rule: &Rule,
    captured: &Captured,
    precision: Option<Precision>,
) -> Result<Vec<Sample>, Refusal> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(body);
    let header = reader
        .headers()
        .map_err(|error| unreadable(&error))?
        .clone();
    let columns = Columns::of(&header, rule, captured, precision)?;
    let mut samples = Vec::new();
    let mut row = StringRecord::new();
    while reader
        .read_record(&mut row)
        .map_err(|error| unreadable(&error))?
    {
        let line = row.position().map_or(0, csv::Position::line);
        columns
            .row(&row, &mut samples)
            .map_err(|(column, what)| place(line, column, &header, &what))?;
        weight::check(&samples)?;
    }
    Ok(samples)
}

fn unreadable(error: &csv::Error) -> Refusal {
    let line = error.position().map(csv::Position::line);
    let at = line.map_or_else(String::new, |line| format!("line {line}: "));
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => Refusal::bad(format!("{at}{len} columns, the header has {expected_len}")),
        csv::ErrorKind::Utf8 { .. } => Refusal::bad(format!("{at}not UTF-8")),
        _ => Refusal::bad(format!("{at}{error}")),
    }
}

fn place(line: u64, column: usize, header: &StringRecord, what: &str) -> Refusal {
    let name = header.get(column).unwrap_or_default();
    let column = column + 1;
    Refusal::bad(format!("line {line}, column {column} ({name}): {what}"))
}

/// What each column holds.
struct Columns<'r> {
    rule: &'r Rule,
    captured: &'r Captured,
    precision: Precision,
    time: Option<usize>,
    device: Option<usize>,
    form: Form,
}

enum Form {
    /// Columns and their tags.
    Wide(Vec<(usize, TagName)>),
    Long {
        tag: usize,
        value: usize,
        unit: Option<usize>,
        quality: Option<usize>,
    },
}

/// The column, from 0, and what is wrong there.
type Wrong = (usize, String);

impl<'r> Columns<'r> {
    fn of(
        header: &StringRecord,
        rule: &'r Rule,
        captured: &'r Captured,
        precision: Option<Precision>,
    ) -> Result<Self, Refusal> {
        if header.len() > COLUMNS_MAX {
            return Err(Refusal::bad(format!("more than {COLUMNS_MAX} columns")));
        }
        let find = |name: &str| {
            header
                .iter()
                .position(|column| column.eq_ignore_ascii_case(name))
        };
        let time = find(TIME);
        let device = find(&rule.device_tag);
        let form = match (find(TAG), find(VALUE)) {
            (Some(tag), Some(value)) => Form::Long {
                tag,
                value,
                unit: find(UNIT),
                quality: find(QUALITY),
            },
            _ => {
                let own = |column: &usize| Some(*column) != time && Some(*column) != device;
                let mut tags = Vec::new();
                for column in (0..header.len()).filter(own) {
                    let name = TagName::new(header.get(column).unwrap_or_default())
                        .map_err(|error| place(1, column, header, &error.to_string()))?;
                    tags.push((column, name));
                }
                Form::Wide(tags)
            }
        };
        if matches!(&form, Form::Wide(tags) if tags.is_empty()) {
            let what =
                "line 1: a header with a column for each tag, or with tag and value, is expected";
            return Err(Refusal::bad(what));
        }
        Ok(Self {
            rule,
            captured,
            precision: precision.unwrap_or(Precision::Seconds),
            time,
            device,
            form,
        })
    }

    fn row(&self, row: &StringRecord, samples: &mut Vec<Sample>) -> Result<(), Wrong> {
        let cell = |column: usize| row.get(column).unwrap_or_default();
        let time = match self.time {
            Some(column) => self.time(cell(column)).map_err(|what| (column, what))?,
            None => None,
        };
        let device = match (&self.captured.device, self.device) {
            (Some(device), _) => Some(device.clone()),
            (None, Some(column)) => {
                let device = DeviceId::new(cell(column));
                Some(device.map_err(|error| (column, error.to_string()))?)
            }
            (None, None) => None,
        };
        let unknown = |refusal: Refusal| (0, refusal.reason);
        match &self.form {
            Form::Wide(tags) => {
                for (column, tag) in tags.iter().filter(|(column, _)| !cell(*column).is_empty()) {
                    let content = (Some(value(cell(*column))), Status::GOOD);
                    let sample = self.rule.sample(device.clone(), tag.clone(), time, content);
                    samples.push(sample.map_err(unknown)?);
                }
            }
            Form::Long {
                tag,
                value: at,
                unit,
                quality,
            } => {
                let name = TagName::new(cell(*tag)).map_err(|error| (*tag, error.to_string()))?;
                let mut status = match quality {
                    Some(column) => quality_of(cell(*column)).map_err(|what| (*column, what))?,
                    None => Status::GOOD,
                };
                let found = Some(cell(*at)).filter(|cell| !cell.is_empty()).map(value);
                if found.is_none() && status.quality != Quality::Bad {
                    status = Status::bad(None, "the cell is empty");
                }
                let sample = self.rule.sample(device, name, time, (found, status));
                let mut sample = sample.map_err(unknown)?;
                let unit = unit.map(cell).filter(|unit| !unit.is_empty());
                sample.unit = unit.map(Into::into);
                samples.push(sample);
            }
        }
        Ok(())
    }

    /// RFC 3339, or a number from 1970 on; an empty cell is the time of arrival.
    fn time(&self, cell: &str) -> Result<Option<Timestamp>, String> {
        if cell.is_empty() {
            return Ok(None);
        }
        let by_number = self.precision.time_of(cell);
        let by_text = || {
            let parsed: Option<jiff::Timestamp> = cell.parse().ok();
            parsed.and_then(|time| i64::try_from(time.as_nanosecond()).ok())
        };
        let nanos = by_number.or_else(|| by_text().map(Timestamp::from_nanos));
        nanos.map(Some).ok_or_else(|| self.no_time(cell))
    }

    /// Why a cell is no time.
    fn no_time(&self, cell: &str) -> String {
        let shown: String = cell.chars().take(40).collect();
        if cell.parse::<jiff::civil::DateTime>().is_ok() {
            return format!(
                "{shown:?} names no zone: end it with Z for UTC or an offset such as +01:00 (time_zone is for format = \"json\")"
            );
        }
        let unit = self.precision.name();
        format!(
            "{shown:?} is neither a time such as 2026-01-31T12:00:00Z nor a number of {unit} since 1970"
        )
    }
}

/// A number or truth where the cell is one, else its text.
fn value(cell: &str) -> Value {
    let payload = Payload::parse(PayloadFormat::Raw, cell.as_bytes());
    let decoded = payload.map(|payload| Selection::default().decode(&payload));
    let first = decoded.ok().and_then(|all| all.into_iter().next());
    match first {
        Some(Ok(decoded)) => decoded
            .value
            .unwrap_or_else(|| Value::Text(cell.to_owned())),
        _ => Value::Text(cell.to_owned()),
    }
}

fn quality_of(cell: &str) -> Result<Status, String> {
    let said = |quality| {
        Ok(Status {
            quality,
            code: None,
            reason: Some("the device says so".to_owned()),
        })
    };
    match cell.to_ascii_lowercase().as_str() {
        "" | "good" | "0" => Ok(Status::GOOD),
        "uncertain" | "1" => said(Quality::Uncertain),
        "bad" | "2" => said(Quality::Bad),
        other => Err(format!("{other:?} is not good, uncertain or bad")),
    }
}

#[cfg(test)]
mod tests {
    use forebay_connectors::RuleId;

    use super::*;
    use crate::route::{Format, Template};

    fn rule(device: Option<&str>) -> Rule {
        Rule {
            id: RuleId(0),
            template: Template::parse("/csv").unwrap(),
            format: Format::Csv,
            device: device.and_then(|device| DeviceId::new(device).ok()),
            tag: None,
            device_tag: "device".to_owned(),
            selection: Selection::default(),
        }
    }

    fn read(body: &str, device: Option<&str>) -> Result<Vec<String>, String> {
        let found = samples(body.as_bytes(), &rule(device), &Captured::default(), None);
        let shown = |sample: Sample| {
            let Sample {
                device,
                tag,
                value,
                unit,
                status,
                event_time,
                ..
            } = sample;
            let time = event_time.map_or_else(
                || "-".to_owned(),
                |time| (time.nanos() / 1_000_000).to_string(),
            );
            let unit = unit.as_deref().unwrap_or("-").to_owned();
            format!(
                "{device}/{tag} {value:?} {unit} {:?} {time}",
                status.quality
            )
        };
        match found {
            Ok(samples) => Ok(samples.into_iter().map(shown).collect()),
            Err(refusal) => Err(refusal.reason),
        }
    }

    #[test]
    fn wide_and_long_tables_become_samples() {
        let wide =
            "time,heat, mode \n2026-01-31T12:00:00.5+01:00,21.5,auto\n1769857200,,\n,48,\"a,b\"\n";
        let expected = [
            "d/heat Some(F64(21.5)) - Good 1769857200500",
            "d/mode Some(Text(\"auto\")) - Good 1769857200500",
            "d/heat Some(I64(48)) - Good -",
            "d/mode Some(Text(\"a,b\")) - Good -",
        ];
        assert_eq!(
            read(wide, Some("d")),
            Ok(expected.map(str::to_owned).to_vec())
        );
        let long =
            "Device,tag,value,unit,quality\np,t,true,,good\np,u,,bar,\nq,t,3,Cel,uncertain\n";
        let expected = [
            "p/t Some(Bool(true)) - Good -",
            "p/u None bar Bad -",
            "q/t Some(I64(3)) Cel Uncertain -",
        ];
        assert_eq!(read(long, None), Ok(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn times_are_exact_to_the_nanosecond() {
        use Precision::{Hours, Millis, Nanos, Seconds};
        let table = [
            (
                Nanos,
                "1769857200123456789",
                Some(1_769_857_200_123_456_789),
            ),
            (Nanos, "-9223372036854775808", Some(i64::MIN)),
            (Nanos, "9223372036854775808", None),
            (
                Seconds,
                "1769857200.123456789",
                Some(1_769_857_200_123_456_789),
            ),
            (Seconds, "-0.0000000001", Some(-1)),
            (Seconds, "1.7e9", Some(1_700_000_000_000_000_000)),
            (Millis, "+1769857200123.4", Some(1_769_857_200_123_400_000)),
            (Hours, "0.5", Some(1_800_000_000_000)),
            (Seconds, "noon", None),
            (Seconds, "inf", None),
            (Seconds, "", None),
        ];
        for (precision, number, expected) in table {
            let found = precision.time_of(number).map(Timestamp::nanos);
            assert_eq!(found, expected, "{number} {}", precision.name());
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_by_line_and_column() {
        let table = [
            ("", "line 1: a header with a column for each tag"),
            ("time\n1\n", "line 1: a header with a column for each tag"),
            (
                "time,a\n1,2\nnoon,3\n",
                "line 3, column 1 (time): \"noon\" is neither a time",
            ),
            (
                "time,a\n2026-01-31T12:00:00,3\n",
                "line 2, column 1 (time): \"2026-01-31T12:00:00\" names no zone: end it with Z",
            ),
            ("time,a\n1,2,3\n", "line 2: 3 columns, the header has 2"),
            (
                "time,,a\n1,2,3\n",
                "line 1, column 2 (): a tag name must not be empty",
            ),
            (
                "tag,value,quality\nt,1,so-so\n",
                "line 2, column 3 (quality): \"so-so\" is not good",
            ),
            (
                "tag,value\n,1\n",
                "line 2, column 1 (tag): a tag name must not be empty",
            ),
            (
                "device,a\n,1\n",
                "line 2, column 1 (device): a device name must not be empty",
            ),
        ];
        for (body, expected) in table {
            let reason = read(body, Some("d")).unwrap_err();
            assert!(reason.starts_with(expected), "{body:?}: {reason}");
        }
        let reason = read("a\n1\n", None).unwrap_err();
        assert!(
            reason.contains("the device is not known: \"device\" is missing"),
            "{reason}"
        );
    }
}
