//! How much work parsing a statement may be.
//!
//! The parser takes some words two ways, one after the other: what stands in a function's parentheses is parsed twice, and
//! so is what follows a `CASE` that turns out wrong. Nested, that doubles with each level, and no time-out interrupts it.
//! A statement is therefore parsed once on trial, with a dialect that counts the expressions begun and ends the trial
//! when there are too many. Nested subqueries among the tables are not expressions: their depth is bounded.

use std::{any::TypeId, cell::Cell};

use datafusion::sql::sqlparser::{
    ast::Expr,
    dialect::{Dialect, PostgreSqlDialect, Precedence},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::Token,
};

use crate::error::QueryError;

/// Expressions that the parser may begin for any statement, and for each of its tokens besides.
const EXPRESSIONS_FREE: usize = 20_000;
const EXPRESSIONS_OF_TOKEN: usize = 4;
/// The deepest parentheses, brackets and `CASE`s. The parser's own limit is 50 for some of them.
const DEPTH_MAX: usize = 48;
/// The deepest subqueries.
const SUBQUERY_DEPTH_MAX: usize = 8;
/// As deep as a statement may be whose trial failed: clients send some that only the rewriting parser knows.
const DEPTH_WITHOUT_TRIAL: usize = 10;

/// Whether a statement's parsing is bounded work.
pub(super) fn check_effort(tokens: &[Token]) -> Result<(), QueryError> {
    let depth = Depth::of(tokens);
    if depth.subqueries > SUBQUERY_DEPTH_MAX {
        let why = format!(
            "subqueries {} deep, more than {SUBQUERY_DEPTH_MAX}",
            depth.subqueries
        );
        return Err(QueryError::TooComplex(why));
    }
    if depth.all > DEPTH_MAX {
        let why = format!("nested {} deep, more than {DEPTH_MAX}", depth.all);
        return Err(QueryError::TooComplex(why));
    }
    let trial = Trial::new(EXPRESSIONS_FREE + EXPRESSIONS_OF_TOKEN * tokens.len());
    let parsed = Parser::new(&trial)
        .with_tokens(tokens.to_vec())
        .parse_statements();
    if trial.left.get() == 0 {
        let why = "nested calls and CASEs: parsing them takes too long";
        return Err(QueryError::TooComplex(why.into()));
    }
    match parsed {
        Err(error) if depth.all > DEPTH_WITHOUT_TRIAL => Err(QueryError::Syntax(error.to_string())),
        _ => Ok(()),
    }
}

/// How deep a statement's tokens nest.
#[derive(Debug, Default, PartialEq, Eq)]
struct Depth {
    all: usize,
    subqueries: usize,
}

/// What is open at a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Bracket,
    Subquery,
    Case,
}

impl Depth {
    fn of(tokens: &[Token]) -> Self {
        let mut deepest = Self::default();
        let mut open: Vec<Open> = Vec::new();
        for token in tokens {
            match token {
                Token::LParen | Token::LBracket | Token::LBrace => open.push(Open::Bracket),
                Token::RParen | Token::RBracket | Token::RBrace => {
                    // A column may be named case: what is left open within ends here.
                    while open.pop() == Some(Open::Case) {}
                }
                Token::Word(word) if word.quote_style.is_none() => follow(word.keyword, &mut open),
                _ => {}
            }
            deepest.all = deepest.all.max(open.len());
            let subqueries = open.iter().filter(|open| **open == Open::Subquery).count();
            deepest.subqueries = deepest.subqueries.max(subqueries);
        }
        deepest
    }
}

fn follow(keyword: Keyword, open: &mut Vec<Open>) {
    match keyword {
        Keyword::CASE => open.push(Open::Case),
        // A column may be named end: only a CASE ends with it.
        Keyword::END if open.last() == Some(&Open::Case) => {
            open.pop();
        }
        Keyword::SELECT | Keyword::VALUES | Keyword::TABLE => begin_subquery(open),
        Keyword::INSERT | Keyword::UPDATE | Keyword::DELETE | Keyword::MERGE => {
            begin_subquery(open);
        }
        _ => {}
    }
}

fn begin_subquery(open: &mut [Open]) {
    let bracket = open.iter_mut().rev().find(|open| **open != Open::Case);
    if let Some(bracket) = bracket {
        *bracket = Open::Subquery;
    }
}

/// PostgreSQL's dialect, for so many expressions.
#[derive(Debug)]
struct Trial {
    dialect: PostgreSqlDialect,
    left: Cell<usize>,
}

