//! The plan that answers a question from a roll-up and from readings.
//!
//! Rows of both are brought into one form: the sum, count, lowest, highest and last of the numbers that a row is of; a reading is of
//! one. They pass for a table of the same name, so what the question groups by stays as it is written.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        Column, Result, ScalarValue, TableReference,
        tree_node::{Transformed, TreeNode as _},
    },
    datasource::provider_as_source,
    functions_aggregate::expr_fn::{max, min, sum},
    logical_expr::{
        Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias, cast,
        expr::AggregateFunction, lit, utils::conjunction, utils::disjunction, when,
    },
};

use super::{
    Level,
    expressions::{NAMES, TIME, VALUE},
    parts::{Part, Parts, Stretch},
    question::{Question, Wanted, call},
};

/// What a row is of, by column: as the rows of both tables have it, and as their groups do.
const SUM: &str = "rolled_sum";
const COUNT: &str = "rolled_count";
const MIN: &str = "rolled_min";
const MAX: &str = "rolled_max";
const LAST: &str = "rolled_last";

/// The same columns as the question's aggregate has.
pub(super) fn answer(question: &Question<'_>, level: &Level, parts: &Parts) -> Result<LogicalPlan> {
    let mut rows = from_rollup(question, level, &parts.rolled_up)?;
    if !parts.raw.is_empty() {
        rows = rows.union(from_readings(question, &parts.raw)?.build()?)?;
    }
    let rows = SubqueryAlias::try_new(Arc::new(rows.build()?), question.qualifier.clone())?;
    let rows = Arc::new(LogicalPlan::SubqueryAlias(rows));
    let groups = question.aggregate.group_expr.clone();
    let aggregate = Aggregate::try_new(rows, groups, joined(question))?;
    let aggregate = LogicalPlan::Aggregate(aggregate);
    let columns = columns(question, &aggregate)?;
    let projection = Projection::try_new(columns, Arc::new(aggregate))?;
    Ok(LogicalPlan::Projection(projection))
}

fn from_rollup(
    question: &Question<'_>,
    level: &Level,
    parts: &[Part],
) -> Result<LogicalPlanBuilder> {
    let table = TableReference::bare(level.table.name);
    let column = |name: &str| Expr::Column(Column::new(Some(table.clone()), name));
    let names = question.filters.names.iter();
    let mut conditions: Vec<Expr> = names
        .map(|condition| requalified(condition, &table))
        .collect::<Result<_>>()?;
    conditions.push(column("count").gt(lit(0_i64)));
    conditions.extend(within(parts, &column("site"), &column("time_start")));
    let sum = column("mean") * cast(column("count"), DataType::Float64);
    // Numbers without a mean are those whose sum is beyond a double. Of both signs it depends on their order what comes of readings.
    let beyond = when(column("min").gt_eq(lit(0.0)), lit(f64::INFINITY))
        .when(column("max").lt_eq(lit(0.0)), lit(f64::NEG_INFINITY))
        .otherwise(lit(f64::NAN))?;
    let sum = when(column("mean").is_null(), beyond).otherwise(sum)?;
    let mut columns: Vec<Expr> = NAMES.iter().map(|name| column(name)).collect();
    columns.extend([
        column("time_start").alias(TIME),
        sum.alias(SUM),
        column("count").alias(COUNT),
        column("min").alias(MIN),
        column("max").alias(MAX),
        column("last").alias(LAST),
    ]);
    let source = provider_as_source(level.provider.clone());
    let scan = LogicalPlanBuilder::scan(table.clone(), source, None)?;
    filtered(scan, conditions)?.project(columns)
}

fn from_readings(question: &Question<'_>, parts: &[Part]) -> Result<LogicalPlanBuilder> {
    let table = &question.qualifier;
    let column = |name: &str| Expr::Column(Column::new(Some(table.clone()), name));
    let mut conditions = question.conditions.clone();
    conditions.extend(within(parts, &column("site"), &column(TIME)));
    let count = if question.filters.are_numbers {
        lit(1_i64)
    } else {
        cast(column(VALUE).is_not_null(), DataType::Int64)
    };
    let mut columns: Vec<Expr> = NAMES.iter().map(|name| column(name)).collect();
    columns.extend([
        column(TIME),
        column(VALUE).alias(SUM),
        count.alias(COUNT),
        column(VALUE).alias(MIN),
        column(VALUE).alias(MAX),
        column(VALUE).alias(LAST),
    ]);
    let scan = LogicalPlanBuilder::from(question.base.clone());
    filtered(scan, conditions)?.project(columns)
}

