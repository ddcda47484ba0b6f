//! Answers questions about `readings` from their roll-ups, where the answer is the same
//! ([ADR 0041](../../docs/adr/0041-roll-ups-answer-for-readings.md)).
//!
//! It is a rule of the optimizer: an aggregate over a scan of `readings` becomes the same aggregate over rows of a roll-up, where
//! those are known to be of all readings, and over readings elsewhere. Both are the tables of the user's session, so a user sees
//! no row that the user would not see otherwise.
//!
//! Invariant: the rule takes a question only whole. Whatever it does not know (a filter, a function, a column) leaves the plan as
//! it is.

mod bins;
mod expressions;
mod filters;
mod parts;
mod question;
mod rewrite;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::{
    catalog::TableProvider,
    common::{Result, tree_node::Transformed},
    logical_expr::{Aggregate, LogicalPlan},
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};
use forebay_lake::RollupCover;
use forebay_schemas::table::{READINGS_1H, READINGS_1M, Table};

use crate::sites::SiteSet;
use parts::Parts;
use question::Question;

/// After this rule constants are constants.
const BEHIND: &str = "simplify_expressions";

/// The columns of a roll-up without which it answers nothing.
const NEEDED: [&str; 9] = [
    "site",
    "device",
    "tag",
    "time_start",
    "min",
    "max",
    "mean",
    "last",
    "count",
];

/// The roll-ups, the longest first, with their lengths in µs.
const LEVELS: [(&Table, i64); 2] = [(&READINGS_1H, 3_600_000_000), (&READINGS_1M, 60_000_000)];

/// A roll-up as a user sees it.
#[derive(Debug, Clone)]
struct Level {
    table: &'static Table,
    /// How long the time of a row is, µs.
    step: i64,
    provider: Arc<dyn TableProvider>,
}

/// The rule, for one statement.
#[derive(Debug)]
struct FromRollups {
    cover: Arc<RollupCover>,
    sites: SiteSet,
    /// The longest first.
    levels: Vec<Level>,
}

/// These rules of the optimizer with this one among them, for a user of these sites and tables.
pub(crate) fn rules(
    others: &[Arc<dyn OptimizerRule + Send + Sync>],
    cover: &Arc<RollupCover>,
    sites: &SiteSet,
    tables: &[(String, Arc<dyn TableProvider>)],
) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = others.to_vec();
    let levels: Vec<Level> = LEVELS
        .iter()
        .filter_map(|level| known(level, tables))
        .collect();
    if cover.is_empty() || levels.is_empty() {
        return rules;
    }
    let at = rules.iter().position(|rule| rule.name() == BEHIND);
    let rule = FromRollups {
        cover: cover.clone(),
        sites: sites.clone(),
        levels,
    };
    rules.insert(at.map_or(0, |at| at + 1), Arc::new(rule));
    rules
}

/// A roll-up, if the user has all of its columns that count.
fn known(
    (table, step): &(&'static Table, i64),
    tables: &[(String, Arc<dyn TableProvider>)],
) -> Option<Level> {
    let (_, provider) = tables.iter().find(|(name, _)| name == table.name)?;
    let schema = provider.schema();
    let has = |column: &&str| schema.index_of(column).is_ok();
    NEEDED.iter().all(has).then(|| Level {
        table,
        step: *step,
        provider: provider.clone(),
    })
}

impl FromRollups {
    fn answer(&self, aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
        let Some(question) = Question::of(aggregate) else {
            return Ok(None);
        };
        for level in &self.levels {
            if !question.fits(level.step) {
                continue;
            }
            let Some(parts) = Parts::of(&question, &self.cover, &self.sites, level) else {
                continue;
            };
            return rewrite::answer(&question, level, &parts).map(Some);
        }
        Ok(None)
    }
}

impl OptimizerRule for FromRollups {
    fn name(&self) -> &str {
        "answer_from_rollups"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else {
            return Ok(Transformed::no(plan));
        };
        match self.answer(aggregate)? {
            Some(answer) => Ok(Transformed::yes(answer)),
            None => Ok(Transformed::no(plan)),
        }
    }
}