impl Trial {
    fn new(expressions_max: usize) -> Self {
        Self {
            dialect: PostgreSqlDialect {},
            left: Cell::new(expressions_max),
        }
    }
}

/// Methods of the wrapped dialect.
macro_rules! as_postgresql {
    ($($name:ident),* $(,)?) => {
        $(fn $name(&self) -> bool {
            self.dialect.$name()
        })*
    };
}

impl Dialect for Trial {
    fn dialect(&self) -> TypeId {
        self.dialect.dialect()
    }

    fn parse_prefix(&self, _: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let left = self.left.get().saturating_sub(1);
        self.left.set(left);
        // The parser tries nothing else after this error.
        (left == 0).then_some(Err(ParserError::RecursionLimitExceeded))
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        self.dialect.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, character: char) -> bool {
        self.dialect.is_delimited_identifier_start(character)
    }

    fn is_identifier_start(&self, character: char) -> bool {
        self.dialect.is_identifier_start(character)
    }

    fn is_identifier_part(&self, character: char) -> bool {
        self.dialect.is_identifier_part(character)
    }

    fn is_custom_operator_part(&self, character: char) -> bool {
        self.dialect.is_custom_operator_part(character)
    }

    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        self.dialect.is_reserved_for_identifier(keyword)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        self.dialect.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        self.dialect.prec_value(precedence)
    }

    as_postgresql!(
        supports_unicode_string_literal,
        supports_filter_during_aggregation,
        supports_group_by_expr,
        allow_extract_custom,
        allow_extract_single_quotes,
        supports_create_index_with_clause,
        supports_explain_with_utility_options,
        supports_listen_notify,
        supports_factorial_operator,
        supports_bitwise_shift_operators,
        supports_comment_on,
        supports_load_extension,
        supports_named_fn_args_with_colon_operator,
        supports_named_fn_args_with_expr_name,
        supports_empty_projections,
        supports_nested_comments,
        supports_string_escape_constant,
        supports_numeric_literal_underscores,
        supports_array_typedef_with_brackets,
        supports_geometric_types,
        supports_set_names,
        supports_alter_column_type_using,
        supports_notnull_operator,
        supports_interval_options,
        supports_insert_table_alias,
        supports_create_table_like_parenthesized,
        supports_select_wildcard_with_alias,
        supports_comma_separated_trim,
        supports_xml_expressions,
        supports_comment_optimizer_hint,
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn checked(sql: &str) -> Result<(), QueryError> {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize();
        check_effort(&tokens.unwrap())
    }

    fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    }

    #[test]
    fn what_doubles_with_each_level_is_refused_soon() {
        for expression in [
            nested("abs(", "1", ")", 40),
            nested("CASE WHEN true THEN ", "1", "", 40),
            nested("CASE WHEN true THEN ", "1", " END", 40) + " x y",
            nested("CAST(", "1", "", 40),
            nested("floor(", "1 1", ")", 40),
            nested("a IN (SELECT 1 WHERE ", "!", ")", 40),
        ] {
            let begun = Instant::now();
            let refused = checked(&format!("SELECT {expression}"));
            assert!(refused.is_err(), "{expression}");
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(2), "{expression}: {took:?}");
        }
    }

    #[test]
    fn what_people_write_passes() {
        for expression in [
            nested("coalesce(", "a", ", 0)", 8),
            nested("(", "1", ")", 40),
            nested("CASE WHEN a > 1 THEN ", "1", " ELSE 2 END", 8),
            nested("(SELECT max(a) FROM b WHERE c = ", "1", ")", 8),
        ] {
            assert_eq!(checked(&format!("SELECT {expression}")), Ok(()));
        }
        let series = vec!["'tag'"; 20_000].join(",");
        assert_eq!(checked(&format!("SELECT 1 WHERE a IN ({series})")), Ok(()));
    }

    #[test]
    fn depth_is_that_of_what_is_open() {
        let depth = |sql: &str| {
            let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize();
            Depth::of(&tokens.unwrap())
        };
        for (sql, all, subqueries) in [
            ("SELECT (1), (2)", 1, 0),
            ("SELECT * FROM ((SELECT a[1] FROM (VALUES (1)) b))", 4, 2),
            ("SELECT CASE WHEN (a) THEN 1 END, CASE b END", 2, 0),
            ("SELECT \"case\", ')', '((('", 0, 0),
            // More is counted than there is, never less.
            ("SELECT (end + (end + (end + (case) + (1))))", 5, 0),
        ] {
            assert_eq!(depth(sql), Depth { all, subqueries }, "{sql}");
        }
    }
}
