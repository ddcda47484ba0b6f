//! What a run fills into its query.

use forebay_config::nearest;
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
        let all = self.all();
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

    /// The first name in braces that is none of the parameters, in words for a person: of a query that cannot be planned. Texts in
    /// quotes may hold any.
    pub(crate) fn mistyped(&self, query: &str) -> Option<String> {
        let all = self.all();
        // Every other piece stands in quotes.
        let outside = query.split('\'').step_by(2);
        let mut names = outside.flat_map(names_in_braces);
        let known = || all.iter().map(|(name, _)| *name);
        let unknown = names.find(|name| known().all(|other| other != *name))?;
        let listed: Vec<&str> = known().collect();
        Some(format!(
            "{unknown} is not a parameter: {} are{}",
            listed.join(", "),
            nearest(unknown, known())
        ))
    }

    /// Every parameter by its name with braces; none where the run has no such.
    fn all(&self) -> Vec<(&str, Option<&String>)> {
        let more = self.more.iter().map(|(name, sql)| (*name, Some(sql)));
        [
            ("{window_start}", self.window_start.as_ref()),
            ("{window_end}", self.window_end.as_ref()),
            ("{site}", self.site.as_ref()),
            ("{now}", Some(&self.now)),
        ]
        .into_iter()
        .chain(more)
        .collect()
    }
}

/// Names in braces, with them.
fn names_in_braces(text: &str) -> Vec<&str> {
    let is_name = |name: &str| {
        let mut chars = name.chars();
        chars.next().is_some_and(char::is_alphabetic)
            && chars.all(|c| c.is_alphanumeric() || c == '_')
    };
    let mut names = Vec::new();
    for (at, _) in text.match_indices('{') {
        let rest = &text[at..];
        let Some(end) = rest.find('}') else { break };
        if is_name(&rest[1..end]) {
            names.push(&rest[..=end]);
        }
    }
    names
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

    #[test]
    fn a_mistyped_parameter_is_named_with_the_nearest() {
        let parameters = Parameters::example(true);
        for (query, expected) in [
            (
                "SELECT 1 WHERE t < {window_strat}",
                Some(
                    "{window_strat} is not a parameter: {window_start}, {window_end}, {site}, {now} are; did you mean \"{window_start}\"?",
                ),
            ),
            (
                "SELECT 'it''s {no}', {today}",
                Some("{today} is not a parameter: {window_start}, {window_end}, {site}, {now} are"),
            ),
            ("SELECT MAP {'a': 1}, {site}, '{text}', {", None),
        ] {
            assert_eq!(parameters.mistyped(query).as_deref(), expected, "{query}");
        }
    }
}
