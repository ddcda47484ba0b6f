//! The stop, while a query does not let go of its thread.

use std::{
    process::{Child, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
    thread::available_parallelism,
    time::Duration,
};

use tokio::time::Instant;

use super::fixture::{Site, TestLake, limits, settings};
use crate::WaitingWindows;

static BLOCKED: AtomicUsize = AtomicUsize::new(0);

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_never_yield_do_not_hold_up_the_stop() {
    let lake = TestLake::filled().await;
    let settings = settings(&lake, limits());
    let (let_go, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let mut reader = lake.reader();
    reader.waiting = Some(WaitingWindows::new(move || {
        BLOCKED.fetch_add(1, Ordering::Relaxed);
        // Until the other end is gone.
        let _end = gate.lock().unwrap().recv();
        Vec::new()
    }));
    let site = Site::of_reader(lake, settings, reader).await;
    let ask = || -> Child {
        let mut psql = site.psql("quentin");
        let psql = psql.args(["-c", "SELECT * FROM windows_waiting"]);
        psql.stderr(Stdio::null()).spawn().unwrap()
    };
    let threads = available_parallelism().map_or(1, |count| count.get().div_ceil(2));
    let mut asking = Vec::new();
    let begun = Instant::now();
    // One after the other: who signs in needs a thread as well.
    for blocked in 1..=threads {
        asking.push(ask());
        while BLOCKED.load(Ordering::Relaxed) < blocked {
            assert!(begun.elapsed() < Duration::from_secs(30), "not blocked");
        }
    }
    let begun = Instant::now();
    drop(site);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(let_go);
    for mut psql in asking {
        let _killed = psql.kill();
        psql.wait().unwrap();
    }
}
