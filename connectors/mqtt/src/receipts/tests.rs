use proptest::prelude::*;

use super::*;

fn receipt(packet: u16, payload: &str) -> Receipt {
    Receipt {
        packet: PacketId(packet),
        fingerprint: Fingerprint::of("a/b", payload.as_bytes()),
    }
}

fn stored(packets: &[u16]) -> Receipts {
    let mut receipts = Receipts::default();
    for packet in packets {
        receipts.stored(receipt(*packet, "x"));
        receipts.acknowledged(PacketId(*packet));
    }
    receipts
}

#[test]
fn only_the_same_message_sent_again_is_a_repeat() {
    let table = [
        (receipt(7, "x"), true, Arrival::Repeat),
        (receipt(7, "x"), false, Arrival::New),
        (receipt(7, "y"), true, Arrival::New),
        (receipt(8, "x"), true, Arrival::New),
    ];
    for (arriving, dup, expected) in table {
        assert_eq!(
            stored(&[7]).arrived(arriving, dup),
            expected,
            "{arriving:?} dup={dup}"
        );
    }
    let mut receipts = stored(&[7]);
    receipts.arrived(receipt(7, "y"), false);
    assert_eq!(
        receipts.arrived(receipt(7, "x"), true),
        Arrival::New,
        "the identifier was used anew"
    );
}

#[test]
fn a_receipt_ends_with_the_answer_to_a_ping_sent_behind_its_puback() {
    let mut receipts = stored(&[1]);
    receipts.ping_answered(&BTreeSet::new());
    assert_eq!(
        receipts.open().count(),
        1,
        "an answer to no ping proves nothing"
    );
    assert_eq!(receipts.pubacks_since_ping(), 1);
    receipts.ping_sent();
    assert_eq!(receipts.pubacks_since_ping(), 0);
    receipts.stored(receipt(2, "x"));
    receipts.acknowledged(PacketId(2));
    receipts.stored(receipt(3, "x"));
    receipts.ping_answered(&BTreeSet::new());
    let open: Vec<u16> = receipts.open().map(|receipt| receipt.packet.0).collect();
    assert_eq!(open, [2, 3], "2 went out behind the ping, 3 not at all");
    receipts.ping_sent();
    receipts.ping_answered(&BTreeSet::new());
    assert_eq!(
        receipts
            .open()
            .map(|receipt| receipt.packet.0)
            .collect::<Vec<_>>(),
        [3]
    );
}

#[test]
fn pings_of_another_connection_prove_nothing() {
    let mut receipts = stored(&[1]);
    receipts.ping_sent();
    receipts.connected_again();
    receipts.ping_answered(&BTreeSet::new());
    receipts.ping_sent();
    receipts.ping_answered(&BTreeSet::new());
    assert_eq!(receipts.arrived(receipt(1, "x"), true), Arrival::Repeat);
    receipts.session_began();
    assert_eq!(receipts.take_ended(), [receipt(1, "x")]);
    assert_eq!(receipts.arrived(receipt(1, "x"), true), Arrival::New);
}

#[test]
fn what_ends_is_told_once() {
    let mut receipts = stored(&[1, 2, 3, 4]);
    receipts.ping_sent();
    receipts.acknowledged(PacketId(4));
    receipts.arrived(receipt(1, "y"), false);
    receipts.stored(receipt(1, "y"));
    receipts.stored(receipt(2, "y"));
    receipts.stored(receipt(2, "y"));
    receipts.ping_answered(&BTreeSet::new());
    assert_eq!(
        receipts.take_ended(),
        [receipt(1, "x"), receipt(2, "x"), receipt(3, "x")]
    );
    assert!(!receipts.has_ended());
    receipts.stored_in_vain(receipt(9, "x"));
    assert_eq!(receipts.take_ended(), [receipt(9, "x")]);
    let mut left: Vec<_> = receipts.open().collect();
    left.sort();
    let mut expected = vec![receipt(1, "y"), receipt(2, "y"), receipt(4, "x")];
    expected.sort();
    assert_eq!(left, expected);
}

