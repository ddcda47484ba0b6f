//! `forebay tags import`: another tool's list of tags as tables for forebay.toml.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use forebay_config::{ConfigErrors, Document};
use forebay_schemas::GatewayId;
use forebay_tags::{ListFormat, Outcome, Row, Value};

use crate::{clock, out, registry};

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Turn a list of tags that another tool has exported into [[connector.tag]] tables, each checked.
    Import(Args),
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The list.
    file: PathBuf,
    /// What exported it.
    #[arg(long, value_enum)]
    from: From,
    /// The kind of connector that the tags are for: as the list's format has it unless given.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// The file to write; standard output unless given. One that is there is not overwritten.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only say what would become of each row.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum From {
    /// CSV whose columns are the keys of [[connector.tag]], such as name,register,address,type.
    Csv,
    /// KEPServerEX's CSV of a device with Modbus addresses.
    Kepware,
    /// Ignition's JSON export of tags: those that come over OPC.
    Ignition,
    /// An OPC UA information model, NodeSet2.xml.
    Nodeset2,
    /// The payload of a NBIRTH or DBIRTH of Sparkplug B, captured as it came.
    SparkplugBirth,
}

pub(crate) fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    let Verb::Import(args) = verb;
    let (format, usual) = match args.from {
        From::Csv => (ListFormat::Plain, None),
        From::Kepware => (ListFormat::Kepware, Some("modbus")),
        From::Ignition => (ListFormat::Ignition, Some("opcua")),
        From::Nodeset2 => (ListFormat::NodeSet2, Some("opcua")),
        From::SparkplugBirth => (ListFormat::SparkplugBirth, Some("mqtt")),
    };
    let Some(kind) = args.kind.as_deref().or(usual) else {
        bail!("--kind is needed: the list does not say what its tags are read with");
    };
    let unread = || format!("cannot read {}", args.file.display());
    let text = fs::read(&args.file).with_context(unread)?;
    let rows = forebay_tags::read(format, &text).with_context(unread)?;
    let rows = checked(rows, kind, format)?;
    let kept = rows
        .iter()
        .filter(|row| matches!(row.outcome, Outcome::Tag(_)))
        .count();
    for row in &rows {
        match &row.outcome {
            Outcome::LeftOut(why) => eprintln!("{}: left out: {why}", row.place),
            Outcome::Tag(tag) => {
                for missing in &tag.missing {
                    eprintln!("{}: {missing}", row.place);
                }
                if args.dry_run && tag.missing.is_empty() {
                    eprintln!("{}: ok", row.place);
                }
            }
        }
    }
    eprintln!("{kept} tags, {} rows left out", rows.len() - kept);
    if let Some(reminder) = forebay_tags::reminder(format, &rows) {
        eprintln!("{reminder}");
    }
    if kept == 0 {
        return Ok(ExitCode::FAILURE);
    }
    let (tables, _) = forebay_tags::toml(&rows);
    match (args.dry_run, &args.out) {
        (true, _) => {}
        (false, None) => out::print(tables)?,
        (false, Some(path)) => {
            write_new(path, &tables)?;
            eprintln!(
                "{}: put its tables below a [[connector]] of kind {kind:?}{} in forebay.toml, then `forebay validate`",
                path.display(),
                match format {
                    ListFormat::SparkplugBirth => " with format = \"sparkplug_b\"",
                    _ => "",
                }
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let mut file = File::create_new(path).with_context(failed)?;
    file.write_all(text.as_bytes()).with_context(failed)
}

/// The rows, without those that the kind refuses: why, in its own words.
fn checked(mut rows: Vec<Row>, kind: &str, format: ListFormat) -> anyhow::Result<Vec<Row>> {
    rows.iter_mut().for_each(name_unit);
    // What one fault hides is said once that tag is left out.
    loop {
        let refused = refused(&rows, kind, format)?;
        if refused.is_empty() {
            return Ok(rows);
        }
        let tags = rows
            .iter_mut()
            .filter(|row| matches!(row.outcome, Outcome::Tag(_)));
        for (place, row) in tags.enumerate() {
            if let Some(why) = refused.get(&place) {
                row.outcome = Outcome::LeftOut(why.clone());
            }
        }
    }
}

/// A unit in the list's own words gets its code, and the words stay above it.
fn name_unit(row: &mut Row) {
    let Outcome::Tag(tag) = &mut row.outcome else {
        return;
    };
    for (key, value) in &mut tag.keys {
        let Value::Text(written) = value else {
            continue;
        };
        let code = (*key == "unit").then(|| forebay_gateway::as_ucum(written));
        if let Some(code) = code.flatten() {
            tag.notes.push(format!("unit in the list: {written}"));
            *written = code;
        }
    }
}

/// What is wrong with which tag, by its place among the tags.
fn refused(
    rows: &[Row],
    kind: &str,
    format: ListFormat,
) -> anyhow::Result<BTreeMap<usize, String>> {
    let head = head(kind, format)?;
    let (tables, lines) = forebay_tags::toml(rows);
    if lines.is_empty() {
        return Ok(BTreeMap::new());
    }
    let before = head.matches('\n').count();
    let text = head + &tables;
    let context = clock::context(GatewayId::new("tags")?, PathBuf::new());
    let document = Document::new(Path::new("tags.toml"), &text, &|_| None);
    let read = document.read(|root| {
        let sources = forebay_gateway::connectors(root, registry::CONNECTORS, &context);
        Some(sources.len())
    });
    let Err(ConfigErrors { problems, .. }) = read else {
        return Ok(BTreeMap::new());
    };
    let mut refused = BTreeMap::new();
    for problem in problems {
        let line = problem.line.saturating_sub(before);
        let Some(place) = lines.iter().rposition(|begins| *begins <= line) else {
            bail!("{}", problem.message);
        };
        refused.entry(place).or_insert(problem.message);
    }
    Ok(refused)
}

/// A connector in which the tags are checked.
fn head(kind: &str, format: ListFormat) -> anyhow::Result<String> {
    let own = match kind {
        "mqtt" if format == ListFormat::SparkplugBirth => {
            "url = \"mqtt://127.0.0.1:1883\"\nformat = \"sparkplug_b\""
        }
        "modbus" => "url = \"tcp://127.0.0.1:502\"\ndevice = \"device\"",
        "opcua" => "url = \"opc.tcp://127.0.0.1:4840\"\ndevice = \"device\"",
        "mqtt" => "url = \"mqtt://127.0.0.1:1883\"",
        other => bail!("--kind {other:?}: modbus, opcua or mqtt is expected"),
    };
    Ok(format!(
        "[[connector]]\nname = \"list\"\nkind = \"{kind}\"\n{own}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connector_refuses_is_left_out_with_its_reason_and_the_rest_is_valid() {
        let list = "name,register,address,type\n\
                    a,holding,0,f32\n\
                    b,holding,70000,u16\n\
                    a,holding,9,u16\n\
                    c,coil,3,\n\
                    d,holding,4,f31\n";
        let rows = forebay_tags::read(ListFormat::Plain, list.as_bytes()).unwrap();
        let rows = checked(rows, "modbus", ListFormat::Plain).unwrap();
        let kept: Vec<&str> = rows
            .iter()
            .filter(|row| matches!(row.outcome, Outcome::Tag(_)))
            .map(|row| row.place.as_str())
            .collect();
        assert_eq!(kept, ["line 2", "line 5"], "{rows:?}");
        assert!(checked(rows, "fax", ListFormat::Plain).is_err());
    }

    #[test]
    fn units_in_the_words_of_a_list_become_codes() {
        let list = "name,register,address,type,unit\n\
                    speed,holding,0,u16,rpm\n\
                    heat,holding,1,u16,Cel\n\
                    count,holding,2,u16,pieces\n";
        let rows = forebay_tags::read(ListFormat::Plain, list.as_bytes()).unwrap();
        let rows = checked(rows, "modbus", ListFormat::Plain).unwrap();
        let (tables, _) = forebay_tags::toml(&rows);
        let units: Vec<&str> = tables
            .lines()
            .filter(|line| line.contains("unit"))
            .collect();
        let expected = [
            "# unit in the list: rpm",
            "unit = \"{rev}/min\"",
            "unit = \"Cel\"",
            "unit = \"pieces\"",
        ];
        assert_eq!(units, expected, "{tables}");
    }

    #[test]
    fn a_captured_birth_becomes_tags_that_its_connector_takes() {
        let birth = include_bytes!("../../../connectors/tags/tests/corpus/sparkplug/birth");
        let format = ListFormat::SparkplugBirth;
        let rows = forebay_tags::read(format, birth).unwrap();
        let before: Vec<_> = rows.iter().map(|row| row.outcome.clone()).collect();
        assert!(before.iter().any(|one| matches!(one, Outcome::Tag(_))));
        let rows = checked(rows, "mqtt", format).unwrap();
        let after: Vec<_> = rows.into_iter().map(|row| row.outcome).collect();
        assert_eq!(after, before, "the connector refuses none");
    }
}
