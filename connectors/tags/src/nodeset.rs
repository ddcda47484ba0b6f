//! Variables of an OPC UA information model (OPC 10000-6, Annex F: `UANodeSet`), by the URI of their namespace, so that a server may
//! order its namespaces as it likes.

use std::collections::BTreeMap;

use quick_xml::{
    Reader,
    escape::unescape,
    events::{BytesStart, Event},
};

use crate::{Row, Tag, TagsError};

/// A variable under way.
#[derive(Default)]
struct Variable {
    node: String,
    browse_name: String,
    parent: Option<String>,
    description: String,
}

pub(crate) fn read(text: &str) -> Result<Vec<Row>, TagsError> {
    let mut reader = Reader::from_str(text);
    let mut uris: Vec<String> = Vec::new();
    let mut variables: Vec<Variable> = Vec::new();
    let mut names: BTreeMap<String, (String, Option<String>)> = BTreeMap::new();
    // The text of the element under way, and whether that lies in a variable's.
    let (mut inner, mut in_variable) = (String::new(), false);
    loop {
        let event = reader.read_event();
        let at = reader.buffer_position();
        let failed = |error: String| TagsError::Xml { at, what: error };
        match event.map_err(|error| failed(error.to_string()))? {
            Event::Eof => break,
            Event::Start(start) => {
                inner.clear();
                let is_variable = start.local_name().as_ref() == b"UAVariable";
                in_variable |= is_variable;
                node(&start, is_variable, &mut names, &mut variables).map_err(failed)?;
            }
            Event::Empty(start) => {
                let is_variable = start.local_name().as_ref() == b"UAVariable";
                node(&start, is_variable, &mut names, &mut variables).map_err(failed)?;
            }
            Event::Text(text) => {
                inner += &text.decode().map_err(|error| failed(error.to_string()))?;
            }
            // `&amp;` and the like come on their own.
            Event::GeneralRef(name) => {
                let name = name.decode().map_err(|error| failed(error.to_string()))?;
                let whole = format!("&{name};");
                inner += &unescape(&whole).map_err(|error| failed(error.to_string()))?;
            }
            Event::End(end) => {
                let text = std::mem::take(&mut inner);
                match (end.local_name().as_ref(), variables.last_mut()) {
                    (b"Uri", _) => uris.push(text.trim().to_owned()),
                    (b"Description", Some(variable)) if in_variable => {
                        text.trim().clone_into(&mut variable.description);
                    }
                    (b"UAVariable", _) => in_variable = false,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    Ok(variables
        .into_iter()
        .map(|variable| row(variable, &uris, &names))
        .collect())
}

/// Notes a node's name and parent, and a variable as one.
fn node(
    start: &BytesStart<'_>,
    is_variable: bool,
    names: &mut BTreeMap<String, (String, Option<String>)>,
    variables: &mut Vec<Variable>,
) -> Result<(), String> {
    let mut variable = Variable::default();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute
            .unescape_value()
            .map_err(|error| error.to_string())?
            .into_owned();
        match attribute.key.local_name().as_ref() {
            b"NodeId" => variable.node = value,
            b"BrowseName" => variable.browse_name = without_namespace(&value).to_owned(),
            b"ParentNodeId" => variable.parent = Some(value),
            _ => {}
        }
    }
    if variable.node.is_empty() {
        return Ok(());
    }
    names.insert(
        variable.node.clone(),
        (variable.browse_name.clone(), variable.parent.clone()),
    );
    if is_variable {
        variables.push(variable);
    }
    Ok(())
}

/// `1:Speed` without its namespace.
fn without_namespace(name: &str) -> &str {
    match name.split_once(':') {
        Some((index, name)) if index.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => name,
    }
}

fn row(
    variable: Variable,
    uris: &[String],
    names: &BTreeMap<String, (String, Option<String>)>,
) -> Row {
    let place = variable.node.clone();
    let tag = by_uri(&variable.node, uris).map(|node| {
        let mut tag = Tag::default();
        if !variable.description.is_empty() {
            tag.note(variable.description.clone());
        }
        tag.text("name", path(&variable, names));
        tag.text("node", node);
        tag
    });
    Row::new(place, tag)
}

/// The node id with its namespace's URI in place of the file's index; index 0 is OPC UA's own.
fn by_uri(node: &str, uris: &[String]) -> Result<String, String> {
    let Some(rest) = node.strip_prefix("ns=") else {
        return Err("a node of OPC UA's own namespace".to_owned());
    };
    let (index, identifier) = rest
        .split_once(';')
        .ok_or_else(|| format!("its node id {node:?} cannot be read"))?;
    let uri = index
        .parse::<usize>()
        .ok()
        .and_then(|index| uris.get(index.checked_sub(1)?))
        .ok_or_else(|| format!("namespace {index} is not among the file's NamespaceUris"))?;
    Ok(format!("nsu={uri};{identifier}"))
}

/// The browse names from the model's root down to the variable.
fn path(variable: &Variable, names: &BTreeMap<String, (String, Option<String>)>) -> String {
    let mut path = vec![variable.browse_name.clone()];
    let mut parent = variable.parent.clone();
    // Each step is one of the file's nodes; one that comes round is left where it began.
    for _ in 0..names.len() {
        let Some((name, next)) = parent.as_ref().and_then(|node| names.get(node)) else {
            break;
        };
        path.push(name.clone());
        parent = next.clone();
    }
    path.reverse();
    path.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    #[test]
    fn variables_are_named_by_their_path_and_their_namespaces_uri() {
        let list = r#"<?xml version="1.0" encoding="utf-8"?>
            <UANodeSet xmlns="http://opcfoundation.org/UA/2011/03/UANodeSet.xsd">
              <NamespaceUris><Uri>urn:example:pumps</Uri></NamespaceUris>
              <UAObject NodeId="ns=1;i=5001" BrowseName="1:Pump &quot;1&quot;"><DisplayName>P</DisplayName></UAObject>
              <UAVariable NodeId="ns=1;i=6001" BrowseName="1:Speed" ParentNodeId="ns=1;i=5001" DataType="Double">
                <DisplayName>Speed</DisplayName><Description>of the shaft &amp; fan</Description>
              </UAVariable>
              <UAVariable NodeId="i=2258" BrowseName="CurrentTime"/>
              <UAVariable NodeId="ns=3;s=x" BrowseName="3:x"/>
            </UANodeSet>"#;
        let rows = read(list).unwrap();
        let text = |row: &Row| match &row.outcome {
            Outcome::Tag(tag) => tag.toml().replace('\n', ";"),
            Outcome::LeftOut(why) => format!("{}: {why}", row.place),
        };
        assert_eq!(
            rows.iter().map(text).collect::<Vec<_>>(),
            [
                "[[connector.tag]];# of the shaft & fan;name = \"Pump \\\"1\\\"/Speed\";node = \"nsu=urn:example:pumps;i=6001\";",
                "i=2258: a node of OPC UA's own namespace",
                "ns=3;s=x: namespace 3 is not among the file's NamespaceUris",
            ]
        );
        assert!(matches!(read("<a><b></a>"), Err(TagsError::Xml { .. })));
    }
}