fn restored(kept: &[(Receipt, Extent)]) -> Receipts {
    let kept: Vec<_> = kept
        .iter()
        .map(|(receipt, extent)| Restored {
            token: receipt.token(),
            extent: *extent,
        })
        .collect();
    Receipts::restored(&kept)
}

#[test]
fn after_a_restart_a_whole_message_is_a_repeat_and_the_rest_of_a_part_is_taken() {
    let kept = [
        (receipt(1, "x"), Extent::Whole),
        (receipt(2, "x"), Extent::Part),
    ];
    let mut receipts = restored(&kept);
    assert_eq!(receipts.arrived(receipt(1, "x"), true), Arrival::Repeat);
    assert_eq!(receipts.arrived(receipt(2, "x"), true), Arrival::New);
    assert!(
        !receipts.has_ended(),
        "the gateway needs its receipt to know what is missing"
    );
    receipts.stored(receipt(2, "x"));
    assert_eq!(receipts.arrived(receipt(2, "x"), true), Arrival::Repeat);
    let mut receipts = restored(&kept);
    assert_eq!(
        receipts.arrived(receipt(2, "x"), false),
        Arrival::New,
        "another message of the same content"
    );
    assert_eq!(receipts.take_ended(), [receipt(2, "x")]);
}

#[test]
fn an_end_that_a_crash_forgot_hides_no_receipt() {
    for (mine, stale) in [("x", "y"), ("y", "x")] {
        let mut receipts = restored(&[
            (receipt(1, "x"), Extent::Whole),
            (receipt(1, "y"), Extent::Whole),
        ]);
        assert_eq!(receipts.arrived(receipt(1, mine), true), Arrival::Repeat);
        receipts.stored(receipt(1, mine));
        assert_eq!(receipts.take_ended(), [receipt(1, stale)]);
    }
}

#[test]
fn tokens_are_laid_out_as_written_down() {
    let receipt = Receipt {
        packet: PacketId(0x0102),
        fingerprint: Fingerprint(*b"0123456789abcdef"),
    };
    assert_eq!(receipt.token(), Token(b"\x01\x020123456789abcdef".to_vec()));
    assert_eq!(Receipt::of_token(&receipt.token()), Some(receipt));
    assert_eq!(
        Receipt::of_token(&Token(b"\x01\x020123456789abcde".to_vec())),
        None
    );
    assert_eq!(Receipt::of_token(&Token(Vec::new())), None);
}

#[test]
fn topic_and_payload_do_not_run_into_each_other() {
    assert_ne!(Fingerprint::of("ab", b"c"), Fingerprint::of("a", b"bc"));
}

proptest! {
    /// Whatever happens, a receipt without a PUBACK followed by an answered ping stays open.
    #[test]
    fn no_receipt_ends_without_proof(steps in prop::collection::vec(0u8..5, 0..60)) {
        let mut receipts = Receipts::default();
        receipts.stored(receipt(1, "x"));
        let (mut acknowledged, mut sent_behind, mut outstanding, mut proven) = (false, 0u32, 0u32, false);
        for step in steps {
            match step {
                0 => { receipts.acknowledged(PacketId(1)); (acknowledged, sent_behind) = (true, 0); }
                1 => { receipts.ping_sent(); outstanding += 1; if acknowledged { sent_behind += 1; } }
                2 => {
                    receipts.ping_answered(&BTreeSet::new());
                    if outstanding > 0 {
                        outstanding -= 1;
                        proven |= acknowledged && outstanding < sent_behind;
                    }
                }
                3 => { receipts.connected_again(); (acknowledged, sent_behind, outstanding) = (false, 0, 0); }
                _ => receipts.stored(receipt(2, "y")),
            }
            prop_assert_eq!(receipts.open().any(|open| open.packet == PacketId(1)), !proven);
            if proven { break; }
        }
    }
}
