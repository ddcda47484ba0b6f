//! What arrives where.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
};

use forebay_alerts::{Delivery, Request, StateFolder, ask};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    broker::{Broker, password_file},
    certificates::certificates,
    rig::{PATIENCE, Receiver, Running, clock, now, sender, settings},
};

fn webhook(port: u16) -> String {
    format!(
        "[[route]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/hook?a=b%20c\"\nsecret_file = \"secret\"\n\
         token_file = \"token\"\nallow_private = true\n"
    )
}

fn secrets(folder: &Path) {
    std::fs::write(folder.join("secret"), "geheim\n").unwrap();
    std::fs::write(folder.join("token"), "tk_1\n").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_of_an_outage_arrives_signed_and_once_told_apart() {
    let folder = TempDir::new().unwrap();
    secrets(folder.path());
    // The receiver fails, sends elsewhere, and takes the third try.
    let receiver = Receiver::python("webhook_sink.py", &["geheim", "503", "302", "200"]);
    let running = Running::start(folder.path(), &webhook(receiver.port));
    running.fill(95.0);
    let tries: Vec<Value> = (0..3).map(|_| receiver.next()).collect();
    for (tried, status) in tries.iter().zip([503, 302, 200]) {
        assert_eq!(tried["status"], status);
        // No redirect is followed: the path is the same each time.
        assert_eq!(tried["path"], "/hook?a=b%20c");
        assert_eq!(tried["proven"], true, "{tried}");
        assert_eq!(tried["delivery"], tries[0]["delivery"]);
        assert_eq!(tried["authorization"], "Bearer tk_1");
        assert_eq!(tried["host"], format!("127.0.0.1:{}", receiver.port));
    }
    let body = &tries[2]["body"];
    let fixed = json!([
        body["version"],
        body["event"],
        body["title"],
        body["summary"],
        body["severity"],
        body["labels"],
        body["ends_at"],
        body["gateway"],
        body["site"],
    ]);
    let expected = json!([
        1, "firing", "[warning] Größe: disk full", "the disk of /data is 95 % full", "warning",
        { "folder": "/data", "site": "Größe" }, null, "g-1", "Größe",
    ]);
    assert_eq!(fixed, expected);
    running.fill(10.0);
    let resolved = receiver.next();
    assert_eq!(resolved["body"]["event"], "resolved");
    assert_eq!(resolved["body"]["alert_id"], body["alert_id"]);
    let over = resolved["body"]["summary"].as_str().unwrap();
    assert!(over.starts_with("over after "), "{over}");
    assert_ne!(resolved["delivery"], tries[0]["delivery"]);
    running.stop().await;
    assert!(receiver.is_done());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_raised_while_nobody_listened_arrives_after_a_kill() {
    let folder = TempDir::new().unwrap();
    secrets(folder.path());
    // Nobody answers here: the port was ours a moment ago.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let running = Running::start(folder.path(), &webhook(closed.port()));
    running.fill(95.0);
    let state = StateFolder::new(folder.path());
    let waits = || state.load().unwrap().waiting().any(|(_, count)| count == 1);
    wait_until("the delivery is stored", waits).await;
    running.kill().await;

    let receiver = Receiver::python("webhook_sink.py", &["geheim", "200"]);
    let running = Running::start(folder.path(), &webhook(receiver.port));
    let arrived = receiver.next();
    assert_eq!(arrived["body"]["event"], "firing");
    let is_sent = || state.load().unwrap().waiting().all(|(_, count)| count == 0);
    wait_until("the delivery is taken out", is_sent).await;

    // A person acknowledges beside the running process.
    let request = Request::Acknowledge {
        alert: arrived["body"]["alert_id"].as_str().unwrap().to_owned(),
        by: "ann".to_owned(),
        note: None,
    };
    let lock = forebay_runtime::LockFile::take(&StateFolder::lock_path(folder.path())).unwrap();
    let done = ask(folder.path(), &request, &clock()).await.unwrap();
    assert!(done.ends_with("is acknowledged by ann"), "{done}");
    let book = state.load().unwrap();
    let acknowledged = book.instances().next().unwrap().acknowledged.clone();
    assert_eq!(acknowledged.unwrap().by, "ann");
    // What a silence is called is what the person was told.
    let silence = Request::Silence {
        matchers: [("alert".to_owned(), "disk*".to_owned())].into(),
        until: forebay_schemas::Timestamp::from_nanos(i64::MAX),
        by: "ann".to_owned(),
        note: None,
    };
    let done = ask(folder.path(), &silence, &clock()).await.unwrap();
    let book = state.load().unwrap();
    let id = &book.silences()[0].id;
    assert!(done.starts_with(&format!("silence {id} holds")), "{done}");
    running.stop().await;

    // Nobody runs: the request is done here.
    drop(lock);
    let shelve = Request::Shelve {
        alert: arrived["body"]["alert_id"].as_str().unwrap().to_owned(),
        until: None,
    };
    let done = ask(folder.path(), &shelve, &clock()).await.unwrap();
    assert!(done.ends_with("is no longer shelved"), "{done}");
}

#[tokio::test]
async fn a_private_address_is_not_called_unless_it_is_allowed() {
    let folder = TempDir::new().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let route = format!(
        "[[route]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"http://localhost:{port}/\"\n"
    );
    let refused = tried(folder.path(), &route).await.unwrap_err();
    assert!(
        refused.contains("localhost is refused: ") && refused.contains("allow_private"),
        "{refused}"
    );
    server.set_nonblocking(true).unwrap();
    assert!(server.accept().is_err(), "somebody has connected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_goes_over_tls_to_a_server_that_asks_for_it() {
    let folder = TempDir::new().unwrap();
    certificates(folder.path());
    let (certificate, key) = (path(&folder, "server.pem"), path(&folder, "server.key"));
    for (mode, scheme) in [("starttls", "smtp"), ("implicit", "smtps")] {
        let receiver = Receiver::python("mail_sink.py", &[mode, &certificate, &key]);
        let route = |password: &str, ca: &str| {
            format!(
                "[[route]]\nname = \"mail\"\nkind = \"smtp\"\nurl = \"{scheme}://127.0.0.1:{}\"\n{ca}\nuser = \"forebay\"\n\
                 password = \"{password}\"\nfrom = \"forebay@plant.example\"\nto = [\"a@plant.example\", \"b@plant.example\"]\n",
                receiver.port
            )
        };
        let ca = "ca_file = \"ca.pem\"";
        let wrong = tried(folder.path(), &route("falsch", ca))
            .await
            .unwrap_err();
        assert!(wrong.starts_with("AUTH failed: 535"), "{wrong}");
        let untrusted = tried(folder.path(), &route("geheim", "ca_file = \"client.pem\"")).await;
        assert!(untrusted.unwrap_err().starts_with("TLS failed"), "{mode}");
        let answer = tried(folder.path(), &route("geheim", ca)).await.unwrap();
        assert_eq!(answer, "250 queued as 1");
        let mail = receiver.next();
        let headers = &mail["headers"];
        let found = json!([
            mail["from"],
            mail["to"],
            mail["tls"],
            mail["user"],
            headers["subject"],
            headers["to"],
            mail["defects"]
        ]);
        let expected = json!([
            "forebay@plant.example",
            ["a@plant.example", "b@plant.example"],
            true,
            "forebay",
            "[test] Größe: test",
            "a@plant.example, b@plant.example",
            [],
        ]);
        assert_eq!(found, expected);
        let text = mail["text"].as_str().unwrap();
        assert!(text.contains("site       Größe"), "{text}");
    }
}

#[tokio::test]
async fn a_mail_server_that_offers_no_tls_gets_no_password() {
    let folder = TempDir::new().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut stream, _): (TcpStream, _) = server.accept().unwrap();
        stream.write_all(b"220 hello\r\n").unwrap();
        let (mut heard, mut buffer) = (Vec::new(), [0; 1024]);
        loop {
            let count = stream.read(&mut buffer).unwrap();
            if count == 0 {
                return String::from_utf8(heard).unwrap();
            }
            heard.extend_from_slice(&buffer[..count]);
            let answer: &[u8] = if heard.ends_with(b"STARTTLS\r\n") {
                b"502 no\r\n"
            } else {
                b"250-here\r\n250 SIZE\r\n"
            };
            stream.write_all(answer).unwrap();
        }
    });
    let route = format!(
        "[[route]]\nname = \"mail\"\nkind = \"smtp\"\nurl = \"smtp://127.0.0.1:{port}\"\nuser = \"u\"\npassword = \"geheim\"\n\
         from = \"f@plant.example\"\nto = [\"a@plant.example\"]\n"
    );
    let refused = tried(folder.path(), &route).await.unwrap_err();
    assert_eq!(refused, "STARTTLS failed: 502 no");
    assert_eq!(heard.join().unwrap(), "EHLO [127.0.0.1]\r\nSTARTTLS\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_acknowledges_each_alert() {
    let folder = TempDir::new().unwrap();
    password_file(folder.path());
    let rules = "acl_file {folder}/acl\npassword_file {folder}/passwords\nallow_anonymous true";
    std::fs::write(
        folder.path().join("acl"),
        "topic read #\nuser edge\ntopic readwrite #\n",
    )
    .unwrap();
    let broker = Broker::start_in(folder, rules);
    let receiver = Receiver::python("mqtt_sink.py", &[&broker.port.to_string()]);
    let work = TempDir::new().unwrap();
    let route = format!(
        "[[route]]\nname = \"bus\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{}\"\nuser = \"edge\"\npassword = \"geheim\"\n\
         topic = \"plant/{{site}}/{{alert}}/{{severity}}\"\n",
        broker.port
    );
    let running = Running::start(work.path(), &route);
    running.fill(95.0);
    let fired = receiver.next();
    let found = json!([fired["topic"], fired["qos"], fired["body"]["event"]]);
    assert_eq!(found, json!(["plant/Größe/disk full/warning", 1, "firing"]));
    running.fill(10.0);
    assert_eq!(receiver.next()["body"]["event"], "resolved");
    running.stop().await;
    let denied = tried(work.path(), &route.replace("geheim", "falsch"))
        .await
        .unwrap_err();
    assert!(denied.starts_with("the MQTT connection failed"), "{denied}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alertmanager_keeps_an_alert_until_it_is_over() {
    let folder = TempDir::new().unwrap();
    let configuration = folder.path().join("alertmanager.yml");
    std::fs::write(
        &configuration,
        "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n",
    )
    .unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    // Debian's name for it.
    let mut command = Command::new("prometheus-alertmanager");
    command
        .arg(format!("--config.file={}", configuration.display()))
        .arg(format!(
            "--storage.path={}",
            folder.path().join("am").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .args(["--cluster.listen-address=", "--log.level=error"]);
    let _alertmanager = Receiver::start(command);
    wait_until("Alertmanager answers", || get(port, "/-/ready").is_some()).await;
    let route = format!(
        "[[route]]\nname = \"am\"\nkind = \"alertmanager\"\nurl = \"http://127.0.0.1:{port}/\"\nrepeat_every = \"10s\"\n"
    );
    let running = Running::start(folder.path(), &route);
    running.fill(95.0);
    let alerts = || -> Vec<Value> {
        let text = get(port, "/api/v2/alerts?active=true").unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    };
    wait_until("the alert is there", || alerts().len() == 1).await;
    let alert = &alerts()[0];
    let labels = &alert["labels"];
    let found = json!([
        labels["alertname"],
        labels["severity"],
        labels["site"],
        alert["annotations"]["summary"]
    ]);
    assert_eq!(
        found,
        json!([
            "disk full",
            "warning",
            "Größe",
            "the disk of /data is 95 % full"
        ])
    );
    // Its end is moved on as long as it fires.
    let first_end = alert["endsAt"].clone();
    wait_until("it is kept alive", || {
        alerts()
            .first()
            .is_some_and(|one| one["endsAt"] != first_end)
    })
    .await;
    running.fill(10.0);
    wait_until("it is over", || alerts().is_empty()).await;
    running.stop().await;
}

/// Sends a test over the only route.
pub(crate) async fn tried(folder: &Path, route: &str) -> Result<String, String> {
    let settings = settings(folder, route);
    let now = (clock())();
    let delivery = Delivery::test("r", &sender(), now);
    settings.routes[0].try_once(&delivery, &sender(), now).await
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = now() + PATIENCE;
    while !holds() {
        assert!(now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// The body of an answer with status 200.
fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split_once(' ')?
        .1
        .starts_with("200")
        .then(|| body.to_owned())
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}
