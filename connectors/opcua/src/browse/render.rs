//! Variables as TOML.

use std::{collections::HashSet, fmt::Write};

use opcua::types::NodeId;

use super::{Browsed, Found};

/// The bit of AccessLevel that says that values can be read (Part 3, 8.57).
const READABLE: u8 = 1;
/// The bit that says that history can be read.
const WITH_HISTORY: u8 = 4;

/// The tags, each behind a line on what it is. Names are unique within the text.
pub(super) fn render(
    url: &str,
    found: &[Found],
    namespaces: &[String],
    browsed: Browsed,
) -> String {
    let Browsed {
        variables,
        visited,
        is_cut,
    } = browsed;
    let mut text = format!(
        "# {variables} variables of {url}, {visited} nodes looked at. Remove what is not needed, and put the rest\n\
         # below a [[connector]] of kind \"opcua\".\n"
    );
    if is_cut {
        text.push_str("# A limit was reached: there are more. Look for fewer with a pattern.\n");
    }
    let mut names = HashSet::new();
    for one in found {
        let mut name = one.path.join(".");
        if !names.insert(name.clone()) {
            name = format!("{name} ({})", one.node);
            names.insert(name.clone());
        }
        // Writing to a text cannot fail.
        write!(
            text,
            "\n# {}: {}\n[[connector.tag]]\nname = {}\nnode = {}\n",
            one_line(&one.path.join("/")),
            one_line(&about(one)),
            quoted(&name),
            quoted(&address(&one.node, namespaces))
        )
        .ok();
    }
    text
}

fn about(one: &Found) -> String {
    let mut parts = vec![type_name(one.data_type.as_ref())];
    if one.value_rank > 0 {
        parts.push(format!("array of {} dimensions", one.value_rank));
    }
    if !one.unit.is_empty() {
        parts.push(format!("in {} on the server", one.unit));
    }
    if one.access & READABLE == 0 {
        parts.push("not readable for this user".to_owned());
    }
    if one.access & WITH_HISTORY != 0 {
        parts.push("with history".to_owned());
    }
    parts.join(", ")
}

fn type_name(id: Option<&NodeId>) -> String {
    match id {
        None => "type unknown".to_owned(),
        Some(id) => match id.as_data_type_id() {
            Ok(known) => format!("{known:?}"),
            Err(_) => format!("type {id}"),
        },
    }
}

/// The node id with its namespace's URI, which outlives a restart of the server (Part 6, 5.3.1.11).
fn address(node: &NodeId, namespaces: &[String]) -> String {
    let text = node.to_string();
    let uri = namespaces.get(usize::from(node.namespace));
    match (node.namespace, uri, text.split_once(';')) {
        (1.., Some(uri), Some((_, rest))) if !uri.is_empty() => {
            let uri = uri.replace('%', "%25").replace(';', "%3B");
            format!("nsu={uri};{rest}")
        }
        _ => text,
    }
}

/// What a server says must not end a comment.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// A basic string of TOML 1.0.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_control() => {
                // Writing to a text cannot fail.
                write!(quoted, "\\u{:04X}", control as u32).ok();
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use opcua::types::DataTypeId;

    use super::*;

    #[test]
    fn variables_are_written_as_tags_that_a_configuration_takes() {
        let found = |path: &[&str], node: NodeId, unit: &str, access| Found {
            path: path.iter().map(|name| (*name).to_owned()).collect(),
            node,
            unit_node: None,
            unit: unit.to_owned(),
            data_type: Some(DataTypeId::Double.into()),
            value_rank: if access == 0 { 2 } else { -1 },
            access,
        };
        let found = [
            found(&["Press", "Force"], NodeId::new(1, "Force"), "kN", 5),
            found(&["Press", "Force"], NodeId::new(0, 7_u32), "", 1),
            found(&["a\n\"b\\"], NodeId::new(9, 7_u32), "", 0),
        ];
        let namespaces = [
            "http://opcfoundation.org/UA/".to_owned(),
            "urn:a;b".to_owned(),
        ];
        let browsed = Browsed {
            variables: 3,
            visited: 4,
            is_cut: true,
        };
        let expected = "# 3 variables of opc.tcp://x, 4 nodes looked at. Remove what is not needed, and put the rest\n\
            # below a [[connector]] of kind \"opcua\".\n\
            # A limit was reached: there are more. Look for fewer with a pattern.\n\
            \n# Press/Force: Double, in kN on the server, with history\n[[connector.tag]]\nname = \"Press.Force\"\n\
            node = \"nsu=urn:a%3Bb;s=Force\"\n\
            \n# Press/Force: Double\n[[connector.tag]]\nname = \"Press.Force (i=7)\"\nnode = \"i=7\"\n\
            \n# a \"b\\: Double, array of 2 dimensions, not readable for this user\n[[connector.tag]]\n\
            name = \"a\\u000A\\\"b\\\\\"\nnode = \"ns=9;i=7\"\n";
        assert_eq!(
            render("opc.tcp://x", &found, &namespaces, browsed),
            expected
        );
    }
}
