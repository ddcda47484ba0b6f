//! The plan node that drops the rows of other sites.

use std::{fmt, sync::Arc};

use arrow::{
    array::{Array as _, AsArray as _, BooleanArray, RecordBatch, RecordBatchOptions},
    compute::{cast, filter_record_batch},
    datatypes::{DataType, Schema, SchemaRef},
};
use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties as _, PlanProperties,
        execution_plan::ReplaceChildrenOptions, stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt as _;

use crate::{only_child::only_child, sites::SiteSet};

/// Drops the rows of other sites, and then the columns that were read for that alone. It is no filter that an optimizer
/// knows: nothing moves past it.
#[derive(Debug)]
pub(super) struct SiteFilterExec {
    input: Arc<dyn ExecutionPlan>,
    /// The place of the site among the input's columns.
    site: usize,
    /// How many of the first columns go on.
    width: usize,
    sites: SiteSet,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl SiteFilterExec {
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        site: usize,
        width: usize,
        sites: SiteSet,
    ) -> Result<Self> {
        let fields = input.schema().fields()[..width].to_vec();
        let schema = Arc::new(Schema::new(fields));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Ok(Self {
            input,
            site,
            width,
            sites,
            schema,
            properties: Arc::new(properties),
        })
    }
}

impl DisplayAs for SiteFilterExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SiteFilterExec: sites={}", self.sites)
    }
}

impl ExecutionPlan for SiteFilterExec {
    fn name(&self) -> &str {
        "SiteFilterExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = only_child(children)?;
        let sites = self.sites.clone();
        Ok(Arc::new(Self::new(input, self.site, self.width, sites)?))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mode = datafusion::physical_plan::execution_plan::ChildrenPropertiesMode::Recompute;
        self.replace_children(children, ReplaceChildrenOptions::new(mode))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let own = OwnRows {
            site: self.site,
            width: self.width,
            sites: self.sites.clone(),
            schema: self.schema.clone(),
        };
        let kept = rows.map(move |batch| own.of(&batch?));
        let kept = RecordBatchStreamAdapter::new(self.schema.clone(), kept);
        Ok(Box::pin(kept))
    }
}

struct OwnRows {
    site: usize,
    width: usize,
    sites: SiteSet,
    schema: SchemaRef,
}

impl OwnRows {
    fn of(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let sites = cast(batch.column(self.site), &DataType::Utf8)?;
        let sites = sites.as_string::<i32>();
        let mut last: Option<(&str, bool)> = None;
        let mut marks = Vec::with_capacity(sites.len());
        for row in 0..sites.len() {
            // A row without a site belongs to no user of some sites.
            if sites.is_null(row) {
                marks.push(false);
                continue;
            }
            let site = sites.value(row);
            let is_own = match last {
                Some((known, verdict)) if known == site => verdict,
                _ => self.sites.contains(site),
            };
            last = Some((site, is_own));
            marks.push(is_own);
        }
        let own = filter_record_batch(batch, &BooleanArray::from(marks))?;
        let options = RecordBatchOptions::new().with_row_count(Some(own.num_rows()));
        let columns = own.columns()[..self.width].to_vec();
        let schema = self.schema.clone();
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}
