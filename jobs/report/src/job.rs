//! The job: its settings, and one run.

use std::time::Duration;

use async_trait::async_trait;
use datafusion::prelude::SessionContext;
use forebay_charts::{Block, Page, date_time, span};
use forebay_config::{Table, TableKeys};
use forebay_jobs::{
    Job, JobError, JobKind, Outcome, RunContext, SeriesPattern,
    keys::{SCHEDULE, TIMEZONE},
};
use forebay_jobs_sql::{Parameters, planned};
use forebay_lake::S3Settings;
use forebay_schemas::Timestamp;
use jiff::tz::TimeZone;

use crate::{
    body::block,
    columns::fields,
    figures::Drawing,
    files::{self, Place},
    keys::{self, REPORT},
    range::{Range, RangeEnd, seconds},
    rows::{Value, rows},
    section::Section,
    template::Template,
};

/// A report and where it goes.
#[derive(Debug, Clone)]
pub struct ReportJob {
    title: Option<String>,
    sections: Vec<Section>,
    series: SeriesPattern,
    length: Duration,
    end: RangeEnd,
    zone: TimeZone,
    place: Place,
    keep: usize,
}

/// `kind = "report"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReportKind;

impl JobKind for ReportKind {
    fn name(&self) -> &'static str {
        "report"
    }

    fn keys(&self) -> &'static TableKeys {
        &REPORT
    }

    fn configure(&self, table: &mut Table<'_>) -> Option<Box<dyn Job>> {
        let template = table.read(&keys::TEMPLATE);
        let series = SeriesPattern {
            devices: table.read(&keys::DEVICES),
            tags: table.read(&keys::TAGS),
        };
        let length = table.read(&keys::RANGE);
        if length < Duration::from_secs(1) {
            table.problem(&keys::RANGE, "a second is the least");
        }
        let end = table.read(&keys::RANGE_END);
        let title = table.read(&keys::TITLE);
        let zone = zone(table);
        let place = place(table);
        let keep = table.read(&keys::KEEP);
        if keep == 0 {
            table.problem(&keys::KEEP, "one report at least");
        }
        let sections = sections(table, template, &series);
        let job = ReportJob {
            title: title.or_else(|| template.map(|template| template.title().to_owned())),
            sections: sections?,
            series,
            length,
            end,
            zone: zone?,
            place: place?,
            keep: usize::try_from(keep).unwrap_or(usize::MAX),
        };
        (keep > 0 && length >= Duration::from_secs(1)).then(|| Box::new(job) as Box<dyn Job>)
    }
}

/// The template's sections, then its own; `None`, noted, where one is wrong or there are none.
fn sections(
    table: &mut Table<'_>,
    template: Option<Template>,
    series: &SeriesPattern,
) -> Option<Vec<Section>> {
    let has_window = !table.has(&SCHEDULE);
    let range = Range::up_to(Timestamp::from_nanos(0), Duration::from_secs(3600));
    let example = range.fill(Parameters::example(has_window), series);
    let own = table.tables(&keys::SECTION);
    let found = own.len();
    if found == 0 && !table.has(&keys::TEMPLATE) && !table.has(&keys::SECTION) {
        table.problem(
            &keys::TEMPLATE,
            "a report has a template, such as \"plant_week\", or sections [[job.section]]",
        );
        return None;
    }
    let own: Vec<Section> = own
        .into_iter()
        .filter_map(|section| Section::read(section, &example))
        .collect();
    let complete = own.len() == found && (template.is_some() || !table.has(&keys::TEMPLATE));
    let mut sections = template.map_or_else(Vec::new, Template::sections);
    sections.extend(own);
    complete.then_some(sections)
}

fn zone(table: &mut Table<'_>) -> Option<TimeZone> {
    let name = table.read(&TIMEZONE);
    match TimeZone::get(&name) {
        Ok(zone) => Some(zone),
        // A schedule's reader has noted it already.
        Err(_) if table.has(&SCHEDULE) => None,
        Err(error) => {
            table.problem(&TIMEZONE, error.to_string());
            None
        }
    }
}

