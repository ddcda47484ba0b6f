//! What is refused, and with which words.

use std::path::Path;

use forebay_config::Document;

use super::*;

fn read(text: &str) -> Result<Option<ServeSettings>, String> {
    let nothing = |_: &str| None;
    let document = Document::new(Path::new("forebay.toml"), text, &nothing);
    let read = document.read(|root| Some(ServeSettings::read(root)));
    read.map_err(|errors| errors.to_string())
}

const USER: &str =
    "[[serve.user]]\nname = \"grafana\"\npassword_file = \"p\"\nsites = [\"north\", \"south-*\"]\n";

#[test]
fn the_example_is_read() {
    let text = format!(
        "[serve]\npostgres_listen = \"127.0.0.1:5432\"\nhttp_listen = \"[::1]:8428\"\n{USER}columns_hidden = \
         [\"quality_reason\"]\n"
    );
    let serve = read(&text).unwrap().unwrap();
    assert_eq!(
        serve.postgres_listen,
        Some("127.0.0.1:5432".parse().unwrap())
    );
    assert_eq!(serve.limits.queries_at_once, 4);
    assert_eq!(serve.limits.memory_bytes_max, 256 << 20);
    assert!(serve.users[0].sites.contains("south-7"));
    assert!(serve.users[0].columns_hidden.contains("quality_reason"));
    assert_eq!(read("").unwrap(), None);
}

#[test]
fn what_is_wrong_is_named() {
    let listen = "postgres_listen = \"127.0.0.1:5432\"\n";
    for (text, expected) in [
        (format!("[serve]\n{USER}"), "nobody could ask"),
        (format!("[serve]\n{listen}"), "nobody may ask without"),
        (
            format!("[serve]\npostgres_listen = \"0.0.0.0:5432\"\n{USER}"),
            "without [serve.tls] only the loopback address",
        ),
        (
            format!("[serve]\n{listen}{USER}{USER}"),
            "\"grafana\" is there twice",
        ),
        (
            format!("[serve]\n{listen}{USER}columns_hidden = [\"site\"]\n"),
            "\"site\" cannot be hidden",
        ),
        (
            format!("[serve]\n{listen}{USER}columns_hidden = [\"valeu\"]\n"),
            "\"valeu\" is no column",
        ),
        (
            format!("[serve]\n{listen}[[serve.user]]\nname = \"a\"\nsites = [\"*\"]\n"),
            "cannot sign in",
        ),
        (
            format!(
                "[serve]\n{listen}[[serve.user]]\nname = \"a\"\npassword_file = \"p\"\nsites = []\n"
            ),
            "no row fits an empty list",
        ),
        (
            format!("[serve]\n{listen}timeout = \"0s\"\n{USER}"),
            "a time above zero is expected",
        ),
    ] {
        let error = read(&text).unwrap_err();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
