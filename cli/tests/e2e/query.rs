//! Recorded data through `import` and `query`: the answers are what the files hold, and an hour costs an hour's files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::Stdio,
};

use flate2::read::GzDecoder;

use crate::site::{Site, days_of_files, files_of_day, text};

/// Recordings: the file, the device that it is imported as, its column of times.
const RECORDINGS: [(&str, &str, &str); 3] = [
    (
        "jobs/predictive_maintenance/tests/data/machine_temperature_system_failure.csv.gz",
        "machine",
        "timestamp",
    ),
    (
        "jobs/predictive_maintenance/tests/data/ambient_temperature_system_failure.csv.gz",
        "office",
        "timestamp",
    ),
    (
        "jobs/grid/tests/data/feeder_287.csv.gz",
        "feeder-287",
        "index",
    ),
];

const COUNTS: &str = "select device, tag, count(*), avg(value) from readings group by 1,2";

/// A file of the workspace, read where it lies.
fn recording(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(file)
}

fn with_recordings() -> Site {
    let site = Site::new();
    site.configure("[gateway]\nid = \"g1\"\nsite = \"werk\"\ndata_dir = \"data\"\n");
    for (file, device, time) in RECORDINGS {
        let file = recording(file);
        let imported = site.forebay(&[
            "import",
            file.to_str().unwrap(),
            "--device",
            device,
            "--time",
            time,
        ]);
        assert!(imported.status.success(), "{}", text(&imported.stderr));
    }
    site
}

/// By device and tag, how many values a recording holds and their sum: each cell but the time's.
fn counted(file: &str, device: &str) -> BTreeMap<(String, String), (u64, f64)> {
    let lines = BufReader::new(GzDecoder::new(File::open(recording(file)).unwrap()))
        .lines()
        .map(Result::unwrap);
    let mut rows = lines.map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let mut counts = BTreeMap::new();
    for row in rows {
        for (tag, cell) in header
            .iter()
            .zip(&row)
            .skip(1)
            .filter(|(_, cell)| !cell.is_empty())
        {
            let (count, sum) = counts
                .entry((device.to_owned(), tag.clone()))
                .or_insert((0, 0.0));
            *count += 1;
            *sum += cell.parse::<f64>().unwrap();
        }
    }
    counts
}

#[test]
fn counts_and_means_are_those_of_the_imported_files() {
    let site = with_recordings();
    let mut expected = BTreeMap::new();
    for (file, device, _) in RECORDINGS {
        expected.append(&mut counted(file, device));
    }
    assert!(
        expected.len() >= 3 && expected.values().all(|(count, _)| *count > 5_000),
        "{expected:?}"
    );
    let rows = site.rows(COUNTS);
    assert_eq!(rows.len(), expected.len(), "{rows:?}");
    for row in rows {
        let cells: Vec<&str> = row.split(',').collect();
        let [device, tag, count, mean] = cells[..] else {
            panic!("{row}")
        };
        let (expected_count, sum) = expected[&(device.to_owned(), tag.to_owned())];
        assert_eq!(count.parse(), Ok(expected_count), "{row}");
        let (mean, expected_mean) = (mean.parse::<f64>().unwrap(), sum / expected_count as f64);
        // Sums in another order differ in their last bits.
        assert!(
            (mean - expected_mean).abs() <= 1e-12 * expected_mean.abs(),
            "{row}: {expected_mean}"
        );
    }
}

/// The answer as CSV, and what it cost: files and bytes.
fn costly(site: &Site, sql: &str) -> (String, usize, u64) {
    let asked = site.forebay(&["query", "--stats", "--format", "csv", sql]);
    let said = text(&asked.stderr);
    assert!(asked.status.success(), "{said}");
    let words: Vec<&str> = said.split_whitespace().collect();
    let [files, "data", "files", "opened,", bytes, "bytes", ..] = words[..] else {
        panic!("{said}")
    };
    (
        text(&asked.stdout),
        files.parse().unwrap(),
        bytes.parse().unwrap(),
    )
}

