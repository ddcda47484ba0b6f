//! A gateway whose file is changed while it runs, and what it says of its devices.

use super::{MINUTE, MOSQUITTO, MQTT, head};
use crate::site::{Broker, Peer, Site, pause, text, until};

fn connector(name: &str, port: u16) -> String {
    format!(
        "[[connector]]\nname = \"{name}\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{port}\"\nversion = 4\n\
         [[connector.tag]]\ntopic = \"{name}/{{device}}/{{tag}}\"\nvalue = \"$.v\"\n"
    )
}

#[test]
fn a_changed_file_starts_new_connectors_and_disturbs_no_other() {
    let site = Site::new();
    let broker = Broker::start(MOSQUITTO);
    let mut publisher = Peer::start(
        MQTT,
        &format!(r#"{{"port": {}, "version": 4}}"#, broker.port),
    );
    let one = head("plant") + &connector("one", broker.port);
    site.configure(&one);
    let none = site.forebay(&["devices"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("no `forebay run` with the edge role is running"));
    let mut running = site.run(&[]);
    let of = |area: &str| {
        format!("select count(*) from readings where device = '{area}-cell' and quality = 0")
    };
    let mut publish = |area: &str| {
        publisher.ask(&format!(
            r#"{{"topic": "{area}/{area}-cell/t", "first": 0, "last": 0}}"#
        ));
        site.number_yet(&of(area)) > 0
    };
    until(MINUTE, || publish("one")).expect("the first connector works");

    // A file that is wrong changes nothing.
    site.configure(&one.replace("version = 4", "version = 6"));
    until(MINUTE, || site.log().contains("configuration not reloaded")).expect("it is refused");
    // `forebay reload` may be faster than the look at the file: it waits for its turn.
    site.configure(&(one + &connector("two", broker.port)));
    pause(std::time::Duration::from_millis(10));
    let reload = site.forebay(&["reload"]);
    let told = text(&reload.stdout);
    assert!(
        told.contains("started: connector \"two\"") && told.contains("unchanged: 1"),
        "{told}"
    );
    until(MINUTE, || publish("two")).expect("the second connector works");
    assert!(publish("one"));
    assert_eq!(
        site.log().matches("connector started").count(),
        2,
        "the first was not restarted"
    );

    let devices = text(&site.forebay(&["devices", "--format", "json"]).stdout);
    for device in ["one-cell", "two-cell"] {
        assert!(
            devices.contains(&format!("\"device\":\"{device}\"")),
            "{devices}"
        );
    }
    let tapped = std::thread::scope(|scope| {
        let tap = scope.spawn(|| site.forebay(&["tap", "one-*/t", "--stage", "all", "--for", "3"]));
        until(MINUTE, || {
            publish("one");
            tap.is_finished()
        })
        .expect("it ends");
        text(&tap.join().unwrap().stdout)
    });
    for part in ["raw ", "decoded  one-cell/t", "reading  one-cell/t", "good"] {
        assert!(tapped.contains(part), "{part}: {tapped}");
    }
    assert!(running.is_up());
    running.stop();
}
