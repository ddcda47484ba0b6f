//! One section: a query, and the form that its rows take.

use forebay_config::{Describe as _, Table};
use forebay_jobs_sql::{Parameters, plan_without_rows};

use crate::{
    columns::{Cast, ColumnKind, Field, Need, PARTS, Part, Unfit, cast, fields},
    keys::{self, ALARMS, BAND, CHART, SECTION_TITLE, SQL, TEXT, UNIT},
};

/// What rows become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Line,
    Bars,
    HeatMap,
    Map,
    Spectrum,
    Table,
    Numbers,
}

/// A section as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) title: String,
    pub(crate) text: Option<String>,
    pub(crate) sql: String,
    pub(crate) form: Form,
    /// The columns that the section names.
    pub(crate) named: Vec<(Part, String)>,
    pub(crate) unit: Option<String>,
    pub(crate) band: Option<String>,
    pub(crate) alarms: Vec<String>,
    /// What is said where there are no rows.
    pub(crate) empty: String,
}

/// A part of a chart, whether it needs it, and what its column may hold.
type PartOfForm = (Part, Need, &'static [ColumnKind]);

const NUMBERS: &[ColumnKind] = &[ColumnKind::Number];
const TEXTS: &[ColumnKind] = &[ColumnKind::Text, ColumnKind::Number, ColumnKind::Bool];
const PLACES: &[ColumnKind] = &[ColumnKind::Time, ColumnKind::Number];
const ANYTHING: &[ColumnKind] = &[
    ColumnKind::Time,
    ColumnKind::Number,
    ColumnKind::Text,
    ColumnKind::Bool,
];
const MARKS: &[ColumnKind] = &[ColumnKind::Bool, ColumnKind::Text];

const LINE: &[PartOfForm] = &[
    (Part::X, Need::Required, PLACES),
    (Part::Y, Need::Required, NUMBERS),
    (Part::Lo, Need::Optional, NUMBERS),
    (Part::Hi, Need::Optional, NUMBERS),
    (Part::Limit, Need::Optional, NUMBERS),
    (Part::Mark, Need::Optional, MARKS),
    (Part::Series, Need::Optional, TEXTS),
    (Part::Facet, Need::Optional, TEXTS),
];
const BARS: &[PartOfForm] = &[
    (Part::X, Need::Required, ANYTHING),
    (Part::Y, Need::Required, NUMBERS),
    (Part::Lo, Need::Optional, NUMBERS),
    (Part::Hi, Need::Optional, NUMBERS),
    (Part::Series, Need::Optional, TEXTS),
    (Part::Facet, Need::Optional, TEXTS),
];
const HEATMAP: &[PartOfForm] = &[
    (Part::X, Need::Required, ANYTHING),
    (Part::Y, Need::Required, TEXTS),
    (Part::Value, Need::Required, NUMBERS),
];
const MAP: &[PartOfForm] = &[
    (Part::X, Need::Required, NUMBERS),
    (Part::Y, Need::Required, NUMBERS),
    (Part::Value, Need::Required, NUMBERS),
    (Part::Series, Need::Optional, TEXTS),
];
const SPECTRUM: &[PartOfForm] = &[
    (Part::X, Need::Required, NUMBERS),
    (Part::Y, Need::Required, NUMBERS),
    (Part::Mark, Need::Optional, &[ColumnKind::Text]),
    (Part::Facet, Need::Optional, TEXTS),
];

impl Form {
    /// The parts that columns play in it.
    pub(crate) fn parts(self) -> &'static [PartOfForm] {
        match self {
            Self::Line => LINE,
            Self::Bars => BARS,
            Self::HeatMap => HEATMAP,
            Self::Map => MAP,
            Self::Spectrum => SPECTRUM,
            Self::Table | Self::Numbers => &[],
        }
    }

    /// Most rows that it shows.
    pub(crate) fn rows_max(self) -> usize {
        match self {
            Self::Line | Self::HeatMap | Self::Spectrum => 20_000,
            Self::Map => 2_000,
            Self::Table => 200,
            Self::Bars => 400,
            Self::Numbers => 1,
        }
    }

    fn name(self) -> &'static str {
        let words = CHART.words();
        words
            .iter()
            .find(|(_, form)| *form == self)
            .map_or("", |(word, _)| *word)
    }
}

impl Section {
    /// Reads a `[[job.section]]`; notes what is wrong, and answers `None` then.
    pub(crate) fn read(mut table: Table<'_>, example: &Parameters) -> Option<Self> {
        let title = table.read(&SECTION_TITLE);
        let text = table.read(&TEXT);
        let sql = table.read(&SQL);
        let form = table.read(&CHART);
        if !table.has(&CHART) {
            table.problem(&CHART, "chart is missing, such as \"line\" or \"table\"");
        }
        let named: Vec<(Part, String)> = PARTS
            .into_iter()
            .filter_map(|part| Some((part, table.read(part.key())?)))
            .collect();
        let unit = table.read(&UNIT);
        let band = table.read(&BAND);
        let alarms = table.read(&ALARMS);
        let section = title.zip(sql).zip(form).map(|((title, sql), form)| Self {
            title,
            text,
            sql,
            form,
            named,
            unit,
            band,
            alarms,
            empty: "The query gave no rows.".to_owned(),
        });
        let checked = section.and_then(|section| match section.check(example) {
            Ok(()) => Some(section),
            Err(Unfit { key, why }) => {
                table.problem(key, why);
                None
            }
        });
        table.finish();
        checked
    }

    /// Plans the query without rows and holds its columns against the chart.
    pub(crate) fn check(&self, example: &Parameters) -> Result<(), Unfit> {
        let of_sql = |why: String| Unfit { key: &SQL, why };
        let used = |part: &Part| self.form.parts().iter().any(|(other, ..)| other == part);
        if let Some((part, _)) = self.named.iter().find(|(part, _)| !used(part)) {
            let key = part.key();
            let why = format!("chart = {:?} has no {}", self.form.name(), key.name());
            return Err(Unfit { key, why });
        }
        let query = example.fill(&self.sql).map_err(of_sql)?;
        let Some(planned) = plan_without_rows(&query).map_err(of_sql)? else {
            return Ok(());
        };
        let fields = fields(&planned)?;
        self.cast(&fields)?;
        let missing = |name: &&String| !fields.iter().any(|field| field.name == **name);
        match self.alarms.iter().find(missing) {
            Some(name) => Err(Unfit {
                key: &keys::ALARMS,
                why: format!("the query has no column {name:?}"),
            }),
            None => Ok(()),
        }
    }

    pub(crate) fn cast(&self, fields: &[Field]) -> Result<Cast, Unfit> {
        cast(self.form, &self.named, fields)
    }
}
