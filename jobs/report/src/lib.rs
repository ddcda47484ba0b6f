//! `kind = "report"`: one self-contained HTML file from the lake's tables and SQL.
//!
//! A report is a template, sections of one's own, or both. Each section is one SELECT over what a run may see and the chart
//! that its rows become. Queries are planned, and their columns held against the chart, when the configuration is read.
//! Files lie in a folder of the job, named after job and fire, so that the same fire writes the same file; the newest
//! `keep` stay.
//!
//! How charts look is `jobs/charts`' affair. A report writes no rows into the lake.

mod body;
mod columns;
mod figures;
mod files;
mod job;
mod keys;
mod range;
mod rows;
mod section;
mod template;
mod words;

pub use job::{ReportJob, ReportKind};

#[cfg(test)]
mod tests;
