//! Two copies of a data folder, at work beside one another on one lake.

use super::*;

/// Rounds in which each copy says something.
const ROUNDS: u64 = 6;
const EACH: u64 = 5;

impl Bench {
    pub(super) async fn spool_in(&self, folder: &str) -> Arc<Spool> {
        self.spool_at(
            folder,
            Limits::new(1 << 20, 1 << 14, OnFull::Block).unwrap(),
        )
        .await
    }

    pub(super) async fn spool_at(&self, folder: &str, limits: Limits) -> Arc<Spool> {
        let options = Options {
            path: self.folder.path().join(folder),
            lane: lane(),
            key: SpoolKey::new([7; 32]),
            limits,
            now: Timestamp::from_nanos(T0),
            random: Arc::new(SystemRandom::new()),
        };
        Arc::new(Spool::open(options).await.unwrap())
    }

    /// Copies the folder of a spool that nobody has open.
    fn copy_spool(&self, from: &str, to: &str) {
        let (from, to) = (self.folder.path().join(from), self.folder.path().join(to));
        std::fs::create_dir(&to).unwrap();
        for file in std::fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }

    async fn until_in_the_lake(&self, readings: u64) {
        while (self.seqs().await.len() as u64) < readings {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn compactor(
    bench: &Bench,
    spool: &Arc<Spool>,
    stop: &CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let group = Box::new(FixedGroup::new(vec![Arc::new(SpoolSource::new(
        spool.clone(),
        lane(),
    ))]));
    let (lake, clock, progress, stop) = (
        bench.lake.clone(),
        bench.clock.clone(),
        bench.progress.clone(),
        stop.clone(),
    );
    async move {
        run(lake, group, settings(), clock, progress, stop)
            .await
            .unwrap()
    }
}

/// No copy ever sees the end of the other's epoch: what may follow there is a gap of unknown end, which moves on as the other
/// goes on. Every gap that a state names has its row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_a_data_folder_at_work_beside_one_another_leave_no_gap_without_its_row() {
    let bench = Bench::new().await;
    let spool = bench.spool_in("image").await;
    spool.writer().append(readings(1, EACH)).await.unwrap();
    drop(spool);
    bench.copy_spool("image", "a");
    bench.copy_spool("image", "b");
    let (a, b) = (bench.spool_in("a").await, bench.spool_in("b").await);
    assert_ne!(a.opened().epoch, b.opened().epoch);
    let stop = CancellationToken::new();
    let told = "select count(*) from gaps where last_seq is null";
    let writing = async {
        for round in 1..=ROUNDS {
            for spool in [&a, &b] {
                spool.writer().append(readings(1, EACH)).await.unwrap();
            }
            bench.until_in_the_lake(EACH + 2 * round * EACH).await;
            while round == 1 && bench.rows(told).await == ["0"] {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        stop.cancel();
    };
    let working = async {
        tokio::join!(
            compactor(&bench, &a, &stop),
            compactor(&bench, &b, &stop),
            writing
        )
    };
    timeout(PATIENCE, working)
        .await
        .expect("the copies do not get on");
    let verdict = bench.verdict().await;
    assert!(
        verdict.starts_with(&format!("ok readings={} ", EACH + 2 * ROUNDS * EACH)),
        "{verdict}"
    );
    assert_ne!(bench.rows(told).await, ["1"], "the gap has moved on");
}
