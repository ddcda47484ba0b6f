//! What a run fills into its query.

use forebay_jobs::RunContext;
use forebay_schemas::Timestamp;

/// The literals of one run, as SQL.
pub struct Parameters {
    window_start: Option<String>,
    window_end: Option<String>,
    site: Option<String>,
    now: String,
    more: Vec<(&'static str, String)>,
}

impl Parameters {
    /// Those of a run.
    pub fn of(context: &RunContext) -> Self {
        let window = context.fire().window.as_ref();
        Self {
            window_start: window.map(|window| timestamp(window.start)),
            window_end: window.map(|window| timestamp(window.end)),
            site: context.site().map(|site| text(site.as_str())),
            now: timestamp(context.cutoff()),
            more: Vec::new(),
        }
    }

    /// For checking a query before it has run, over a window of a site or by the clock.
    pub fn example(has_window: bool) -> Self {
        let at = timestamp(Timestamp::from_nanos(0));
        let window = has_window.then(|| at.clone());
        let site = has_window.then(|| text("site"));
        Self {
            window_start: window.clone(),
            window_end: window,
            site,
            now: at,
            more: Vec::new(),
        }
    }

    /// One more: `name` with its braces, and what stands for it, which is a piece of SQL.
    #[must_use]
    pub fn with(mut self, name: &'static str, sql: String) -> Self {
        self.more.push((name, sql));
        self
    }

    /// The query with its parameters filled in.
    ///
    /// # Errors
    /// In words for a person, when the run has no such parameter.
    pub fn fill(&self, query: &str) -> Result<String, String> {
        let more = self.more.iter().map(|(name, sql)| (*name, Some(sql)));
        let all: Vec<(&str, Option<&String>)> = [
            ("{window_start}", self.window_start.as_ref()),
            ("{window_end}", self.window_end.as_ref()),
            ("{site}", self.site.as_ref()),
            ("{now}", Some(&self.now)),
        ]
        .into_iter()
        .chain(more)
        .collect();
        let mut filled = String::with_capacity(query.len());
        let mut rest = query;
        // From left to right, so that what was filled in is not searched again: a site may be called "{now}".
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            match all.iter().find(|(name, _)| from.starts_with(name)) {
                Some((name, Some(literal))) => {
                    filled.push_str(literal);
                    rest = &from[name.len()..];
                }
                Some((name, None)) => {
                    return Err(format!(
                        "the query asks for {name}, and only on = \"window_closed\" gives a run a window"
                    ));
                }
                None => {
                    filled.push('{');
                    rest = &from[1..];
                }
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// As DataFusion and Spark both read it: a UTC instant with µs.
pub fn timestamp(at: Timestamp) -> String {
    use arrow::temporal_conversions::timestamp_us_to_datetime;
    match timestamp_us_to_datetime(at.micros()) {
        Some(at) => format!("TIMESTAMP '{}Z'", at.format("%Y-%m-%dT%H:%M:%S%.6f")),
        // Cannot happen: the years 1677 to 2262 all have dates.
        None => "NULL".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_literals_that_nothing_escapes_from() {
        let parameters = Parameters {
            site: Some(text("o'{now}")),
            window_end: None,
            ..Parameters::example(true)
        };
        let filled = parameters.fill("SELECT {site}, {now}, '{other}' WHERE t < {window_start}");
        let at = "TIMESTAMP '1970-01-01T00:00:00.000000Z'";
        assert_eq!(
            filled,
            Ok(format!(
                "SELECT 'o''{{now}}', {at}, '{{other}}' WHERE t < {at}"
            ))
        );
        assert!(
            parameters
                .fill("{window_end}")
                .unwrap_err()
                .contains("{window_end}")
        );
    }
}
