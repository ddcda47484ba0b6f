//! A table as one user sees it: without the rows of other sites, and without hidden columns.
//!
//! Invariant: nothing of a query is evaluated on a row of another site. Where the site is a partition column, the files of
//! other sites are not among the table's at all. Elsewhere the rows are dropped by a plan node that the optimizers do not
//! know, so they move no filter, limit or order below it; and of the filters that are offered to the scan only comparisons
//! of a column with constants are passed on, which can raise no error that would quote a value.

mod filter_exec;
mod leakproof;

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::Result,
    datasource::TableType,
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_plan::ExecutionPlan,
};
use forebay_lake::ViewedTable;
use forebay_schemas::table::Table;

use crate::{sites::SiteSet, user::User};
use filter_exec::SiteFilterExec;

/// The column that says whose a row is.
const SITE: &str = "site";

/// Whether a user has this table at all: one without a site belongs to all sites.
pub(crate) fn is_there(table: &Table, user: &User) -> bool {
    user.sites.is_all() || table.columns.iter().any(|column| column.name == SITE)
}

/// A table of the lake as a user sees it. `None` where it is not there for the user.
pub(crate) fn fenced(table: &ViewedTable, user: &User) -> Option<Arc<dyn TableProvider>> {
    if !is_there(table.table(), user) {
        return None;
    }
    let is_partitioned = (table.table().partition_columns().iter()).any(|c| c.name == SITE);
    if user.sites.is_all() || !is_partitioned {
        return Some(fenced_rows(table.provider(), user));
    }
    let own = table.only_partitions(SITE, &|site| user.sites.contains(site));
    Some(without_columns(own.provider(), &user.columns_hidden))
}

/// Any table with a column `site`, as a user sees it.
pub(crate) fn fenced_rows(table: Arc<dyn TableProvider>, user: &User) -> Arc<dyn TableProvider> {
    let site = table.schema().index_of(SITE).ok();
    let rows = site.filter(|_| !user.sites.is_all()).map(|site| RowFilter {
        site,
        sites: user.sites.clone(),
    });
    fence(table, rows, &user.columns_hidden)
}

fn without_columns(
    table: Arc<dyn TableProvider>,
    hidden: &BTreeSet<String>,
) -> Arc<dyn TableProvider> {
    fence(table, None, hidden)
}

fn fence(
    inner: Arc<dyn TableProvider>,
    rows: Option<RowFilter>,
    hidden: &BTreeSet<String>,
) -> Arc<dyn TableProvider> {
    let all = inner.schema();
    let is_shown = |at: &usize| !hidden.contains(all.field(*at).name());
    let columns: Vec<usize> = (0..all.fields().len()).filter(is_shown).collect();
    if rows.is_none() && columns.len() == all.fields().len() {
        return inner;
    }
    let fields: Vec<_> = columns.iter().map(|at| all.fields()[*at].clone()).collect();
    Arc::new(Fence {
        inner,
        schema: Arc::new(Schema::new(fields)),
        columns,
        rows,
    })
}

#[derive(Debug)]
struct RowFilter {
    /// The place of the column `site` among all columns.
    site: usize,
    sites: SiteSet,
}

#[derive(Debug)]
struct Fence {
    inner: Arc<dyn TableProvider>,
    schema: SchemaRef,
    /// The places of the columns that are shown, among all.
    columns: Vec<usize>,
    rows: Option<RowFilter>,
}

#[async_trait]
impl TableProvider for Fence {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        if self.rows.is_none() {
            return self.inner.supports_filters_pushdown(filters);
        }
        let verdict = |filter: &&Expr| {
            if leakproof::is_leakproof(filter) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(verdict).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = match projection {
            Some(shown) => shown.iter().map(|at| self.columns[*at]).collect(),
            None => self.columns.clone(),
        };
        let Some(rows) = &self.rows else {
            return self
                .inner
                .scan(session, Some(&wanted), filters, limit)
                .await;
        };
        let mut read = wanted.clone();
        let site = read.iter().position(|at| *at == rows.site);
        let site = site.unwrap_or(read.len());
        if site == read.len() {
            read.push(rows.site);
        }
        let passed: Vec<Expr> = filters
            .iter()
            .filter(|filter| leakproof::is_leakproof(filter))
            .cloned()
            .collect();
        // No limit: rows of other sites would count.
        let input = self.inner.scan(session, Some(&read), &passed, None).await?;
        let own = SiteFilterExec::new(input, site, wanted.len(), rows.sites.clone())?;
        Ok(Arc::new(own))
    }
}
