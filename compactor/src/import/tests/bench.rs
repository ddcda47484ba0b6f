//! A lake of its own, into which files are imported.

use super::*;

/// A lake of its own.
pub(super) struct Bench {
    pub(super) folder: tempfile::TempDir,
    pub(super) lake: LakeWriter,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let random: Random = Arc::new(SystemRandom::new());
        let keyring =
            Arc::new(FileKeyring::create(&folder.path().join("keys"), random.clone()).unwrap());
        let lake = Lake::local(&folder.path().join("lake")).unwrap();
        let lake = LakeWriter::open(&lake, keyring, Sealed::Columns, random)
            .await
            .unwrap();
        Self { folder, lake }
    }

    pub(super) async fn import(
        &self,
        name: &str,
        text: &str,
        change: impl Fn(&mut ImportSpec),
    ) -> ImportOutcome {
        let file = self.folder.path().join(name);
        match name.ends_with(".gz") {
            true => {
                let mut gz = GzEncoder::new(fs::File::create(&file).unwrap(), Compression::fast());
                gz.write_all(text.as_bytes()).unwrap();
                gz.finish().unwrap();
            }
            false => fs::write(&file, text).unwrap(),
        }
        let mut spec = spec(file);
        change(&mut spec);
        let gateway = GatewayId::new("g1").unwrap();
        import(&spec, &gateway, &self.lake, &windows(), now())
            .await
            .unwrap()
    }

    /// As an import that was killed behind a commit of the file's first two rows.
    pub(super) async fn killed_after_two_rows(&self, spec: &ImportSpec) {
        let survey = source::survey(spec).unwrap();
        let epoch = Epoch(
            self.lake
                .keeper()
                .number_of(&[&survey.digest, spec.identity().as_bytes()].concat()),
        );
        let lane = LaneId {
            gateway: GatewayId::new("g1").unwrap(),
            lane: IMPORT_LANE,
        };
        let mut rows = Rows::of(spec, survey, now());
        let mut records = Records::open(spec).unwrap();
        let (mut record, mut chunk) = (ByteRecord::new(), Vec::new());
        for _ in 0..2 {
            assert!(records.read(&mut record).unwrap());
            chunk.extend(rows.readings(&record).unwrap());
        }
        let (lake, app_id) = (&self.lake, imported_app_id(self.lake.keeper(), epoch));
        let (committed_row, mark, unplaced) = Default::default();
        let bad = Vec::new();
        let mut run = Run {
            lake,
            app_id,
            lane,
            epoch,
            state: None,
            committed_row,
            mark,
            unplaced,
            chunk,
            bad,
        };
        run.commit(2, &rows, &mut ImportOutcome::default())
            .await
            .unwrap();
    }

    /// Loses every state of the lake, and rebuilds them; answers the imports among them.
    pub(super) async fn lose_and_repair(&self) -> Vec<Option<Epoch>> {
        let states = self.folder.path().join("lake/readings/_forebay/state");
        fs::remove_dir_all(states).unwrap();
        assert!(
            self.verify().await.starts_with("FAULT "),
            "{}",
            self.verify().await
        );
        let repaired = repair_states(
            &self.lake,
            None,
            Retells::WhatIsLeft,
            RepairMode::Commit,
            now(),
        )
        .await
        .unwrap();
        assert!(
            self.verify().await.starts_with("ok "),
            "{}",
            self.verify().await
        );
        repaired
            .states
            .into_iter()
            .map(|state| state.import)
            .collect()
    }

    pub(super) async fn undo(&self, id: u64) -> Result<Undone, UndoError> {
        undo_import(id, &self.lake, &windows(), now()).await
    }

    /// The rows of a query over the tables, a line each.
    pub(super) async fn query(&self, sql: &str) -> Vec<String> {
        let tables = [&READINGS, &QUARANTINE, &forebay_schemas::table::WINDOWS];
        let tables: Vec<_> = tables
            .iter()
            .map(|table| self.lake.table(table).unwrap().clone())
            .collect();
        let context = session(&tables, &self.lake.decrypter()).await.unwrap();
        let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
        let shown = arrow::util::pretty::pretty_format_batches(&rows)
            .unwrap()
            .to_string();
        let cells = |line: &str| {
            line.trim_matches('|')
                .split('|')
                .map(str::trim)
                .collect::<Vec<_>>()
                .join(" ")
                .trim_end()
                .to_owned()
        };
        let lines: Vec<String> = shown
            .lines()
            .filter(|line| line.starts_with('|'))
            .skip(1)
            .map(cells)
            .collect();
        lines
    }

    pub(super) async fn verify(&self) -> String {
        let table = self.lake.table(&READINGS).unwrap();
        verify(table, self.lake.keeper(), &self.lake.decrypter())
            .await
            .unwrap()
            .to_string()
    }

    pub(super) async fn list(&self) -> Imports {
        imports(self.lake.table(&READINGS).unwrap(), self.lake.keeper())
            .await
            .unwrap()
    }
}

pub(super) fn windows() -> WindowSettings {
    WindowSettings {
        window: Duration::from_secs(3600),
        ..WindowSettings::default()
    }
}

pub(super) const SUM: &str = "select count(*), sum(value) from readings";
/// The latest revision of each window.
pub(super) const WINDOWS_NOW: &str = "select date_part('hour', window_start), revision, rows from \
                           (select *, row_number() over (partition by window_start order by revision desc) as n from windows) \
                           where n = 1 order by 1";

pub(super) fn hours(hours: std::ops::Range<u32>, value: u32) -> String {
    let rows: String = hours
        .map(|hour| format!("2025-04-01T{hour:02}:00:00Z,{value}\n"))
        .collect();
    format!("time,v\n{rows}")
}
