//! Sections that are ready: what a plant, a feeder and a machine are asked about most.
//!
//! The queries are files of their own. They use the parameters of every section, and columns named as the parts of charts.

use crate::{
    columns::Part,
    section::{Form, Section},
};

/// A set of sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Template {
    PlantWeek,
    FeederForecast,
    MachineHealth,
}

/// A section of a template.
struct Ready {
    title: &'static str,
    text: &'static str,
    form: Form,
    sql: &'static str,
    named: &'static [(Part, &'static str)],
    band: &'static str,
    alarms: &'static [&'static str],
    empty: &'static str,
}

const PLAIN: Ready = Ready {
    title: "",
    text: "",
    form: Form::Table,
    sql: "",
    named: &[],
    band: "",
    alarms: &[],
    empty: "There is nothing in this range.",
};

const WARNINGS: Ready = Ready {
    title: "Warnings",
    text: "The latest state of each warning that was seen in this range, the newest first.",
    sql: include_str!("sql/warnings.sql"),
    empty: "No warning was seen in this range.",
    ..PLAIN
};

const EVENTS: Ready = Ready {
    title: "Events",
    text: "Outages, stuck sensors and what else has a beginning and an end, the newest first.",
    sql: include_str!("sql/events.sql"),
    empty: "No event touches this range.",
    ..PLAIN
};

const BACKTESTS: Ready = Ready {
    title: "Back-tests",
    text: "How the models did on readings that they had not seen, beside a baseline: the newest trial of each.",
    sql: include_str!("sql/backtests.sql"),
    empty: "No model has been tried.",
    ..PLAIN
};

const JOB_RUNS: Ready = Ready {
    title: "Job runs",
    sql: include_str!("sql/job_runs.sql"),
    empty: "No job has run in this time.",
    ..PLAIN
};

const PLANT_WEEK: &[Ready] = &[
    Ready {
        form: Form::Numbers,
        sql: include_str!("sql/plant_numbers.sql"),
        alarms: &["open_warnings", "failed_job_runs"],
        ..PLAIN
    },
    Ready {
        title: "Completeness",
        text: "Share of a device's tags that sent at least one good reading. No value: no tag did.",
        form: Form::HeatMap,
        sql: include_str!("sql/completeness.sql"),
        empty: "There is no good reading in this range.",
        ..PLAIN
    },
    Ready {
        title: "Signals",
        text: "Mean of each interval, and the band from its lowest to its highest reading.",
        form: Form::Line,
        sql: include_str!("sql/signals.sql"),
        named: &[(Part::Y, "mean")],
        band: "lowest to highest",
        empty: "There is no number in this range.",
        ..PLAIN
    },
    Ready {
        title: "Devices",
        sql: include_str!("sql/devices.sql"),
        empty: "No device has sent a reading in this range.",
        ..PLAIN
    },
    WARNINGS,
    EVENTS,
    JOB_RUNS,
];

const FEEDER_FORECAST: &[Ready] = &[
    Ready {
        form: Form::Numbers,
        sql: include_str!("sql/forecast_numbers.sql"),
        ..PLAIN
    },
    Ready {
        title: "Forecast and what came",
        text: "The newest forecast of each time with its interval, and what was measured.",
        form: Form::Line,
        sql: include_str!("sql/forecast.sql"),
        band: "interval of the forecast",
        empty: "There is no forecast for this range.",
        ..PLAIN
    },
    Ready {
        title: "Error by day",
        text: "Sum of the absolute errors as a share of what was measured, per day of UTC.",
        form: Form::Bars,
        sql: include_str!("sql/forecast_days.sql"),
        empty: "No forecast has met its measurement yet.",
        ..PLAIN
    },
    Ready {
        title: "By feeder",
        text: "Coverage is the share of measurements within the interval; the peak is the highest value that is forecast from now on.",
        sql: include_str!("sql/forecast_feeders.sql"),
        empty: "There is no forecast for this range.",
        ..PLAIN
    },
    Ready {
        title: "Models",
        sql: include_str!("sql/forecast_models.sql"),
        empty: "No model has forecast in this range.",
        ..PLAIN
    },
    BACKTESTS,
    JOB_RUNS,
];

const MACHINE_HEALTH: &[Ready] = &[
    Ready {
        form: Form::Numbers,
        sql: include_str!("sql/health_numbers.sql"),
        alarms: &["open_warnings", "critical"],
        ..PLAIN
    },
    WARNINGS,
    Ready {
        title: "Scores",
        text: "How far each machine was from its normal state; the machine nearest to its limit, or furthest beyond it, stands first.",
        form: Form::Line,
        sql: include_str!("sql/scores.sql"),
        named: &[(Part::Y, "score")],
        empty: "No machine was judged in this range.",
        ..PLAIN
    },
    Ready {
        title: "Signals behind the warnings",
        text: "Mean and extremes of each signal that a warning names, shaded from its first warning to its end.",
        form: Form::Line,
        sql: include_str!("sql/warned_signals.sql"),
        named: &[(Part::Y, "mean"), (Part::Mark, "warned")],
        band: "lowest to highest",
        empty: "No warning names a signal.",
        ..PLAIN
    },
    EVENTS,
    BACKTESTS,
    JOB_RUNS,
];

impl Template {
    /// The heading of a report that has none of its own.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::PlantWeek => "Plant week",
            Self::FeederForecast => "Feeder forecast",
            Self::MachineHealth => "Machine health",
        }
    }

    /// Its sections.
    pub(crate) fn sections(self) -> Vec<Section> {
        let ready = match self {
            Self::PlantWeek => PLANT_WEEK,
            Self::FeederForecast => FEEDER_FORECAST,
            Self::MachineHealth => MACHINE_HEALTH,
        };
        ready.iter().map(Ready::section).collect()
    }
}

impl Ready {
    fn section(&self) -> Section {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Section {
            title: self.title.to_owned(),
            text: text(self.text),
            sql: self.sql.to_owned(),
            form: self.form,
            named: self
                .named
                .iter()
                .map(|(part, name)| (*part, (*name).to_owned()))
                .collect(),
            unit: None,
            band: text(self.band),
            alarms: self.alarms.iter().map(|name| (*name).to_owned()).collect(),
            empty: self.empty.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use forebay_jobs::SeriesPattern;
    use forebay_jobs_sql::Parameters;
    use forebay_schemas::Timestamp;

    use super::*;
    use crate::range::Range;

    #[test]
    fn every_query_of_a_template_fits_its_chart() {
        let range = Range::up_to(Timestamp::from_nanos(0), std::time::Duration::from_secs(60));
        let all = SeriesPattern {
            devices: vec!["pump-*".into(), "o'neill".into()],
            tags: vec!["*".into()],
        };
        let example = range.fill(Parameters::example(false), &all);
        for template in [
            Template::PlantWeek,
            Template::FeederForecast,
            Template::MachineHealth,
        ] {
            for section in template.sections() {
                if let Err(unfit) = section.check(&example) {
                    panic!("{template:?} {:?}: {}", section.title, unfit.why);
                }
            }
        }
    }
}
