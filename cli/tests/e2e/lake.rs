//! The lake from outside: `forebay` as a user runs it, against files as they lie on disk.

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use crate::site::{files, files_of_day, text};

const CSV: &str = "\
time,pump,temp \"C\",state
2024-05-01T23:59:59.5Z,p-1,20.5,canary-text
2024-05-02T00:00:00Z,p-1,21,on
2024-05-02 00:00:01,canary-device,22.25,
not a time,p-1,1,on
2024-05-02T00:00:02Z,p-1,-3,off
";

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn with_import() -> Self {
        let site = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::write(site.csv(), CSV).unwrap();
        let imported = site.import();
        assert!(imported.status.success(), "{}", text(&imported.stderr));
        let said = text(&imported.stderr);
        for part in [
            "5 rows, 7 readings committed, 0 were there before, 1 rows quarantined",
            "state: 3 of its values are text, such as \"canary-text\"",
            "row 4 is the first in quarantine: ",
        ] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        site
    }

    fn csv(&self) -> PathBuf {
        self.folder.path().join("pumps.csv")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        command
            .arg("--data-dir")
            .arg(self.data())
            .args(args)
            .env("NO_COLOR", "1");
        command
    }

    fn forebay(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn import(&self) -> Output {
        let csv = self.csv();
        let csv = csv.to_str().unwrap();
        self.forebay(&[
            "import",
            csv,
            "--device-column",
            "pump",
            "--time",
            "time",
            "--site",
            "plant 1",
        ])
    }

    fn query(&self, sql: &str) -> String {
        let answered = self.forebay(&["query", sql, "--format", "csv"]);
        assert!(answered.status.success(), "{}", text(&answered.stderr));
        text(&answered.stdout)
    }

    /// Exit code and last line.
    fn verify(&self) -> (i32, String) {
        let verified = self.forebay(&["verify"]);
        let out = text(&verified.stdout);
        (
            verified.status.code().unwrap(),
            out.lines().last().unwrap_or_default().to_owned(),
        )
    }

    fn files_of_the_first_day(&self) -> Vec<PathBuf> {
        files_of_day(&self.data().join("lake/readings"), "2024-05-01")
    }
}

#[test]
fn what_is_imported_is_answered_once() {
    let site = Site::with_import();
    let counts = "select device, tag, count(*) as n, avg(value) as mean from readings group by 1, 2 order by 1, 2";
    let expected = "\
device,tag,n,mean
canary-device,\"temp \"\"C\"\"\",1,22.25
p-1,state,3,
p-1,\"temp \"\"C\"\"\",3,12.833333333333334
";
    assert_eq!(site.query(counts), expected);
    assert_eq!(
        site.verify(),
        (0, "ok readings=7 files=2 gaps=0 doubled=0 missing=0".into())
    );

    let again = site.import();
    assert!(
        text(&again.stderr).contains("0 readings committed, 7 were there before"),
        "{}",
        text(&again.stderr)
    );
    assert_eq!(site.query(counts), expected);
    assert_eq!(
        site.query("select site, event_time, value_type, value_text, seq from readings where seq < 4 order by seq"),
        "\
site,event_time,value_type,value_text,seq
plant 1,2024-05-01T23:59:59.500000Z,f64,,1
plant 1,2024-05-01T23:59:59.500000Z,text,canary-text,2
plant 1,2024-05-02T00:00:00.000000Z,f64,,3
"
    );
    assert_eq!(
        site.query("select \"offset\", count(*) as n from quarantine group by 1"),
        "offset,n\n3,1\n"
    );
}

