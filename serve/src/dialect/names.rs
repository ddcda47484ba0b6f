//! Names of columns, as PostgreSQL gives them where the engine would refuse the statement or show its own.
//!
//! The engine wants distinct names. A column whose name another has already gets a mark and a number behind it, which
//! PostgreSQL's clients never see ([`shown`]): to them several columns may have one name. Over HTTP they are told apart ([`distinct`]).

use std::{collections::HashMap, convert::Infallible, ops::ControlFlow, sync::Arc};

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Select, SelectItem, Statement, VisitMut as _, VisitorMut,
    helpers::attached_token::AttachedToken,
};

/// Stands between a name and its number.
const MARK: char = '\u{1}';
/// What the compatibility parser puts before the name of a column beside `*`.
const BESIDE_WILDCARD: &str = "__alias_";

/// Gives columns names: casts of columns theirs, and repeated ones distinct ones. In statements about the catalogs, which
/// clients write as they have always been answered, only repeated ones.
pub(super) fn name_columns(statement: &mut Statement, is_of_catalogs: bool) {
    // Nothing breaks off the visit.
    let _all = statement.visit(&mut Columns { is_of_catalogs });
}

struct Columns {
    is_of_catalogs: bool,
}

impl VisitorMut for Columns {
    type Break = Infallible;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Infallible> {
        let is_wildcard = |item: &SelectItem| {
            matches!(
                item,
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
            )
        };
        let has_wildcard = select.projection.iter().any(is_wildcard);
        let mut taken = Taken::default();
        for at in 0..select.projection.len() {
            let cast = match &select.projection[at] {
                SelectItem::UnnamedExpr(expr) if !self.is_of_catalogs => cast_column(expr),
                _ => None,
            };
            let Some(own) = cast
                .clone()
                .map(Own::Plain)
                .or_else(|| own(&select.projection[at]))
            else {
                continue;
            };
            // What a wildcard stands for is not known here; a column that is cast is one of it as a rule.
            let is_beside = has_wildcard && cast.is_some();
            match (taken.take(own, at), cast) {
                (None, Some(name)) if !is_beside => alias(&mut select.projection[at], name),
                (None, None) => {}
                (first, _) => {
                    let name = name(&select.projection[at]);
                    let number = taken.next_number();
                    alias(&mut select.projection[at], format!("{name}{MARK}{number}"));
                    if let Some(first) = first {
                        name_first(&mut select.projection[first]);
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// The first of repeated expressions gets PostgreSQL's name too.
fn name_first(item: &mut SelectItem) {
    if let SelectItem::UnnamedExpr(expr) = &*item
        && column(unnested(expr)).is_none()
    {
        let name = name(item);
        alias(item, name);
    }
}

fn alias(item: &mut SelectItem, name: String) {
    if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = &*item {
        let expr = expr.clone();
        let alias = Ident::with_quote('"', name);
        *item = SelectItem::ExprWithAlias { expr, alias };
    }
}

/// What a column's name is to the engine.
enum Own {
    /// An alias, or a column without its table.
    Plain(String),
    /// A column with its table, and its last part.
    Qualified(String, String),
    /// What is written, casts left out.
    Text(String),
}

fn own(item: &SelectItem) -> Option<Own> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(Own::Plain(folded(alias))),
        SelectItem::UnnamedExpr(expr) => Some(match unnested(expr) {
            Expr::Identifier(name) => Own::Plain(folded(name)),
            expr => match column(expr) {
                Some(last) => Own::Qualified(text(expr), folded(last)),
                None => Own::Text(text(expr)),
            },
        }),
        _ => None,
    }
}

/// The names of the columns before, each with the place of its first.
#[derive(Default)]
struct Taken {
    plain: HashMap<String, usize>,
    last: HashMap<String, usize>,
    written: HashMap<String, usize>,
    repeated: usize,
}

impl Taken {
    /// Takes a name; where another column has it, the place of that one.
    fn take(&mut self, own: Own, at: usize) -> Option<usize> {
        match own {
            Own::Plain(name) => {
                let last = self.last.get(&name).copied();
                first_of(&mut self.plain, name, at).or(last)
            }
            Own::Qualified(text, last) => {
                let plain = self.plain.get(&last).copied();
                self.last.entry(last).or_insert(at);
                first_of(&mut self.written, text, at).or(plain)
            }
            Own::Text(text) => first_of(&mut self.written, text, at),
        }
    }

    /// From 2 on.
    fn next_number(&mut self) -> usize {
        self.repeated += 1;
        self.repeated + 1
    }
}

fn first_of(taken: &mut HashMap<String, usize>, name: String, at: usize) -> Option<usize> {
    let first = *taken.entry(name).or_insert(at);
    (first != at).then_some(first)
}

/// PostgreSQL's name of what the engine would name like the column within: one that is cast, or seen from a time zone.
fn cast_column(expr: &Expr) -> Option<String> {
    let mut inner = unnested(expr);
    let mut is_cast = false;
    while let Expr::Cast { expr, .. } = inner {
        is_cast = true;
        inner = unnested(expr);
    }
    match inner {
        Expr::AtTimeZone { .. } => name_of(inner),
        inner => column(inner).filter(|_| is_cast).map(folded),
    }
}

fn column(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    }
}

fn unnested(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}

/// An expression without its casts, which the engine leaves out of names.
fn text(expr: &Expr) -> String {
    let mut expr = expr.clone();
    // Nothing breaks off the visit.
    let _all = expr.visit(&mut WithoutCasts);
    expr.to_string().to_ascii_lowercase()
}

struct WithoutCasts;

impl VisitorMut for WithoutCasts {
    type Break = Infallible;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Infallible> {
        if let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
            *expr = std::mem::replace(inner.as_mut(), Expr::Wildcard(AttachedToken::empty()));
        }
        ControlFlow::Continue(())
    }
}

/// PostgreSQL's name of a column.
fn name(item: &SelectItem) -> String {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => folded(alias),
        SelectItem::UnnamedExpr(expr) => name_of(expr).unwrap_or_else(|| "?column?".to_owned()),
        _ => "?column?".to_owned(),
    }
}

fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => name_of(inner),
        Expr::Cast {
            expr, data_type, ..
        } => name_of(expr).or_else(|| Some(data_type.to_string().to_ascii_lowercase())),
        Expr::TypedString(typed) => Some(typed.data_type.to_string().to_ascii_lowercase()),
        Expr::Function(function) => function.name.0.last()?.as_ident().map(folded),
        Expr::AtTimeZone { .. } => Some("timezone".to_owned()),
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Case { .. } => Some("case".to_owned()),
        Expr::Array(_) => Some("array".to_owned()),
        Expr::Substring { .. } => Some("substring".to_owned()),
        Expr::Trim { .. } => Some("btrim".to_owned()),
        Expr::Ceil { .. } => Some("ceil".to_owned()),
        Expr::Floor { .. } => Some("floor".to_owned()),
        expr => column(expr).map(folded),
    }
}

/// The columns as PostgreSQL's clients see them: several may have one name.
pub(crate) fn shown(schema: &Schema) -> Schema {
    renamed(schema, |name| {
        let name = name.split_once(MARK).map_or(name, |(name, _)| name);
        name.strip_prefix(BESIDE_WILDCARD)
            .unwrap_or(name)
            .to_owned()
    })
}

/// The columns with names that are told apart: the second `value` is `value_2`.
pub(crate) fn distinct(schema: &SchemaRef) -> SchemaRef {
    let is_marked = |field: &Arc<Field>| field.name().contains(MARK);
    if !schema.fields().iter().any(is_marked) {
        return schema.clone();
    }
    Arc::new(renamed(schema, |name| name.replace(MARK, "_")))
}

fn renamed(schema: &Schema, name: impl Fn(&str) -> String) -> Schema {
    let fields = schema.fields().iter();
    let fields: Vec<Field> = fields
        .map(|field| field.as_ref().clone().with_name(name(field.name())))
        .collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}
