//! Our own lists: CSV with the keys of `[[connector.tag]]` as columns.

use crate::{Row, Tag, TagsError, Value};

pub(crate) fn read(text: &str) -> Result<Vec<Row>, TagsError> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let keys: Vec<String> = reader
        .headers()?
        .iter()
        .map(|key| key.trim().to_owned())
        .collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let mut tag = Tag::default();
        for (key, cell) in keys.iter().zip(&record) {
            let cell = cell.trim();
            if !key.is_empty() && !cell.is_empty() {
                tag.set(key, typed(cell));
            }
        }
        let outcome = match tag.keys.is_empty() {
            true => Err("the row is empty".to_owned()),
            false => Ok(tag),
        };
        rows.push(Row::new(format!("line {line}"), outcome));
    }
    Ok(rows)
}

/// As a person would write it in TOML. A name that looks like a number is written in quotes in the list: `"""7"""`.
fn typed(cell: &str) -> Value {
    let in_quotes = cell.strip_prefix('"').and_then(|c| c.strip_suffix('"'));
    if let Some(text) = in_quotes {
        return Value::Text(text.to_owned());
    }
    match (cell, cell.parse::<i64>(), cell.parse::<f64>()) {
        ("true", ..) => Value::Bool(true),
        ("false", ..) => Value::Bool(false),
        (_, Ok(number), _) => Value::Integer(number),
        (_, _, Ok(number)) if number.is_finite() => Value::Float(number),
        _ => Value::Text(cell.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    #[test]
    fn columns_are_keys() {
        let list = "name,register,address,type,scale,deadband\n\
                    temp,holding,100,f32,0.1,\n\
                    ,,,,,\n\
                    \"\"\"7\"\"\",coil,3,bool,,0.5\n";
        let rows = read(list).unwrap();
        let text = |row: &Row| match &row.outcome {
            Outcome::Tag(tag) => tag.toml(),
            Outcome::LeftOut(why) => why.clone(),
        };
        let texts: Vec<String> = rows.iter().map(text).collect();
        assert_eq!(
            texts,
            [
                "[[connector.tag]]\nname = \"temp\"\nregister = \"holding\"\naddress = 100\ntype = \"f32\"\nscale = 0.1\n",
                "the row is empty",
                "[[connector.tag]]\nname = \"7\"\nregister = \"coil\"\naddress = 3\ntype = \"bool\"\ndeadband = 0.5\n",
            ]
        );
        assert_eq!(rows[0].place, "line 2");
    }
}