#[test]
fn a_query_leaves_other_days_unopened() {
    let site = Site::with_import();
    for file in site.files_of_the_first_day() {
        fs::write(file, "PAR1 this is not to be opened PAR1").unwrap();
    }
    let day = "event_time >= '2024-05-02' and event_time < '2024-05-03'";
    assert_eq!(
        site.query(&format!("select count(*) as n from readings where {day}")),
        "n\n5\n"
    );
    let hour = "event_time >= '2024-05-02T00:00:00Z' and event_time < '2024-05-02T01:00:00Z'";
    assert_eq!(
        site.query(&format!("select count(*) as n from readings where {hour}")),
        "n\n5\n"
    );
    assert!(
        !site
            .forebay(&["query", "select count(value) from readings"])
            .status
            .success()
    );
}

#[test]
fn verify_names_what_was_changed() {
    let site = Site::with_import();
    let file = site.files_of_the_first_day().remove(0);
    let whole = fs::read(&file).unwrap();
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(&file, changed).unwrap();
    assert_eq!(
        site.verify(),
        (
            3,
            "FAULT readings=5 files=2 gaps=0 doubled=0 missing=2".into()
        )
    );
    fs::remove_file(&file).unwrap();
    assert_eq!(
        site.verify(),
        (
            3,
            "FAULT readings=5 files=2 gaps=0 doubled=0 missing=2".into()
        )
    );
    fs::write(&file, whole).unwrap();
    assert_eq!(site.verify().0, 0);
}

#[test]
fn nothing_lies_in_clear_and_nothing_opens_without_the_keyring() {
    let site = Site::with_import();
    let lake = files(&site.data().join("lake"));
    assert!(lake.len() > 5, "{lake:?}");
    for file in &lake {
        let bytes = fs::read(file).unwrap();
        for canary in [
            "canary-device",
            "canary-text",
            "temp \"C\"",
            "temp \\\"C\\\"",
        ] {
            let found = bytes
                .windows(canary.len())
                .any(|window| window == canary.as_bytes());
            assert!(!found, "{canary} lies in clear in {}", file.display());
        }
    }
    fs::rename(site.data().join("keys"), site.data().join("keys-away")).unwrap();
    let asked = site.forebay(&["query", "select * from readings"]);
    assert_eq!(
        (asked.status.code(), text(&asked.stdout)),
        (Some(1), String::new())
    );
    let before = files(&site.data().join("lake")).len();
    assert_eq!(
        site.import().status.code(),
        Some(1),
        "a lake whose keyring is gone is not written to"
    );
    assert_eq!(files(&site.data().join("lake")).len(), before);
}

/// A clear file of just `size` bytes: the gap lies between the data and the footer, where no offset points.
fn stretched(clear: &[u8], size: usize) -> Vec<u8> {
    let footer_bytes =
        u32::from_le_bytes(clear[clear.len() - 8..clear.len() - 4].try_into().unwrap()) as usize
            + 8;
    let (data, footer) = clear.split_at(clear.len() - footer_bytes);
    let gap = size
        .checked_sub(clear.len())
        .expect("sealed files are larger than clear ones");
    [data, &vec![0; gap], footer].concat()
}

#[test]
fn a_clear_file_slipped_in_is_refused() {
    let site = Site::with_import();
    let columns = "device, tag, event_time, observed_time, value, value_int, value_text, value_bytes, value_type, unit, \
                   quality, quality_code, quality_reason, gateway, lane, epoch, seq";
    let clear = site.forebay(&[
        "query",
        &format!("select {columns} from readings where event_time < '2024-05-02'"),
        "--format",
        "parquet",
    ]);
    assert!(clear.status.success(), "{}", text(&clear.stderr));
    let file = site.files_of_the_first_day().remove(0);
    let size = fs::metadata(&file).unwrap().len() as usize;
    fs::write(&file, stretched(&clear.stdout, size)).unwrap();
    let asked = site.forebay(&[
        "query",
        "select count(value) as n from readings",
        "--format",
        "csv",
    ]);
    assert_eq!(asked.status.code(), Some(1), "{}", text(&asked.stdout));
    assert!(
        text(&asked.stderr).contains("not sealed"),
        "{}",
        text(&asked.stderr)
    );
}

