//! What PostgreSQL's clients write and the engine takes otherwise, or not at all.
//!
//! Three steps, each where it knows enough: the text before the compatibility parser, which would split array literals at
//! every comma ([`prepared`]); the parsed statement ([`checked`]); and the plan, whose expressions have types
//! ([`typed`]). What cannot be answered as PostgreSQL answers it is refused: no answer is better than a wrong one.

pub(crate) mod arrays;
pub(crate) mod names;
pub(crate) mod times;

use std::{borrow::Cow, convert::Infallible, ops::ControlFlow};

use datafusion::{
    common::{
        DFSchema, Result,
        tree_node::{Transformed, TreeNode as _},
    },
    logical_expr::{Expr as EngineExpr, LogicalPlan, expr_rewriter::NamePreserver},
    sql::sqlparser::{
        ast::{
            Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Select,
            SelectItem, SetExpr, Statement, TableFactor, Value, VisitMut as _, VisitorMut,
        },
        dialect::PostgreSqlDialect,
        keywords::Keyword,
        parser::Parser,
        tokenizer::Token,
    },
};

use crate::error::QueryError;
use times::Zone;

/// How the names of PostgreSQL's own catalogs begin.
const CATALOG_NAMES: [&str; 2] = ["pg_", "information_schema"];

/// A statement's text as the compatibility parser may have it.
///
/// # Errors
/// For an array literal that is malformed.
pub(crate) fn prepared<'a>(sql: &'a str, tokens: &[Token]) -> Result<Cow<'a, str>, QueryError> {
    let selects = tokens
        .iter()
        .filter(|token| is_keyword(token, Keyword::SELECT))
        .count();
    let has_arrays = tokens.iter().any(arrays::may_be_array);
    // What clients ask of the catalogs is known to the parser by its tokens.
    if (selects < 2 && !has_arrays) || speaks_of_catalogs(tokens) {
        return Ok(Cow::Borrowed(sql));
    }
    // What does not parse is for the parser itself to refuse.
    let Ok(mut statements) = Parser::parse_sql(&PostgreSqlDialect {}, sql) else {
        return Ok(Cow::Borrowed(sql));
    };
    for statement in &mut statements {
        arrays::write_out(statement)?;
        // Nothing breaks off the visit.
        let _all = statement.visit(&mut KeptSubqueries);
    }
    let texts: Vec<String> = statements.iter().map(ToString::to_string).collect();
    Ok(Cow::Owned(texts.join("; ")))
}

/// Gives repeated columns their names, and refuses what would be ignored.
///
/// # Errors
/// For what the engine would take and answer with something else.
pub(crate) fn checked(statement: &mut Statement, tokens: &[Token]) -> Result<(), QueryError> {
    if let ControlFlow::Break(why) = statement.visit(&mut Ignored) {
        return Err(QueryError::NotSupported(why.into()));
    }
    names::name_columns(statement, speaks_of_catalogs(tokens));
    Ok(())
}

/// The plan with texts read as the types beside them have it.
///
/// # Errors
/// For a text that is no time in the zone, and for a text that would become an array of one.
pub(crate) fn typed(plan: LogicalPlan, zone: &Zone) -> Result<LogicalPlan> {
    let typed = plan.transform_up_with_subqueries(|step| typed_step(step, zone))?;
    Ok(typed.data)
}

fn typed_step(step: LogicalPlan, zone: &Zone) -> Result<Transformed<LogicalPlan>> {
    let mut schema = DFSchema::empty();
    for input in step.inputs() {
        schema.merge(input.schema());
    }
    let names = NamePreserver::new(&step);
    let typed = step.map_expressions(|expr| {
        let name = names.save(&expr);
        let typed = expr.transform_up(|expr| typed_expr(expr, &schema, zone))?;
        Ok(typed.update_data(|expr| name.restore(expr)))
    })?;
    if !typed.transformed {
        return Ok(typed);
    }
    typed.map_data(LogicalPlan::recompute_schema)
}

fn typed_expr(expr: EngineExpr, schema: &DFSchema, zone: &Zone) -> Result<Transformed<EngineExpr>> {
    let timed = times::typed(expr, schema, zone)?;
    let arrays = arrays::typed(timed.data, schema)?;
    Ok(Transformed::new_transformed(
        arrays.data,
        timed.transformed || arrays.transformed,
    ))
}

fn speaks_of_catalogs(tokens: &[Token]) -> bool {
    tokens.iter().any(|token| match token {
        Token::Word(word) => {
            let name = word.value.to_ascii_lowercase();
            CATALOG_NAMES
                .iter()
                .any(|catalog| name.starts_with(catalog))
        }
        _ => false,
    })
}

fn is_keyword(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.keyword == keyword && word.quote_style.is_none())
}

/// The compatibility parser makes nulls of subqueries among the columns that it takes for correlated ones, and gives the others a
/// `LIMIT 1`. Within parentheses it leaves them to the engine, which answers or refuses them.
struct KeptSubqueries;

impl VisitorMut for KeptSubqueries {
    type Break = Infallible;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Infallible> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            keep_subqueries(select);
        }
        ControlFlow::Continue(())
    }
}

fn keep_subqueries(select: &mut Select) {
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
            continue;
        };
        if matches!(expr, Expr::Subquery(_)) {
            *expr = Expr::Nested(Box::new(expr.clone()));
        }
    }
}

/// Finds what the engine would take and ignore.
struct Ignored;

impl VisitorMut for Ignored {
    type Break = &'static str;

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<&'static str> {
        match table {
            TableFactor::Table {
                sample: Some(_), ..
            }
            | TableFactor::Derived {
                sample: Some(_), ..
            } => ControlFlow::Break("TABLESAMPLE is not supported"),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<&'static str> {
        match expr {
            Expr::Function(function) if has_foreign_format(function) => ControlFlow::Break(
                "to_char takes formats such as '%Y-%m-%d %H:%M:%S', not such as 'YYYY-MM-DD'",
            ),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Whether a call of `to_char` would show its format instead of a time.
fn has_foreign_format(function: &Function) -> bool {
    if !function.name.to_string().eq_ignore_ascii_case("to_char") {
        return false;
    }
    let FunctionArguments::List(list) = &function.args else {
        return false;
    };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(format)))) = list.args.get(1)
    else {
        return false;
    };
    matches!(&format.value, Value::SingleQuotedString(text) if !text.contains('%'))
}
