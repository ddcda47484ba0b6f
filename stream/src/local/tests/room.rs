//! Limits.

use tokio::task::JoinSet;

use super::*;

const BYTES_MAX: u64 = 4096;

fn tight(on_full: OnFull) -> Limits {
    Limits::new(BYTES_MAX, 1024, on_full).unwrap()
}

pub(super) fn used(dir: &Path) -> u64 {
    segments(dir)
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum()
}

#[tokio::test]
async fn a_full_spool_blocks_until_something_is_forgotten() {
    let dir = TempDir::new().unwrap();
    let spool = Spool::open(options(dir.path(), tight(OnFull::Block)))
        .await
        .unwrap();
    let (total, mut appends) = (200, JoinSet::new());
    for number in 1..=total {
        let writer = spool.writer();
        appends.spawn(async move { writer.append(readings(number, 1).unwrap()).await.unwrap() });
    }
    let mut reader = spool.reader(Offset(0));
    let (mut seqs, mut bytes_max) = (Vec::new(), 0);
    while seqs.len() < total as usize {
        let record = reader.next().await.unwrap();
        let Entry::Batch(batch) = record.entry else {
            panic!("{record:?}")
        };
        seqs.push(batch.first_seq.0);
        bytes_max = bytes_max.max(used(dir.path()));
        reader.forget(record.next).await.unwrap();
    }
    assert_eq!(appends.join_all().await.len(), total as usize);
    assert_eq!(seqs, (1..=total).collect::<Vec<_>>());
    assert!(bytes_max <= BYTES_MAX, "{bytes_max}");
    assert!(
        bytes_max > BYTES_MAX / 2,
        "never near its limit: {bytes_max}"
    );
}

#[tokio::test]
async fn closing_ends_a_blocked_append() {
    let dir = TempDir::new().unwrap();
    let spool = Spool::open(options(dir.path(), tight(OnFull::Block)))
        .await
        .unwrap();
    let writer = spool.writer();
    let filling = async {
        loop {
            if let Err(error) = writer.append(readings(1, 1).unwrap()).await {
                break error;
            }
        }
    };
    let closing = async {
        let mut reader = spool.reader(Offset(0));
        while used(dir.path()) < BYTES_MAX - 400 {
            reader.next().await.unwrap();
        }
        spool.writer().close().await.unwrap();
    };
    let (error, ()) = tokio::join!(filling, closing);
    assert!(matches!(error, StreamError::Closed), "{error}");
    let last = all(&spool).await.pop().unwrap();
    assert!(
        matches!(
            last.entry,
            Entry::EpochEnd {
                last: LastSeq::Known(Some(_)),
                ..
            }
        ),
        "{last:?}"
    );
    assert!(used(dir.path()) <= BYTES_MAX);
}

#[tokio::test]
async fn dropping_the_oldest_leaves_exact_ranges() {
    let dir = TempDir::new().unwrap();
    let spool = Spool::open(options(dir.path(), tight(OnFull::DropOldest)))
        .await
        .unwrap();
    let mut early = spool.reader(Offset(0));
    append(&spool, 1, 2).await;
    early.next().await.unwrap();
    for number in 0..100 {
        append(&spool, 3 + 2 * number, 2).await;
        assert!(used(dir.path()) <= BYTES_MAX);
    }
    let found = all(&spool).await;
    let Entry::Dropped {
        epoch,
        first_seq,
        last_seq,
        ..
    } = found[0].entry
    else {
        panic!("{:?}", found[0])
    };
    assert_eq!((epoch, first_seq), (FIRST_EPOCH, Seq(1)));
    let mut next = last_seq.0 + 1;
    for record in &found[1..] {
        let Entry::Batch(batch) = &record.entry else {
            panic!("{record:?}")
        };
        assert_eq!(
            (batch.first_seq, &batch.readings),
            (Seq(next), &readings(next, 2).unwrap())
        );
        next += 2;
    }
    assert_eq!(next, 203);
    // The same after a crash, and with the reader that had begun before.
    let again = all(&open(image(dir.path()).path()).await).await;
    assert_eq!(again[..found.len()], found);
    let rest = drain(&mut early).await.unwrap();
    assert_eq!(
        rest[0],
        Record {
            offset: Offset(1),
            ..found[0].clone()
        },
        "it lost its place to the drop"
    );
    assert_eq!(rest[1..], found[1..]);
}

#[tokio::test]
async fn what_cannot_fit_is_refused() {
    let dir = TempDir::new().unwrap();
    let spool = Spool::open(options(dir.path(), tight(OnFull::Block)))
        .await
        .unwrap();
    let error = spool
        .writer()
        .append(readings(1 << 40, 2000).unwrap())
        .await
        .unwrap_err();
    assert!(matches!(error, StreamError::TooLarge { .. }), "{error}");
    append(&spool, 1, 1).await;
    for (bytes_max, segment_bytes) in [
        (1 << 20, 1023),
        (1 << 40, (1 << 30) + 1),
        (3 * 1024 - 1, 1024),
    ] {
        assert!(Limits::new(bytes_max, segment_bytes, OnFull::Block).is_err());
    }
}