fn filtered(rows: LogicalPlanBuilder, conditions: Vec<Expr>) -> Result<LogicalPlanBuilder> {
    match conjunction(conditions) {
        Some(condition) => rows.filter(condition),
        None => Ok(rows),
    }
}

/// The same condition on the columns of another table.
fn requalified(condition: &Expr, table: &TableReference) -> Result<Expr> {
    let changed = condition.clone().transform(|node| {
        Ok(match node {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new(Some(table.clone()), column.name)))
            }
            node => Transformed::no(node),
        })
    });
    changed.map(|changed| changed.data)
}

/// Of these sites at these times.
fn within(parts: &[Part], site: &Expr, time: &Expr) -> Option<Expr> {
    disjunction(parts.iter().filter_map(|part| {
        let sites = part.sites.iter().map(|site| lit(site.as_str())).collect();
        let sites = site.clone().in_list(sites, false);
        let times = part.stretches.iter().map(|stretch| at(time, *stretch));
        Some(sites.and(disjunction(times)?))
    }))
}

fn at(time: &Expr, (from, to): Stretch) -> Expr {
    let constant = |micros| {
        let zone = Some(Arc::from("UTC"));
        Expr::Literal(ScalarValue::TimestampMicrosecond(Some(micros), zone), None)
    };
    match (from, to) {
        (i64::MIN, i64::MAX) => lit(true),
        (i64::MIN, to) => time.clone().lt(constant(to)),
        (from, i64::MAX) => time.clone().gt_eq(constant(from)),
        (from, to) => {
            let from = time.clone().gt_eq(constant(from));
            from.and(time.clone().lt(constant(to)))
        }
    }
}

/// The aggregates of the rows of both tables that the question needs.
fn joined(question: &Question<'_>) -> Vec<Expr> {
    let column = |name: &str| Expr::Column(Column::new(Some(question.qualifier.clone()), name));
    let is_wanted = |some: &[Wanted]| question.wanted.iter().any(|wanted| some.contains(wanted));
    let mut joined = Vec::new();
    if is_wanted(&[Wanted::Mean, Wanted::Sum]) {
        joined.push(sum(column(SUM)).alias(SUM));
    }
    if is_wanted(&[Wanted::Mean, Wanted::Count]) {
        joined.push(sum(column(COUNT)).alias(COUNT));
    }
    if is_wanted(&[Wanted::Min]) {
        joined.push(min(column(MIN)).alias(MIN));
    }
    if is_wanted(&[Wanted::Max]) {
        joined.push(max(column(MAX)).alias(MAX));
    }
    let aggregates = question.aggregate.aggr_expr.iter().zip(&question.wanted);
    let last = aggregates.filter(|(_, wanted)| **wanted == Wanted::Last);
    // First of the latest and last of the earliest are the same.
    if let Some(last) = last.filter_map(|(expr, _)| call(expr)).next() {
        joined.push(Expr::AggregateFunction(last_of(last, column(LAST))).alias(LAST));
    }
    joined
}

fn last_of(call: &AggregateFunction, column: Expr) -> AggregateFunction {
    let mut last = call.clone();
    last.params.args = vec![column];
    last
}

/// The question's own columns, by name and type.
fn columns(question: &Question<'_>, aggregate: &LogicalPlan) -> Result<Vec<Expr>> {
    let schema = &question.aggregate.schema;
    let groups = schema.fields().len() - question.wanted.len();
    let mut columns: Vec<Expr> = (0..groups)
        .map(|place| Expr::Column(Column::from(aggregate.schema().qualified_field(place))))
        .collect();
    let number = |name: &str| Expr::Column(Column::new_unqualified(name));
    for (place, wanted) in question.wanted.iter().enumerate() {
        let (qualifier, field) = schema.qualified_field(groups + place);
        let value = match wanted {
            Wanted::Mean => number(SUM) / cast(number(COUNT), DataType::Float64),
            Wanted::Sum => number(SUM),
            Wanted::Min => number(MIN),
            Wanted::Max => number(MAX),
            // The sum of no counts is null.
            Wanted::Count => when(number(COUNT).is_null(), lit(0_i64)).otherwise(number(COUNT))?,
            Wanted::Last => number(LAST),
        };
        columns.push(value.alias_qualified(qualifier.cloned(), field.name()));
    }
    Ok(columns)
}