fn place(table: &mut Table<'_>) -> Option<Place> {
    let folder = table.read(&keys::FOLDER);
    let Some(url) = table.read(&keys::URL) else {
        return Some(Place::Folder(folder));
    };
    if folder.is_some() {
        table.problem(
            &keys::URL,
            "a report goes to a folder or to a url, not to both",
        );
        return None;
    }
    match S3Settings::parse(&url) {
        Ok(settings) => Some(Place::Bucket(Box::new(settings))),
        Err(error) => {
            table.problem(&keys::URL, error.to_string());
            None
        }
    }
}

#[async_trait]
impl Job for ReportJob {
    async fn run(&self, context: &RunContext) -> Result<Outcome, JobError> {
        let session = context.session().await?;
        let range = self.range(context, &session).await?;
        let parameters = range.fill(Parameters::of(context), &self.series);
        let mut blocks = Vec::new();
        for section in &self.sections {
            blocks.push(self.block(section, &session, &parameters, range).await?);
        }
        let html = self.page(context, range, blocks).html();
        let name = files::name(context.job(), context.fire());
        // A run whose results are only shown has no folder.
        let Some(data_dir) = context.data_dir() else {
            return Ok(Outcome {
                note: Some(format!(
                    "report: {name} of {} bytes, not written",
                    html.len()
                )),
                ..Outcome::default()
            });
        };
        let path = self
            .place
            .write(data_dir, context.job(), &name, html, self.keep)
            .await?;
        Ok(Outcome {
            note: Some(format!("report: {path}")),
            ..Outcome::default()
        })
    }
}

impl ReportJob {
    async fn range(
        &self,
        context: &RunContext,
        session: &SessionContext,
    ) -> Result<Range, JobError> {
        let due = context.cutoff();
        if self.end == RangeEnd::Due {
            return Ok(Range::up_to(due, self.length));
        }
        let newest = format!(
            "SELECT max(event_time) AS at FROM readings WHERE {}",
            self.series.sql()
        );
        let query = planned(session, &newest).await?;
        let fields = fields(&query).map_err(|unfit| JobError::reject(unfit.why))?;
        let found = rows(query, &fields, 1).await?;
        let to = match found.rows.first().and_then(|row| row.first()) {
            // The reading itself belongs to the range.
            Some(Value::Time(at)) => {
                Timestamp::from_micros((at * 1e6).round() as i64 + 1).unwrap_or(due)
            }
            _ => due,
        };
        Ok(Range::up_to(to, self.length))
    }

    async fn block(
        &self,
        section: &Section,
        session: &SessionContext,
        parameters: &Parameters,
        range: Range,
    ) -> Result<Block, JobError> {
        let named = |why: String| JobError::reject(format!("section {:?}: {why}", section.title));
        let sql = parameters.fill(&section.sql).map_err(named)?;
        let query = planned(session, &sql).await?;
        let fields = fields(&query).map_err(|unfit| named(unfit.why))?;
        let cast = section.cast(&fields).map_err(|unfit| named(unfit.why))?;
        // Of headline numbers only the first row counts, however many there are.
        let rows = rows(query, &fields, section.form.rows_max()).await?;
        let drawing = Drawing {
            section,
            fields: &fields,
            cast,
            zone: &self.zone,
            now: seconds(range.to),
        };
        Ok(block(&drawing, &rows))
    }

    fn page(&self, context: &RunContext, range: Range, blocks: Vec<Block>) -> Page {
        let zone = self.zone.iana_name().unwrap_or("UTC");
        let site = context
            .site()
            .map_or_else(String::new, |site| format!("Site {site}. "));
        let due = date_time(seconds(context.cutoff()), &self.zone);
        Page {
            title: self
                .title
                .clone()
                .unwrap_or_else(|| context.job().to_string()),
            range: span(seconds(range.from), seconds(range.to), &self.zone),
            about: format!("{site}Times are {zone}."),
            blocks,
            origin: format!(
                "Made by Forebay {}, job {}, run {}, of what was known on {due}.",
                env!("CARGO_PKG_VERSION"),
                context.job(),
                context.run_id(),
            ),
        }
    }
}
