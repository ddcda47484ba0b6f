//! What is not even parsed or planned: statements that are too long or too nested, and statements that would change
//! something.
//!
//! Parsing, planning and evaluating recurse. How deep they can go is bounded here, before anything recurses: by the number
//! of tokens that can nest, and by the depth of parentheses. The threads that do it have stacks for that depth
//! ([`crate::server`]). No time-out interrupts parsing and planning, so their work is bounded too ([`effort`],
//! [`expansion`], [`size`]), and so is what a statement makes each of its rows repeat ([`constants`]).

mod constants;
mod effort;
mod expansion;
mod gathered;
mod size;

use datafusion::{
    error::DataFusionError,
    execution::context::SQLOptions,
    logical_expr::{ExplainFormat, LogicalPlan},
    sql::sqlparser::{
        dialect::PostgreSqlDialect,
        keywords::Keyword,
        tokenizer::{Token, Tokenizer},
    },
};

use crate::error::QueryError;
pub(crate) use constants::check_constants;
pub(crate) use expansion::check_expansion;
pub(crate) use size::check_size;

/// The longest statement.
pub(crate) const STATEMENT_BYTES_MAX: usize = 256 << 10;
/// The most tokens that can make a statement deeper: operators, keywords, parentheses.
pub(crate) const NESTING_TOKENS_MAX: usize = 1_000;
/// The longest text of a statement in a log line.
const SHOWN_CHARS_MAX: usize = 300;

/// A statement's tokens, if they may be parsed.
pub(crate) fn check_text(sql: &str) -> Result<Vec<Token>, QueryError> {
    if sql.len() > STATEMENT_BYTES_MAX {
        let why = format!("{} bytes, more than {STATEMENT_BYTES_MAX}", sql.len());
        return Err(QueryError::TooComplex(why));
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize();
    let tokens = tokens.map_err(|error| QueryError::Syntax(error.to_string()))?;
    let nesting = tokens.iter().filter(|token| can_nest(token)).count();
    if nesting > NESTING_TOKENS_MAX {
        let why = format!(
            "{nesting} operators, keywords and parentheses, more than {NESTING_TOKENS_MAX}"
        );
        return Err(QueryError::TooComplex(why));
    }
    effort::check_effort(&tokens)?;
    Ok(tokens)
}

fn can_nest(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword && word.quote_style.is_none(),
        Token::Whitespace(_) | Token::Comma | Token::Period | Token::SemiColon | Token::EOF => {
            false
        }
        Token::Number(..) | Token::Placeholder(_) => false,
        token => !is_text(token),
    }
}

fn is_text(token: &Token) -> bool {
    matches!(
        token,
        Token::SingleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::SingleQuotedByteStringLiteral(_)
    )
}

/// A statement for the log: cut, and with `?` for its constants, which may be anything.
pub(crate) fn shown(tokens: &[Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        match token {
            Token::Whitespace(_) if text.ends_with(' ') => {}
            Token::Whitespace(_) => text.push(' '),
            Token::Number(..) => text.push('?'),
            token if is_text(token) => text.push('?'),
            token => text.push_str(&token.to_string()),
        }
        if text.chars().count() > SHOWN_CHARS_MAX {
            let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            return format!("{cut}…");
        }
    }
    text.trim().to_owned()
}

/// Whether a plan only reads. Its size is to be checked before ([`check_size`]).
pub(crate) fn check_plan(plan: &LogicalPlan, sees_all: SeesAll) -> Result<(), QueryError> {
    let reading_only = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    reading_only.verify_plan(plan).map_err(refused)?;
    gathered::check_gathered(plan)?;
    match sees_all {
        SeesAll::Yes => Ok(()),
        SeesAll::No => check_explain(plan),
    }
}

/// Whether an `EXPLAIN` shows no more than the statement itself does.
fn check_explain(plan: &LogicalPlan) -> Result<(), QueryError> {
    let why = match plan {
        // Its counts are of all rows that were read, also those that are dropped.
        LogicalPlan::Analyze(_) => {
            "EXPLAIN ANALYZE is for users of all sites: it counts rows before they are dropped"
        }
        LogicalPlan::Explain(explain)
            if explain.verbose || explain.explain_format != ExplainFormat::Indent =>
        {
            "EXPLAIN VERBOSE and FORMAT are for users of all sites: they show files and counts of all rows"
        }
        _ => return Ok(()),
    };
    Err(QueryError::NotSupported(why.into()))
}

fn refused(error: DataFusionError) -> QueryError {
    let text = error.strip_backtrace();
    let what = text.split(": ").last().unwrap_or("the statement");
    QueryError::ReadOnly(what.to_owned())
}

/// Whether a user sees the rows of all sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeesAll {
    /// All rows.
    Yes,
    /// Some sites' rows.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_bounded_before_anything_recurses() {
        let sum = |terms: usize| format!("SELECT 1{}", "+1".repeat(terms));
        assert!(check_text(&sum(NESTING_TOKENS_MAX - 1)).is_ok());
        for sql in [
            sum(NESTING_TOKENS_MAX),
            format!("SELECT {}1", "NOT ".repeat(NESTING_TOKENS_MAX)),
            format!("SELECT {}1{}", "(".repeat(600), ")".repeat(600)),
            format!("SELECT a{}", "[1]".repeat(600)),
            format!("SELECT 1 {}", "UNION SELECT 1 ".repeat(600)),
        ] {
            assert!(
                matches!(check_text(&sql), Err(QueryError::TooComplex(_))),
                "{}",
                &sql[..40]
            );
        }
        // A dashboard's long list of series does not nest.
        let list = vec!["'tag'"; 20_000].join(",");
        assert!(check_text(&format!("SELECT 1 WHERE a IN ({list})")).is_ok());
        let long = format!("SELECT '{}'", "x".repeat(STATEMENT_BYTES_MAX));
        assert!(matches!(check_text(&long), Err(QueryError::TooComplex(_))));
    }

    #[test]
    fn the_log_shows_no_constant() {
        let show = |sql: &str| shown(&check_text(sql).unwrap());
        assert_eq!(
            show("SELECT  value\nFROM readings WHERE tag = 'secret' AND value > 3.5 AND x = $1"),
            "SELECT value FROM readings WHERE tag = ? AND value > ? AND x = $1"
        );
        assert_eq!(show("SELECT E'a\\'b', $$c$$, X'ff'"), "SELECT ?, ?, ?");
        let long = show(&format!("SELECT {}", "abcdefgh, ".repeat(100)));
        assert_eq!(long.chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
