//! `[[route]]`: where alerts are sent.

use std::time::Duration;

use forebay_config::{Describe, Table, TableKeys};
use url::Url;

use super::glob_set;
use crate::{
    Severity,
    keys::{
        ALERTMANAGER, ALLOW_PRIVATE, CA_FILE, FROM, GIVE_UP_AFTER, KIND, Kind, MQTT, PASSWORD,
        REPEAT_ALERTMANAGER, REPEAT_EVERY, REPEAT_MIN, REPEAT_PEOPLE, ROUTE_ALERTS, ROUTE_NAME,
        SECRET_FILE, SEVERITY_MIN, SMTP, TLS, TO, TOKEN_FILE, TOPIC, URL, USER, WEBHOOK,
    },
    plan::{Repeats, Subscription},
    route::Route,
    send::{Alertmanager, Channel, Mqtt, Reach, Smtp, SmtpTls, Target, Trust, Webhook, mailbox},
};

/// An alert lives at an Alertmanager for so many repetitions.
const ALIVE_REPEATS: u32 = 4;

/// What all of a route's kinds have.
struct Common {
    url: Url,
    trust: Trust,
    subscription: Subscription,
    give_up_after: Duration,
}

/// The keys of each kind of route, for documents.
pub fn route_kinds() -> Vec<(&'static str, TableKeys)> {
    let keys = |(name, kind): &(&'static str, Kind)| (*name, keys_of(*kind));
    Kind::WORDS.iter().map(keys).collect()
}

fn keys_of(kind: Kind) -> TableKeys {
    match kind {
        Kind::Webhook => WEBHOOK,
        Kind::Alertmanager => ALERTMANAGER,
        Kind::Smtp => SMTP,
        Kind::Mqtt => MQTT,
    }
}

pub(super) fn route(table: &mut Table<'_>) -> Option<Route> {
    let name = table.read(&ROUTE_NAME);
    let kind = table.read(&KIND);
    if !table.has(&KIND) {
        let words: Vec<&str> = Kind::WORDS.iter().map(|(word, _)| *word).collect();
        table.problem(
            &KIND,
            format!("missing; one of {} is expected", words.join(", ")),
        );
    }
    let common = common(table, name.clone(), kind);
    // Without a kind nobody knows which of the other keys are right.
    let Some(kind) = kind else {
        for keys in [&WEBHOOK, &ALERTMANAGER, &SMTP, &MQTT] {
            table.also(keys);
        }
        return None;
    };
    table.also(&keys_of(kind));
    let channel = match kind {
        Kind::Webhook => webhook(table, common.as_ref()),
        Kind::Alertmanager => alertmanager(table, common.as_ref()),
        Kind::Smtp => smtp(table, common.as_ref()),
        Kind::Mqtt => mqtt(table, common.as_ref()),
    };
    let common = common?;
    Some(Route {
        name: name?,
        subscription: common.subscription,
        give_up_after: common.give_up_after,
        channel: channel?,
    })
}

fn common(table: &mut Table<'_>, name: Option<String>, kind: Option<Kind>) -> Option<Common> {
    let url = table.read(&URL);
    let alerts = table.read(&ROUTE_ALERTS);
    let alerts = glob_set(table, &ROUTE_ALERTS, &alerts);
    let severity_min: Severity = table.read(&SEVERITY_MIN);
    let repeat_every = table.read(&REPEAT_EVERY);
    let give_up_after = table.read(&GIVE_UP_AFTER);
    let ca_file = table.read(&CA_FILE);
    let is_short = repeat_every.is_some_and(|repeat| repeat < REPEAT_MIN);
    if is_short {
        table.problem(
            &REPEAT_EVERY,
            format!("at least {REPEAT_MIN:?} is expected"),
        );
    }
    let kind = kind?;
    let url = parsed(table, &url?, kind);
    let (repeat, repeats) = match kind {
        Kind::Alertmanager => (REPEAT_ALERTMANAGER, Repeats::KeepAlive),
        Kind::Webhook | Kind::Smtp | Kind::Mqtt => (REPEAT_PEOPLE, Repeats::Remind),
    };
    let subscription = Subscription {
        route: name?,
        alerts: alerts?,
        severity_min,
        repeat_every: repeat_every.unwrap_or(repeat),
        repeats,
    };
    Some(Common {
        url: url.filter(|_| !is_short)?,
        trust: Trust { ca_file },
        subscription,
        give_up_after,
    })
}

fn parsed(table: &Table<'_>, text: &str, kind: Kind) -> Option<Url> {
    let schemes: &[&str] = match kind {
        Kind::Webhook | Kind::Alertmanager => &["https", "http"],
        Kind::Smtp => &["smtps", "smtp"],
        Kind::Mqtt => &["mqtts", "mqtt"],
    };
    let fits = |url: &Url| schemes.contains(&url.scheme()) && url.host_str().is_some();
    let Some(url) = Url::parse(text).ok().filter(fits) else {
        let expected: Vec<String> = schemes.iter().map(|one| format!("{one}://…")).collect();
        table.problem(&URL, format!("{} is expected", expected.join(" or ")));
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        table.problem(
            &URL,
            "user and password do not stand in the URL: it is shown in logs",
        );
        return None;
    }
    Some(url)
}

fn webhook(table: &mut Table<'_>, common: Option<&Common>) -> Option<Channel> {
    let secret_file = table.read(&SECRET_FILE);
    let token_file = table.read(&TOKEN_FILE);
    let reach = if table.read(&ALLOW_PRIVATE) {
        Reach::Any
    } else {
        Reach::Public
    };
    let common = common?;
    Some(Channel::Webhook(Webhook {
        target: Target {
            url: common.url.clone(),
            trust: common.trust.clone(),
            reach,
        },
        secret_file,
        token_file,
    }))
}

fn alertmanager(table: &mut Table<'_>, common: Option<&Common>) -> Option<Channel> {
    let token_file = table.read(&TOKEN_FILE);
    let common = common?;
    let mut url = common.url.clone();
    let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(Channel::Alertmanager(Alertmanager {
        target: Target {
            url,
            trust: common.trust.clone(),
            reach: Reach::Any,
        },
        token_file,
        alive_for: common.subscription.repeat_every * ALIVE_REPEATS,
    }))
}

fn smtp(table: &mut Table<'_>, common: Option<&Common>) -> Option<Channel> {
    let from = table.read(&FROM);
    let to = table.read(&TO);
    let in_clear = table.read(&TLS).is_some();
    let user = table.read(&USER);
    let password = table.read(&PASSWORD);
    let to = to.and_then(|to| mailboxes(table, &TO, &to));
    let from = from.and_then(|from| mailboxes(table, &FROM, &[from])?.pop());
    let common = common?;
    let is_implicit = common.url.scheme() == "smtps";
    if in_clear && (is_implicit || user.is_some()) {
        table.problem(
            &TLS,
            "smtp:// without a user is expected: a password is not sent in clear",
        );
        return None;
    }
    let (tls, port) = match common.url.scheme() {
        "smtps" => (SmtpTls::Implicit, 465),
        _ if in_clear => (SmtpTls::Plain, 25),
        _ => (SmtpTls::StartTls, 587),
    };
    Some(Channel::Smtp(Smtp {
        host: common.url.host_str()?.to_owned(),
        port: common.url.port().unwrap_or(port),
        tls,
        trust: common.trust.clone(),
        user,
        password,
        from: from?,
        to: to?,
    }))
}

fn mailboxes(table: &Table<'_>, key: &dyn Describe, texts: &[String]) -> Option<Vec<String>> {
    if texts.is_empty() {
        table.problem(key, "at least one address is expected");
        return None;
    }
    let read: Result<Vec<String>, String> = texts.iter().map(|text| mailbox(text)).collect();
    read.map_err(|wrong| table.problem(key, wrong)).ok()
}

fn mqtt(table: &mut Table<'_>, common: Option<&Common>) -> Option<Channel> {
    let topic = table.read(&TOPIC);
    let user = table.read(&USER);
    let password = table.read(&PASSWORD);
    if topic.is_empty() || topic.contains(['+', '#', '\0']) {
        table.problem(&TOPIC, "a topic without wildcards is expected");
        return None;
    }
    let common = common?;
    let is_secured = common.url.scheme() == "mqtts";
    let port = if is_secured { 8883 } else { 1883 };
    let host = common.url.host_str()?;
    Some(Channel::Mqtt(Mqtt {
        host: host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned(),
        port: common.url.port().unwrap_or(port),
        tls: is_secured.then(|| common.trust.clone()),
        topic,
        user,
        password,
    }))
}
