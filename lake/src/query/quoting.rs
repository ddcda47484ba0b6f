//! What a statement that does not parse may lack: columns named like words of SQL want double quotes.

use datafusion::sql::sqlparser::{
    dialect::GenericDialect,
    keywords::{Keyword, RESERVED_FOR_COLUMN_ALIAS},
    tokenizer::{Token, Tokenizer, Word},
};
use forebay_schemas::table::TABLES;

/// For a statement that does not parse: names a column of the lake that stands in it as a word of SQL, such as `limit` behind a
/// comma.
pub fn quoting_hint(sql: &str) -> Option<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().ok()?;
    let tokens: Vec<Token> = tokens
        .into_iter()
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    let mut places = 0..tokens.len();
    let name = places.find_map(|place| {
        let word = reserved(&tokens[place])?;
        let before = place.checked_sub(1).and_then(|before| tokens.get(before));
        let next = tokens.get(place + 1);
        let is_in_a_list = before == Some(&Token::Comma) && !is_count(next);
        (is_in_a_list || ends_a_column(next)).then(|| word.to_lowercase())
    })?;
    Some(format!(
        "a column named like a word of SQL wants double quotes: \"{name}\""
    ))
}

/// The word, if it is one of SQL that cannot name a column everywhere, and names one of the lake's.
fn reserved(token: &Token) -> Option<&str> {
    let Token::Word(Word {
        value,
        quote_style: None,
        keyword,
    }) = token
    else {
        return None;
    };
    let mut columns = TABLES.iter().flat_map(|table| table.columns);
    let is_column = columns.any(|column| column.name.eq_ignore_ascii_case(value));
    (is_column && RESERVED_FOR_COLUMN_ALIAS.contains(keyword)).then_some(value)
}

/// Whether what follows a word makes it a clause also behind a comma, which is one too many.
fn is_count(next: Option<&Token>) -> bool {
    matches!(next, Some(Token::Number(..) | Token::Placeholder(_)))
}

/// Whether what follows a word says that a column ended there: a clause would go on with a number.
fn ends_a_column(next: Option<&Token>) -> bool {
    match next {
        Some(Token::Comma) => true,
        Some(Token::Word(word)) => word.keyword == Keyword::FROM,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_passes_for_a_clause_is_named() {
        for (sql, named) in [
            ("select why, offset from quarantine", Some("offset")),
            ("SELECT why, OFFSET, at FROM quarantine", Some("offset")),
            ("select score, limit\nfrom scores limit 3", Some("limit")),
            ("select score limit from scores", Some("limit")),
            ("select score, \"limit\" from scores limit 3", None),
            ("select score form scores limit 3 offset 4", None),
            ("select why from quarantine order by at, limit 10", None),
            ("select why from quarantine order by at, LIMIT $1", None),
            ("select why from quarantine order by at, offset ?", None),
            ("select 'a, limit from' form scores", None),
            ("select rows, state form windows", None),
            ("select 'unclosed, limit", None),
        ] {
            let hint = quoting_hint(sql);
            let expected = named.map(|name| {
                format!("a column named like a word of SQL wants double quotes: \"{name}\"")
            });
            assert_eq!(hint, expected, "{sql}");
        }
    }
}