/// An import is killed again and again; what it had committed stays, and the last run adds just the rest.
#[test]
fn a_killed_import_goes_on_behind_its_last_commit() {
    const ROWS: u64 = 120_000;
    let site = Site {
        folder: tempfile::tempdir().unwrap(),
    };
    let mut csv = String::from("t,a,b,c,d,e,f,g,h,i,j\n");
    for row in 0..ROWS {
        writeln!(csv, "{},{row},1,2,3,4,5,6,7,8,9", 1_700_000_000 + row).unwrap();
    }
    fs::write(site.csv(), csv).unwrap();
    let csv = site.csv();
    let args = [
        "import",
        csv.to_str().unwrap(),
        "--device",
        "d",
        "--time",
        "t",
        "--time-format",
        "s",
    ];
    let log = site.data().join("lake/readings/_delta_log");
    let commits = || fs::read_dir(&log).map_or(0, |entries| entries.count());
    let mut killed = 0;
    for after in [2, 3] {
        let mut run = site.command(&args).spawn().unwrap();
        while commits() < after && run.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        killed += usize::from(run.try_wait().unwrap().is_none());
        run.kill().unwrap();
        run.wait().unwrap();
    }
    assert!(
        killed > 0,
        "no run was still under way when it was to be killed"
    );
    let last = site.forebay(&args);
    assert!(last.status.success(), "{}", text(&last.stderr));
    let readings = ROWS * 10;
    assert_eq!(
        site.verify().1.split(" files").next(),
        Some(format!("ok readings={readings}").as_str())
    );
    let rows = site.query(
        "select count(*) as n, count(distinct value_int) as v from readings where tag = 'a'",
    );
    assert_eq!(rows, format!("n,v\n{ROWS},{ROWS}\n"));
}

#[test]
fn bad_input_is_named() {
    let site = Site {
        folder: tempfile::tempdir().unwrap(),
    };
    fs::write(site.csv(), "when,a\nx,1\ny,2\n").unwrap();
    let csv = site.csv();
    let csv = csv.to_str().unwrap();
    let semicolons = site.folder.path().join("semicolons.csv");
    fs::write(&semicolons, "when;a\nx;1\n").unwrap();
    let semicolons = semicolons.to_str().unwrap();
    let latin = site.folder.path().join("latin1.csv");
    fs::write(&latin, b"when,Temp \xb0C\n2025-01-01T00:00:00Z,1\n").unwrap();
    let latin = latin.to_str().unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["query", "select 1"], 1, "there is no lake at"),
        (
            &["import", latin, "--device", "d", "--time", "when"],
            1,
            "the name of column 2 in the header of",
        ),
        (
            &["import", csv, "--device", "d", "--time", "when"],
            1,
            "none of the 2 rows of",
        ),
        (
            &["import", csv, "--device", "d", "--time", "at"],
            1,
            "has no column \"at\"; it has: when, a",
        ),
        (
            &["import", semicolons, "--device", "d", "--time", "when"],
            1,
            "--separator \";\" reads it as more than one",
        ),
        (&["import", csv, "--time", "when"], 2, "--device"),
        (
            &["import", "absent.csv", "--device", "d", "--time", "t"],
            1,
            "cannot read absent.csv",
        ),
        (
            &[
                "import",
                csv,
                "--device",
                "d",
                "--time",
                "when",
                "--time-zone",
                "Mars/Base",
            ],
            1,
            "Mars/Base",
        ),
        (&["query", "select nonsense from readings"], 1, "nonsense"),
        (&["query", "drop table readings"], 1, "DDL not supported"),
    ];
    for (args, code, message) in cases {
        let ran = site.forebay(args);
        assert_eq!(
            ran.status.code(),
            Some(*code),
            "{args:?}: {}",
            text(&ran.stderr)
        );
        assert!(
            text(&ran.stderr).contains(message),
            "{args:?} does not say {message:?}: {}",
            text(&ran.stderr)
        );
    }
}
