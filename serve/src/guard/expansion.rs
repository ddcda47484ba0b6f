//! What the names in a statement stand for, written out.
//!
//! A common table expression that is selected from twice by one that is selected from twice doubles with each step, and the
//! planner walks through what it has made so far at each of them: [`super::size`] sees the plan too late. The mentions of
//! tables are therefore counted in the parsed statement, each as often as it will be planned.

use std::{
    collections::{HashMap, VecDeque},
    ops::ControlFlow,
};

use datafusion::sql::sqlparser::ast::{Cte, ObjectName, Query, Statement, Visit, Visitor};

use crate::error::QueryError;

/// The tables and queries of a statement, each counted as often as it is mentioned.
const MENTIONS_MAX: usize = 4_000;

/// Whether planning a statement is bounded work.
pub(crate) fn check_expansion(statement: &Statement) -> Result<(), QueryError> {
    let mut expansion = Expansion::default();
    match statement.visit(&mut expansion) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => {
            let why = format!(
                "more than {MENTIONS_MAX} tables and queries when its WITHs are written out"
            );
            Err(QueryError::TooComplex(why))
        }
    }
}

#[derive(Default)]
struct Expansion {
    mentions: usize,
    /// What each common table expression stands for. Names are not told apart by where they hold: of several expressions
    /// with one name, the largest counts.
    sizes: HashMap<String, usize>,
    open: Vec<OpenQuery>,
}

/// A query that is being counted.
struct OpenQuery {
    /// The mentions before it.
    before: usize,
    /// The names of its common table expressions that are still to come: they are its first queries.
    names: VecDeque<String>,
}

impl Expansion {
    fn add(&mut self, mentions: usize) -> ControlFlow<()> {
        self.mentions += mentions;
        if self.mentions > MENTIONS_MAX {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Expansion {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.open.push(OpenQuery {
            before: self.mentions,
            names: ctes.map(name).collect(),
        });
        self.add(1)
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        let Some(ended) = self.open.pop() else {
            return ControlFlow::Continue(());
        };
        let parent = self.open.last_mut();
        if let Some(name) = parent.and_then(|parent| parent.names.pop_front()) {
            let size = self.sizes.entry(name).or_default();
            *size = (self.mentions - ended.before).max(*size);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = relation.to_string().replace('"', "").to_lowercase();
        let size = self.sizes.get(&name).copied();
        self.add(size.unwrap_or(1))
    }
}

fn name(cte: &Cte) -> String {
    cte.alias.name.value.to_lowercase()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::{dialect::PostgreSqlDialect, parser::Parser};

    use super::*;

    fn mentions(sql: &str) -> Option<usize> {
        let parsed = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap();
        let mut expansion = Expansion::default();
        let counted = parsed[0].visit(&mut expansion);
        counted.is_continue().then_some(expansion.mentions)
    }

    #[test]
    fn each_mention_of_an_expression_counts_as_all_that_it_stands_for() {
        for (sql, counted) in [
            ("SELECT 1", 1),
            ("SELECT * FROM a, b WHERE x IN (SELECT y FROM c)", 5),
            // The expression itself, and each of its two mentions.
            (
                "WITH a AS (SELECT * FROM t) SELECT * FROM a, \"A\" b",
                1 + 2 + 2 + 2,
            ),
            (
                "WITH a AS (SELECT * FROM t), b AS (SELECT * FROM a, a) SELECT * FROM b",
                1 + 2 + 5 + 5,
            ),
            // Its own name in a recursive one is no mention of what is not yet counted.
            (
                "WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT * FROM a) SELECT * FROM a",
                1 + 2 + 2,
            ),
            // A smaller one of the same name hides nothing.
            (
                "WITH a AS (SELECT * FROM t, u) SELECT * FROM (WITH a AS (SELECT 1) SELECT 2) x, a",
                1 + 3 + 2 + 3,
            ),
        ] {
            assert_eq!(mentions(sql), Some(counted), "{sql}");
        }
    }

    #[test]
    fn what_doubles_with_each_expression_is_refused() {
        let cte = |n: usize| format!("c{n} AS (SELECT a.x FROM c{} a, c{} b)", n - 1, n - 1);
        let ctes: Vec<_> = (1..=40).map(cte).collect();
        let ctes = ctes.join(", ");
        let sql = format!("WITH c0 AS (SELECT x FROM t), {ctes} SELECT 1 FROM c40");
        assert_eq!(mentions(&sql), None);
    }
}
