//! Every panel of every dashboard, asked as Grafana asks: over PostgreSQL's protocol with its macros written out, and of a
//! Prometheus that scrapes a gateway at work.

use std::{fs, path::Path};

use serde_json::Value as Json;

/// A query of a panel, with the dashboard and panel that have it.
pub(crate) struct Asked {
    pub(crate) panel: String,
    /// The variable that its answers are the values of.
    pub(crate) variable: Option<String>,
    pub(crate) query: String,
}

/// A dashboard of `deploy/grafana`.
fn dashboard(name: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .with_file_name("deploy")
        .join("grafana")
        .join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn asked(name: &str, key: &str) -> Vec<Asked> {
    let board = dashboard(name);
    let panels = board["panels"].as_array().unwrap().iter();
    let of_panel = |panel: &Json| {
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let queries = targets
            .into_iter()
            .filter_map(move |target| target[key].as_str().map(str::to_owned));
        let name = name.to_owned();
        queries
            .map(move |query| Asked {
                panel: format!("{name}: {title}"),
                variable: None,
                query,
            })
            .collect::<Vec<_>>()
    };
    panels.flat_map(of_panel).collect()
}

/// The SQL of a dashboard's panels, and of its variables.
pub(crate) fn of_lake(name: &str) -> Vec<Asked> {
    let mut all = asked(name, "rawSql");
    let board = dashboard(name);
    for variable in board["templating"]["list"].as_array().unwrap() {
        if variable["type"] == "query" {
            all.push(Asked {
                panel: format!("{name}: variable {}", variable["name"]),
                variable: variable["name"].as_str().map(str::to_owned),
                query: variable["query"].as_str().unwrap().to_owned(),
            });
        }
    }
    all
}

/// The PromQL of a dashboard's panels.
pub(crate) fn of_prometheus(name: &str) -> Vec<Asked> {
    asked(name, "expr")
}

/// The variable's values as Grafana writes them for `:sqlstring`.
pub(crate) fn sql_strings(values: &[String]) -> String {
    let quoted: Vec<String> = values
        .iter()
        .map(|value| format!("'{}'", value.replace('\'', "''")))
        .collect();
    quoted.join(",")
}

/// The query as Grafana's PostgreSQL source sends it: macros written out for this range of time and this step, in seconds.
pub(crate) fn written_out(
    query: &str,
    range: [&str; 2],
    step: u32,
    variables: &[(String, String)],
) -> String {
    let [from, to] = range;
    let mut sql = query.replace("$__interval", &format!("'{step}s'"));
    for (name, values) in variables {
        sql = sql.replace(&format!("${{{name}:sqlstring}}"), values);
    }
    for (name, written) in [
        (
            "$__timeFilter",
            time_filter as fn(&[&str], &[&str]) -> String,
        ),
        ("$__timeGroupAlias", time_group_alias),
    ] {
        while let Some(at) = sql.find(&format!("{name}(")) {
            let open = at + name.len();
            let close = open + sql[open..].find(')').unwrap();
            let arguments: Vec<&str> = sql[open + 1..close].split(',').map(str::trim).collect();
            let text = written(&arguments, &[from, to, &step.to_string()]);
            sql.replace_range(at..=close, &text);
        }
    }
    assert!(!sql.contains('$'), "not written out: {sql}");
    sql
}

fn time_filter(arguments: &[&str], range: &[&str]) -> String {
    format!("{} BETWEEN '{}' AND '{}'", arguments[0], range[0], range[1])
}

fn time_group_alias(arguments: &[&str], range: &[&str]) -> String {
    let step = range[2];
    format!(
        "floor(extract(epoch from {})/{step})*{step} AS \"time\"",
        arguments[0]
    )
}

#[test]
fn macros_are_written_out_as_grafana_does() {
    let query = "select $__timeGroupAlias(event_time, $__interval), avg(value) from readings \
                 where $__timeFilter(event_time) and site in (${site:sqlstring}) group by 1";
    assert_eq!(
        written_out(
            query,
            ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
            60,
            &[("site".into(), sql_strings(&["a".into(), "b'c".into()]))]
        ),
        "select floor(extract(epoch from event_time)/60)*60 AS \"time\", avg(value) from readings \
         where event_time BETWEEN '2026-01-01T00:00:00Z' AND '2026-01-02T00:00:00Z' and site in ('a','b''c') group by 1"
    );
}
