//! Looking around, against pymodbus.

use std::time::Duration;

use forebay_modbus::{Browsed, Survey, SurveyError, browse, probe};
use forebay_schemas::Value;

use crate::{
    peer::{Peer, served, start, unit},
    server::{Deed, Server},
};

fn survey(port: u16) -> Survey {
    Survey {
        url: format!("modbus://127.0.0.1:{port}"),
        rate: 1000.0,
        timeout: Duration::from_secs(5),
        ..Survey::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_browsed_is_a_connector_that_works() {
    let values = [
        served("holding", 10, "f32", "", "1.5"),
        served("holding", 299, "u16", "", "7"),
        served("coil", 2, "bool", "", "true"),
    ];
    let peer = Peer::start(0, &[unit(1, "", &values)]).await;
    let ranges = [("holding".to_owned(), 0..=299), ("coil".to_owned(), 0..=2)];
    let mut out = Vec::new();
    let browsed = browse(&survey(peer.port), &ranges, &mut out).await.unwrap();
    assert_eq!((browsed.found, browsed.missing), (6, 297));
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("name = \"holding_11\"\nregister = \"holding\"\naddress = 11\ntype = \"u16\" # 0 = 0x0000\n"), "{text}");
    assert!(text.contains("type = \"bool\" # true\n"), "{text}");
    let rig = start(&text);
    assert_eq!(rig.next_good("holding_299").await, Value::U64(7));
    assert_eq!(rig.next_good("coil_2").await, Value::Bool(true));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_shown_under_every_type_and_order() {
    let values = [
        served("input", 100, "f32", "CDAB", "123.5"),
        served("input", 102, "string:4", "", "\"Öl\""),
    ];
    let peer = Peer::start(0, &[unit(1, "", &values)]).await;
    let mut out = Vec::new();
    probe(&survey(peer.port), "input", 100, &mut out)
        .await
        .unwrap();
    let text = String::from_utf8(out).unwrap();
    let head = format!(
        "input 100 of tcp://127.0.0.1:{}, unit 1: 0000 42F7 C396 6C00\n",
        peer.port
    );
    assert!(text.starts_with(&head), "{text}");
    for line in [
        "f32        CDAB      123.5",
        "u16        AB        0",
        "bcd16      AB        0",
        "i48        ABCDEF    1123533718",
    ] {
        assert!(
            text.lines().any(|found| found.starts_with(line)),
            "{line} is not in:\n{text}"
        );
    }
    assert!(
        text.contains("(0x42f7 is not a bcd16") || text.contains("is not a bcd32"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_answer_ends_the_survey_with_the_reason() {
    let silent = Server::start(|_, _| Deed::Nothing).await;
    let quick = Survey {
        timeout: Duration::from_millis(20),
        ..survey(silent.port)
    };
    let ranges = [("holding".to_owned(), 0..=99)];
    let error = browse(&quick, &ranges, &mut Vec::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer from unit 1 within 20ms");
    let error = probe(&quick, "holding", 0, &mut Vec::new())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "holding 0: no answer from unit 1 within 20ms"
    );
    for (survey, table, part) in [
        (
            Survey {
                url: "http://plc".into(),
                ..quick.clone()
            },
            "holding",
            "has the scheme \"http\"",
        ),
        (
            Survey {
                rate: 0.0,
                ..quick.clone()
            },
            "holding",
            "more than 0 and at most 1000 requests a second",
        ),
        (quick.clone(), "holdings", "is not one of \"holding\""),
    ] {
        let error = probe(&survey, table, 0, &mut Vec::new()).await.unwrap_err();
        assert!(
            matches!(error, SurveyError::Asked(_)) && error.to_string().contains(part),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_the_device_does_not_have_costs_one_request_and_the_rate_is_kept() {
    let server = Server::start(|_, asked| {
        if asked.function == 3 {
            Deed::Close(asked.honest())
        } else {
            Deed::Send(asked.exception(1))
        }
    })
    .await;
    let slow = Survey {
        rate: 20.0,
        ..survey(server.port)
    };
    let ranges = [
        ("input".to_owned(), 0..=999),
        ("holding".to_owned(), 0..=499),
    ];
    let began = tokio::time::Instant::now();
    let browsed = browse(&slow, &ranges, &mut Vec::new()).await.unwrap();
    let expected = Browsed {
        found: 500,
        missing: 1000,
        requests: 5,
    };
    assert_eq!(browsed, expected);
    assert!(
        began.elapsed() >= Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
}