#[test]
fn a_query_for_one_hour_opens_only_the_files_that_it_needs() {
    let site = with_recordings();
    let folder = site.path("data/lake/readings");
    let total = days_of_files(&folder).len();
    assert!(
        (3..=10).contains(&total),
        "the recordings last for months, in few files: {total}"
    );

    let hour = "select count(*), avg(value) from readings \
                where event_time >= '2014-01-15T10:00:00Z' and event_time < '2014-01-15T11:00:00Z' and device = 'machine'";
    let day = files_of_day(&folder, "2014-01-15");
    let day_bytes: u64 = day
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    let (answer, opened, bytes) = costly(&site, hour);
    // Every five minutes.
    assert!(
        answer.lines().nth(1).unwrap().starts_with("12,"),
        "{answer}"
    );
    assert!(
        (1..=day.len()).contains(&opened),
        "{opened} files opened of the day's {}",
        day.len()
    );
    assert!(
        (1..=day_bytes).contains(&bytes),
        "{bytes} bytes read of the day's {day_bytes}"
    );

    let (_, all_opened, all_bytes) = costly(&site, COUNTS);
    // A file that is read by two cores is opened by each.
    assert!(all_opened >= total, "{all_opened} files opened of {total}");
    assert!(
        all_bytes > bytes,
        "{all_bytes} bytes for everything, {bytes} for an hour"
    );

    // The files of no other day are needed, whatever is in them.
    for (file, ..) in days_of_files(&folder)
        .into_iter()
        .filter(|(file, ..)| !day.contains(file))
    {
        fs::write(file, "not to be opened").unwrap();
    }
    assert_eq!(costly(&site, hour), (answer, opened, bytes));
    assert!(!site.forebay(&["query", COUNTS]).status.success());
}

#[test]
fn of_a_day_with_a_file_an_hour_a_query_for_one_hour_opens_one() {
    const A_DAY: &str = "2026-05-01";
    let site = Site::new();
    site.configure("[gateway]\nid = \"g1\"\nsite = \"werk\"\ndata_dir = \"data\"\n");
    let csv = site.path("hour.csv");
    let (mut seen, mut by_hour) = (BTreeSet::new(), Vec::new());
    for hour in 0..24 {
        let row = |minute| format!("{A_DAY}T{hour:02}:{minute:02}:00Z,{}\n", hour * 60 + minute);
        fs::write(
            &csv,
            format!("time,load\n{}", (0..60).map(row).collect::<String>()),
        )
        .unwrap();
        let imported = site.forebay(&[
            "import",
            csv.to_str().unwrap(),
            "--device",
            "feeder",
            "--time",
            "time",
        ]);
        assert!(imported.status.success(), "{}", text(&imported.stderr));
        let files = files_of_day(&site.path("data/lake/readings"), A_DAY);
        by_hour.extend(files.into_iter().filter(|file| seen.insert(file.clone())));
    }
    assert_eq!(by_hour.len(), 24, "each import wrote one file");
    let hour = format!(
        "select count(*), min(value), max(value) from readings \
         where event_time >= '{A_DAY}T10:00:00Z' and event_time < '{A_DAY}T11:00:00Z'"
    );
    let (answer, opened, bytes) = costly(&site, &hour);
    assert_eq!(answer.lines().nth(1), Some("60,600.0,659.0"), "{answer}");
    let file_bytes = fs::metadata(&by_hour[10]).unwrap().len();
    assert_eq!(opened, 1);
    assert!(
        (1..=file_bytes).contains(&bytes),
        "{bytes} bytes read of the file's {file_bytes}"
    );

    for (_, file) in by_hour.iter().enumerate().filter(|(hour, _)| *hour != 10) {
        fs::write(file, "not to be opened").unwrap();
    }
    assert_eq!(costly(&site, &hour), (answer, opened, bytes));
    assert!(!site.forebay(&["query", COUNTS]).status.success());
}

#[test]
fn whoever_has_seen_enough_of_a_query_may_go() {
    let site = with_recordings();
    for format in ["table", "csv", "json"] {
        let mut query = site.command(&["query", "select * from readings", "--format", format]);
        let mut child = query
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{format}: {}", text(&ended.stderr));
    }
}

#[test]
fn an_answer_that_nobody_reads_or_takes_is_no_crash() {
    let site = with_recordings();
    site.configure(
        "[gateway]\nid = \"g1\"\nsite = \"werk\"\ndata_dir = \"data\"\n[[job]]\nname = \"j\"\nkind = \"sql\"\n\
         on = \"window_closed\"\ninto = \"scores\"\nquery = \"select site, device, {window_end} as event_time, \
         0.1 as limit, 0.0 as score, false as anomalous from readings\"\n",
    );
    for verb in [
        &["verify"][..],
        &["jobs", "list"],
        &["validate"],
        &["completions", "bash"],
        &["query", COUNTS],
    ] {
        let mut child = site
            .command(verb)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!(
            ended.status.code(),
            Some(0),
            "{verb:?}: {}",
            text(&ended.stderr)
        );
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ended = site.command(verb).stdout(full).output().unwrap();
        let said = text(&ended.stderr);
        assert!(
            ended.status.code() == Some(1) && said.contains("No space left"),
            "{verb:?}: {said}"
        );
    }
}

