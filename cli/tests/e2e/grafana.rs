//! Every panel of every dashboard, asked as Grafana asks: over PostgreSQL's protocol with its macros written out, and of a
//! Prometheus that scrapes a gateway at work.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::Value as Json;

use crate::{
    site::{Site, free_port, text, until},
    watchers::{Server, measured},
};

/// How long a Prometheus may take to have data for every panel.
const SCRAPED_WITHIN: Duration = Duration::from_secs(60);
/// A range of time in which everything of a test lies, its history and forecasts too.
const RANGE: [&str; 2] = ["2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"];
const PASSWORD: &str = "only for this test";

/// The port of a site at which the user `grafana` may ask for everything.
pub(crate) struct Psql(u16);

impl Psql {
    /// What the site's configuration needs for it; the file of the password is made.
    pub(crate) fn of(site: &Site, port: u16) -> (Self, String) {
        fs::write(site.path("password"), PASSWORD).unwrap();
        let table = format!(
            "[serve]\npostgres_listen = \"127.0.0.1:{port}\"\n\
             [[serve.user]]\nname = \"grafana\"\npassword_file = \"password\"\nsites = [\"*\"]\n"
        );
        (Self(port), table)
    }

    /// The rows of an answer, or what psql says when it fails.
    pub(crate) fn ask(&self, sql: &str) -> Result<Vec<String>, String> {
        let asked = Command::new("psql")
            .args(["-h", "127.0.0.1", "-U", "grafana", "-d", "forebay"])
            .args(["-p", &self.0.to_string()])
            .args(["-At", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .env("PGPASSWORD", PASSWORD)
            .output()
            .unwrap();
        if !asked.status.success() {
            return Err(text(&asked.stderr));
        }
        Ok(text(&asked.stdout).lines().map(str::to_owned).collect())
    }
}

/// The panels of a dashboard over the lake that have no data.
pub(crate) fn empty_of_lake(board: &str, psql: &Psql) -> Vec<String> {
    let answered = answers_of_lake(board, psql).into_iter();
    answered
        .filter(|(_, rows)| rows.is_empty())
        .map(|(panel, _)| panel)
        .collect()
}

/// What the panels of a dashboard over the lake are answered, with all values of its variables chosen.
fn answers_of_lake(board: &str, psql: &Psql) -> Vec<(String, Vec<String>)> {
    let mut answers = Vec::new();
    let mut variables = Vec::new();
    // Variables come first, in the order in which they build on each other.
    let (named, panels): (Vec<_>, Vec<_>) = of_lake(board)
        .into_iter()
        .partition(|asked| asked.variable.is_some());
    for asked in named.into_iter().chain(panels) {
        let sql = written_out(&asked.query, RANGE, 10, &variables);
        let rows = psql
            .ask(&sql)
            .unwrap_or_else(|error| panic!("{}: {error}\n{sql}", asked.panel));
        match asked.variable {
            Some(name) => variables.push((name, sql_strings(&rows))),
            None => answers.push((asked.panel, rows)),
        }
    }
    answers
}

/// Asks every panel over metrics of a Prometheus, until each has data.
pub(crate) fn every_metric_has_data(prometheus: &Server) {
    let mut waiting: Vec<Asked> = of_prometheus("forebay.json")
        .into_iter()
        // Only where there is a Kafka.
        .filter(|asked| !asked.query.contains("forebay_published_total"))
        .map(|asked| Asked {
            query: asked
                .query
                .replace("$instance", ".*")
                .replace("$__rate_interval", "10s"),
            ..asked
        })
        .collect();
    assert!(waiting.len() > 15, "{} panels", waiting.len());
    let all = until(SCRAPED_WITHIN, || {
        waiting.retain(|asked| measured(prometheus, &asked.query).is_empty());
        waiting.is_empty()
    });
    let empty: Vec<&str> = waiting.iter().map(|asked| asked.panel.as_str()).collect();
    assert!(all.is_ok(), "no data: {empty:?}");
}

/// A query of a panel, with the dashboard and panel that have it.
struct Asked {
    panel: String,
    /// The variable that its answers are the values of.
    variable: Option<String>,
    query: String,
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
fn of_lake(name: &str) -> Vec<Asked> {
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
fn of_prometheus(name: &str) -> Vec<Asked> {
    asked(name, "expr")
}

/// The variable's values as Grafana writes them for `:sqlstring`.
fn sql_strings(values: &[String]) -> String {
    let quoted: Vec<String> = values
        .iter()
        .map(|value| format!("'{}'", value.replace('\'', "''")))
        .collect();
    quoted.join(",")
}

/// The query as Grafana's PostgreSQL source sends it: macros written out for this range of time and this step, in seconds.
fn written_out(query: &str, range: [&str; 2], step: u32, variables: &[(String, String)]) -> String {
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

/// Two sites with a device of the same name, a tag that is always bad, a device that is bad altogether, and one that has been
/// silent for longer than `latest` looks back.
const HISTORY: [(&str, &str, &str); 4] = [
    (
        "north",
        "pump",
        "2024-05-11T10:00:00Z,temp,1,good\n2024-05-11T10:00:00Z,dead,,bad\n",
    ),
    ("south", "pump", "2024-05-11T10:00:00Z,temp,3,uncertain\n"),
    ("south", "mute", "2024-05-11T10:00:00Z,temp,,bad\n"),
    ("south", "left", "2024-05-01T10:00:00Z,temp,7,good\n"),
];

#[test]
fn a_plant_shows_each_site_and_what_is_bad_or_silent() {
    let site = Site::new();
    let (psql, serve) = Psql::of(&site, free_port());
    site.configure(&format!(
        "[gateway]\nid = \"g1\"\nsite = \"north\"\ndata_dir = \"data\"\n{serve}"
    ));
    for (of, device, rows) in HISTORY {
        let file = site.path("history.csv");
        fs::write(&file, format!("time,tag,value,quality\n{rows}")).unwrap();
        let file = file.to_str().unwrap();
        let import = ["import", file, "--site", of, "--device", device];
        let columns = ["--time", "time", "--tag-column", "tag"];
        let values = ["--value-column", "value", "--quality-column", "quality"];
        let imported = site.forebay(&[&import[..], &columns, &values].concat());
        assert!(imported.status.success(), "{}", text(&imported.stderr));
    }
    let running = site.run(&["--role", "serve"]);
    let is_up = until(SCRAPED_WITHIN, || psql.ask("select 1").is_ok());
    assert!(is_up.is_ok(), "{}", site.log());
    let answers = answers_of_lake("plant.json", &psql);
    let newest = psql.ask("select extract(epoch from now() - max(event_time)) from readings");
    running.stop();
    let rows = |panel: &str| -> Vec<String> {
        let named = format!("plant.json: {panel}");
        let found = answers.iter().find(|(name, _)| *name == named);
        let mut rows = found.unwrap_or_else(|| panic!("no {named}")).1.clone();
        rows.sort();
        rows
    };
    assert_eq!(rows("Devices"), ["4"]);
    let lines: Vec<String> = rows("Tags")
        .iter()
        .map(|row| row.split_once('|').unwrap().1.to_owned())
        .collect();
    assert_eq!(
        lines,
        [
            "south/left/temp|7",
            "north/pump/temp|1",
            "south/pump/temp|3"
        ]
    );
    let bad: Vec<String> = rows("Not good, by reason")
        .iter()
        .map(|row| row.split('|').take(3).collect::<Vec<_>>().join("/"))
        .collect();
    assert_eq!(
        bad,
        ["north/pump/dead", "south/mute/temp", "south/pump/temp"]
    );
    // The device that has left is the one that has been silent for longest, not one that is no longer looked at.
    let age: f64 = rows("Longest without a good reading")[0].parse().unwrap();
    let newest: f64 = newest.unwrap()[0].parse().unwrap();
    assert!(age > newest + 9.0 * 86_400.0, "{age} s, {newest} s");
}
