//! A question about `readings` that a roll-up may answer.

use arrow::datatypes::DataType;
use datafusion::{
    common::TableReference,
    logical_expr::{
        Aggregate, BinaryExpr, Expr, LogicalPlan, Operator, TableScan,
        expr::{AggregateFunction, AggregateFunctionParams, InList},
        utils::split_conjunction_owned,
    },
};
use forebay_schemas::table::READINGS;

use super::{
    bins::is_one_within,
    expressions::{NAMES, TIME, VALUE, is_column},
    filters::Filters,
};

/// What is asked of the values of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Mean,
    Sum,
    Min,
    Max,
    Count,
    /// The value of the latest reading.
    Last,
}

/// An aggregate over readings, as the rule understands it.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) aggregate: &'a Aggregate,
    /// The table, with its alias if it has one.
    pub(super) base: &'a LogicalPlan,
    /// How its columns are qualified.
    pub(super) qualifier: TableReference,
    /// The conditions as they stand there.
    pub(super) conditions: Vec<Expr>,
    pub(super) filters: Filters,
    /// Of each aggregate.
    pub(super) wanted: Vec<Wanted>,
}

impl<'a> Question<'a> {
    /// `None` for any other aggregate.
    pub(super) fn of(aggregate: &'a Aggregate) -> Option<Self> {
        let mut conditions = Vec::new();
        let (base, qualifier) = base(&aggregate.input, &mut conditions)?;
        let filters = Filters::of(&conditions)?;
        let is_series = NAMES.iter().all(|name| is_fixed(name, aggregate, &filters));
        let wanted = aggregate
            .aggr_expr
            .iter()
            .map(|expr| wanted(expr, is_series));
        let wanted: Vec<Wanted> = wanted.collect::<Option<_>>()?;
        // A group of readings without a number has a row, and a roll-up none.
        let has_same_groups = filters.are_numbers || aggregate.group_expr.is_empty();
        let counts_rows = (aggregate.aggr_expr.iter()).any(is_count_of_rows);
        // The last reading may be one without a number, which a roll-up passes over.
        let takes_last = wanted.contains(&Wanted::Last);
        if !has_same_groups || ((counts_rows || takes_last) && !filters.are_numbers) {
            return None;
        }
        Some(Self {
            aggregate,
            base,
            qualifier,
            conditions,
            filters,
            wanted,
        })
    }

    /// Whether the groups are made of whole stretches of this length in µs.
    pub(super) fn fits(&self, step: i64) -> bool {
        let mut groups = self.aggregate.group_expr.iter();
        groups.all(|group| is_one_within(group, step))
    }
}

/// The scan of `readings` below filters, the conditions of which are added, and its qualifier.
fn base<'a>(
    plan: &'a LogicalPlan,
    conditions: &mut Vec<Expr>,
) -> Option<(&'a LogicalPlan, TableReference)> {
    match plan {
        LogicalPlan::Filter(filter) => {
            conditions.extend(split_conjunction_owned(filter.predicate.clone()));
            base(&filter.input, conditions)
        }
        LogicalPlan::SubqueryAlias(alias) => match alias.input.as_ref() {
            LogicalPlan::TableScan(scan) if is_readings(scan) => Some((plan, alias.alias.clone())),
            _ => None,
        },
        LogicalPlan::TableScan(scan) if is_readings(scan) => Some((plan, scan.table_name.clone())),
        _ => None,
    }
}

/// Only tables have scans, and of that name there is one.
fn is_readings(scan: &TableScan) -> bool {
    scan.table_name.table() == READINGS.name
        && matches!(scan.table_name.schema(), None | Some("public"))
        && scan.projection.is_none()
        && scan.filters.is_empty()
        && scan.fetch.is_none()
}

/// Whether a name is the same for all readings of a group.
fn is_fixed(name: &str, aggregate: &Aggregate, filters: &Filters) -> bool {
    let is_constant = |condition: &Expr| match condition {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) => {
            (is_column(left, name) && matches!(**right, Expr::Literal(..)))
                || (is_column(right, name) && matches!(**left, Expr::Literal(..)))
        }
        Expr::InList(InList {
            expr,
            list,
            negated: false,
        }) => is_column(expr, name) && matches!(list.as_slice(), [Expr::Literal(..)]),
        _ => false,
    };
    aggregate
        .group_expr
        .iter()
        .any(|group| is_column(group, name))
        || filters.names.iter().any(is_constant)
}

fn wanted(expr: &Expr, is_series: bool) -> Option<Wanted> {
    let call = call(expr)?;
    let AggregateFunctionParams {
        args,
        distinct: false,
        filter: None,
        order_by,
        null_treatment: None,
    } = &call.params
    else {
        return None;
    };
    let [argument] = args.as_slice() else {
        return None;
    };
    let is_value = is_column(argument, VALUE);
    match (call.func.name(), order_by.as_slice()) {
        ("avg", []) if is_value => Some(Wanted::Mean),
        ("sum", []) if is_value => Some(Wanted::Sum),
        ("min", []) if is_value => Some(Wanted::Min),
        ("max", []) if is_value => Some(Wanted::Max),
        ("count", []) if is_value || is_count_of_rows(expr) => Some(Wanted::Count),
        ("last_value", [order]) if is_value && is_series && order.asc => {
            is_column(&order.expr, TIME).then_some(Wanted::Last)
        }
        ("first_value", [order]) if is_value && is_series && !order.asc => {
            is_column(&order.expr, TIME).then_some(Wanted::Last)
        }
        _ => None,
    }
}

/// The call of an aggregate, without its alias.
pub(super) fn call(expr: &Expr) -> Option<&AggregateFunction> {
    match expr {
        Expr::Alias(alias) => call(&alias.expr),
        Expr::AggregateFunction(call) => Some(call),
        _ => None,
    }
}

/// `count(*)`, which is a count of a constant.
fn is_count_of_rows(expr: &Expr) -> bool {
    let Some(call) = call(expr) else { return false };
    let [Expr::Literal(constant, _)] = call.params.args.as_slice() else {
        return false;
    };
    call.func.name() == "count" && !constant.is_null() && constant.data_type() != DataType::Null
}
