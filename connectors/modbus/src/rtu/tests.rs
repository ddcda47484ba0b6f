use forebay_fuzz::{corpus, fuzz};
use proptest::prelude::*;
use tokio::io::{DuplexStream, duplex};

use super::{frame::checksum, *};

const FORM: Form = Form {
    unit: 1,
    function: 3,
    first: 0,
    count: 2,
};
const MILLIS_100: Duration = Duration::from_millis(100);

/// A frame with its checksum.
fn framed(body: &[u8]) -> Vec<u8> {
    [body, &checksum(body).to_le_bytes()].concat()
}

fn reply(unit: u8, data: [u8; 4]) -> Vec<u8> {
    framed(&[&[unit, 3, 4], &data[..]].concat())
}

fn line() -> (RtuLine, DuplexStream) {
    let (near, far) = duplex(4096);
    (RtuLine::new(Box::new(near), Duration::ZERO), far)
}

#[test]
fn a_request_is_as_the_standard_has_it() {
    let form = Form { count: 10, ..FORM };
    assert_eq!(form.request(), [1, 3, 0, 0, 0, 10, 0xc5, 0xcd]);
}

/// What the line carries before the reply, and what is named if no reply comes.
#[tokio::test(start_paused = true)]
async fn a_reply_is_found_in_whatever_is_on_the_line() {
    let data = [9, 8, 7, 6];
    let broken = {
        let mut frame = reply(1, [1; 4]);
        frame[4] ^= 1;
        frame
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("echo", FORM.request().to_vec(), "the echo of the request"),
        ("other unit", reply(2, [1; 4]), "a reply of unit 2"),
        (
            "noise",
            vec![0xff, 0x00, 0x55],
            "bytes without a right checksum",
        ),
        (
            "head of a long frame",
            vec![1, 3, 250, 0],
            "bytes without a right checksum",
        ),
        ("broken", broken, "bytes without a right checksum"),
        (
            "longer",
            framed(&[1, 3, 6, 1, 1, 1, 1, 1, 1]),
            "a reply of 6 bytes, 4 are due",
        ),
        (
            "other function",
            framed(&[1, 4, 4, 1, 1, 1, 1]),
            "a reply to function 4",
        ),
        (
            "exception to it",
            framed(&[1, 0x84, 2]),
            "a reply to function 4",
        ),
    ];
    for (name, before, stray) in cases {
        let (mut line, mut far) = line();
        let whole = [before.clone(), reply(1, data)].concat();
        far.write_all(&whole).await.unwrap();
        let answer = timeout(MILLIS_100, line.call(FORM)).await;
        let answer = answer
            .unwrap_or_else(|_| panic!("{name}: no reply"))
            .unwrap();
        assert_eq!(answer, Answer::Data(data.to_vec()), "{name}");
        let (mut line, mut far) = self::line();
        far.write_all(&before).await.unwrap();
        assert!(
            timeout(MILLIS_100, line.call(FORM)).await.is_err(),
            "{name}"
        );
        assert_eq!(line.stray(), Some(stray), "{name}");
    }
    let (mut line, mut far) = line();
    far.write_all(&framed(&[1, 0x83, 2])).await.unwrap();
    assert_eq!(line.call(FORM).await.unwrap(), Answer::Exception(2));
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_is_not_taken_for_that_to_a_like_request() {
    let (mut line, mut far) = line();
    assert!(timeout(MILLIS_100, line.call(FORM)).await.is_err());
    let next = Form { first: 50, ..FORM };
    let far_end = async {
        // The reply to the first comes while the line is listened to, that to the second after it was asked.
        far.write_all(&reply(1, [1; 4])).await.unwrap();
        let mut requests = [0; 16];
        far.read_exact(&mut requests).await.unwrap();
        far.write_all(&reply(1, [2; 4])).await.unwrap();
        far
    };
    let near_end = async {
        line.settle(next, MILLIS_100 / 2).await.unwrap();
        line.call(next).await.unwrap()
    };
    let (answer, _open) = tokio::join!(near_end, far_end);
    assert_eq!(answer, Answer::Data(vec![2; 4]));
}

#[tokio::test(start_paused = true)]
async fn only_a_like_request_waits_and_only_once() {
    let (mut line, _far) = line();
    assert!(timeout(MILLIS_100, line.call(FORM)).await.is_err());
    let waits = [
        (Form { unit: 2, ..FORM }, false),
        (Form { count: 3, ..FORM }, false),
        (Form { first: 9, ..FORM }, true),
        (FORM, false),
    ];
    for (form, is_waited) in waits {
        let began = Instant::now();
        line.settle(form, MILLIS_100).await.unwrap();
        assert_eq!(began.elapsed() >= MILLIS_100, is_waited, "{form:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_line_rests_between_a_reply_and_the_next_request() {
    let (near, mut far) = duplex(4096);
    let mut line = RtuLine::new(Box::new(near), MILLIS_100);
    for _ in 0..2 {
        far.write_all(&reply(1, [1; 4])).await.unwrap();
        line.call(FORM).await.unwrap();
    }
    let began = Instant::now();
    far.write_all(&reply(1, [1; 4])).await.unwrap();
    line.call(FORM).await.unwrap();
    assert!(began.elapsed() >= MILLIS_100);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_ends_is_no_silence() {
    let (mut line, far) = line();
    drop(far);
    assert!(line.call(FORM).await.is_err());
}

proptest! {
    #[test]
    fn rubbish_neither_panics_nor_stalls(bytes in prop::collection::vec(any::<u8>(), 0..600), count in 1..125_u16) {
        let form = Form { count, ..FORM };
        let request = form.request();
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            match scan(left, form, &request) {
                Scan::More => break,
                Scan::Skip(skipped, _) => {
                    prop_assert!(skipped >= 1 && skipped <= left.len());
                    left = &left[skipped..];
                }
                Scan::Reply(Answer::Data(data)) => {
                    prop_assert_eq!(data.len(), form.data_bytes());
                    break;
                }
                Scan::Reply(Answer::Exception(_)) => break,
            }
        }
    }
}

/// Goes through what the line carries, until a reply.
fn scanned(bytes: &[u8], form: Form) -> (usize, Vec<String>, Option<bool>) {
    let request = form.request();
    let mut left = bytes;
    let mut passed = Vec::new();
    while !left.is_empty() {
        match scan(left, form, &request) {
            Scan::More => break,
            Scan::Skip(skipped, what) => {
                assert!(skipped >= 1 && skipped <= left.len());
                left = &left[skipped..];
                passed
                    .extend(what.map(|what| what.chars().filter(|c| c.is_alphabetic()).collect()));
            }
            Scan::Reply(Answer::Data(data)) => {
                assert_eq!(data.len(), form.data_bytes());
                return (passed.len(), passed, Some(true));
            }
            Scan::Reply(Answer::Exception(_)) => return (passed.len(), passed, Some(false)),
        }
    }
    (passed.len(), passed, None)
}

#[test]
fn fuzz_rtu() {
    let form = Form { count: 4, ..FORM };
    fuzz(corpus!("rtu"), move |bytes| {
        let body = &bytes[..bytes.len().saturating_sub(2)];
        // Also with a right checksum, which no damage would meet.
        (scanned(bytes, form), scanned(&framed(body), form))
    });
}