#[test]
fn an_import_says_what_it_decided_and_can_be_taken_back_while_the_configuration_is_being_edited() {
    const GATEWAY: &str = "[gateway]\nid = \"g1\"\nsite = \"werk\"\ndata_dir = \"data\"\n";
    let site = Site::new();
    site.configure(GATEWAY);
    let import = |name: &str, csv: &str, options: &[&str]| {
        let file = site.path(name);
        fs::write(&file, csv).unwrap();
        let args = [
            "import",
            file.to_str().unwrap(),
            "--device",
            "meter",
            "--time",
            "time",
            "--separator",
            ";",
        ];
        let imported = site.forebay(&[&args, options].concat());
        let said = text(&imported.stderr);
        assert!(imported.status.success(), "{said}");
        said
    };
    let zone = ["--time-zone", "Europe/Amsterdam", "--skip-rows", "1"];
    let hour = "time;load;\n;kW;\n2025-10-26 01:30;1;\n2025-10-26 02:00;987,5;\n2025-10-26 02:00;3;\n2025-03-30 02:30;4;\n";
    let said = import("hour.csv", hour, &zone);
    for part in [
        "4 rows, 3 readings committed, 0 were there before, 1 rows quarantined",
        "2 rows lie in an hour that clocks repeat: the order of rows told which pass is meant; 0 more",
        "1 rows quarantined: the time does not exist: clocks were put forward",
        "load: --decimal \",\" reads \"987,5\" as a number",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let said = import(
        "hour-again.csv",
        hour,
        &[&zone[..], &["--decimal", ","]].concat(),
    );
    assert!(
        said.contains("WARNING: 3 of these readings have a series and time that another import has already brought"),
        "{said}"
    );
    let said = import(
        "skipped.csv",
        &hour.replace(";1;", ";7;"),
        &[&zone[..], &["--on-existing", "skip"]].concat(),
    );
    assert!(
        said.contains("0 readings committed") && said.contains("3 readings were skipped"),
        "{said}"
    );

    // Somebody is half-way through a connector.
    site.configure(&format!("{GATEWAY}[[connector]]\nname = \n"));
    let listed = site.forebay(&["imports", "list"]);
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    let listed = text(&listed.stdout);
    let line = listed
        .lines()
        .find(|line| line.ends_with("/hour.csv"))
        .unwrap_or_else(|| panic!("{listed}"));
    assert!(line.contains("  werk  3 readings  "), "{line}");
    assert_eq!(
        site.rows("select count(*), count(value) from readings"),
        ["6,5"]
    );
    assert_eq!(site.verify().0, 0);
    let id = line.split("  ").next().unwrap();
    let undo = ["imports", "undo", id];
    assert_eq!(
        site.forebay(&undo).status.code(),
        Some(78),
        "who writes needs the whole configuration"
    );

    site.configure(GATEWAY);
    let undone = site.forebay(&undo);
    assert!(undone.status.success(), "{}", text(&undone.stderr));
    assert!(
        text(&undone.stderr).contains("3 readings have left the lake"),
        "{}",
        text(&undone.stderr)
    );
    assert_eq!(
        site.rows("select count(*), count(value) from readings"),
        ["3,3"]
    );
    assert_eq!(site.verify().0, 0);
    let again = site.forebay(&undo);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stderr));
    assert!(
        text(&again.stderr).contains("is already undone"),
        "{}",
        text(&again.stderr)
    );

    // The state of one import is lost: it is named, and the others are listed.
    let lines = || {
        text(&site.forebay(&["imports", "list"]).stdout)
            .lines()
            .count()
    };
    let before = lines();
    let states = fs::read_dir(site.path("data/lake/readings/_forebay/state")).unwrap();
    let mut states = states.map(|folder| folder.unwrap().path());
    let is_of_import = |folder: &std::path::PathBuf| !folder.join(format!("{id:0>20}")).exists();
    fs::remove_dir_all(states.find(is_of_import).unwrap()).unwrap();
    let listed = site.forebay(&["imports", "list"]);
    assert_eq!(
        (listed.status.code(), lines()),
        (Some(1), before - 1),
        "{}",
        text(&listed.stderr)
    );
    let said = text(&listed.stderr);
    assert!(
        said.contains("forebay: import ") && said.contains("`forebay repair state`"),
        "{said}"
    );
}
