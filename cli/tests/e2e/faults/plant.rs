//! The gateway with every role, two devices behind a broker, and those who watch.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use serde_json::Value;

use super::receivers::Subscriber;
use crate::{
    grafana::{self, Psql},
    site::{Broker, Peer, Running, Site, free_port, text, until, wall_micros},
    watchers::{Server, alertmanager, measured, prometheus},
};

pub(super) const MINUTE: Duration = Duration::from_secs(60);
/// Fails while a reading of the last seconds is above a thousand: whole numbers are not divided by zero.
const RATIO: &str = "select site, device, {now} as event_time, 1.0 * (1 / cast(max(value) < 1000.0 as bigint)) as score, \
                     9.0 as limit, false as anomalous from readings \
                     where event_time >= {now} - interval '5 seconds' group by site, device";
/// How much of the disk is filled, in percent of its blocks.
const FILLED_PERCENT: f64 = 2.0;

/// A device: what it sends, and how far behind the clock, in µs; none while it is silent.
struct Device {
    value: f64,
    late: Option<i64>,
}

pub(super) struct Plant {
    devices: Broker,
    site: Site,
    publisher: Peer,
    sending: BTreeMap<&'static str, Device>,
    alertmanager: Server,
    prometheus: Server,
    _bus: Broker,
    subscriber: Subscriber,
    psql: Psql,
    running: Running,
}

impl Plant {
    pub(super) fn start() -> Self {
        let site = Site::new();
        let devices = Broker::start("allow_anonymous true");
        let bus = Broker::start("allow_anonymous true");
        let subscriber = Subscriber::of(&site, bus.port);
        let alertmanager = alertmanager(&site);
        let (serve_port, page_port) = (free_port(), free_port());
        let (psql, serve) = Psql::of(&site, serve_port);
        let disk_limit = used_percent(&site) + FILLED_PERCENT / 2.0;
        site.configure(&format!(
            "[gateway]\nid = \"g1\"\nsite = \"plant\"\ndata_dir = \"data\"\n\
             [lake]\ncommit_interval = \"300ms\"\nwindow = \"1s\"\nlateness = \"1s\"\nidle_timeout = \"5m\"\n\
             merge_every = \"2s\"\nmerge_settled = \"0s\"\n\
             [telemetry]\nprometheus_listen = \"127.0.0.1:{page_port}\"\n\
             {serve}[[connector]]\nname = \"line\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{}\"\nversion = 5\n\
             [[connector.tag]]\ntopic = \"site/{{device}}/{{tag}}\"\nvalue = \"$.v\"\ntime = \"$.ts\"\ntime_unit = \"us\"\n\
             [[job]]\nname = \"ratio\"\nkind = \"sql\"\nschedule = \"*/2 * * * * *\"\ninto = \"scores\"\nretries = 0\n\
             query = \"{RATIO}\"\n\
             [alerts]\nevery = \"1s\"\nlake_every = \"1s\"\n\
             [[alert]]\nname = \"pump silent\"\non = \"device_silent\"\ndevices = [\"pump\"]\nafter = \"4s\"\nclear_after = \"0s\"\n\
             [[alert]]\nname = \"broker away\"\non = \"device_silent\"\ndevices = [\"mill\"]\nafter = \"4s\"\nclear_after = \"0s\"\n\
             [[alert]]\nname = \"window late\"\non = \"freshness\"\nolder_than = \"30s\"\nclear_after = \"0s\"\n\
             [[alert]]\nname = \"job failing\"\non = \"job_failed\"\nclear_after = \"0s\"\nseverity = \"critical\"\n\
             [[alert]]\nname = \"disk nearly full\"\non = \"disk\"\nabove = {disk_limit}\nclear_after = \"0s\"\n\
             [[route]]\nname = \"am\"\nkind = \"alertmanager\"\nurl = \"http://127.0.0.1:{}\"\nrepeat_every = \"10s\"\n\
             [[route]]\nname = \"bus\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{}\"\n",
            devices.port, alertmanager.port, bus.port
        ));
        let running = site.run(&[]);
        let options = format!(r#"{{"port": {}, "version": 5}}"#, devices.port);
        let publisher = Peer::start("connectors/mqtt/tests/peer.py", &options);
        let prometheus = prometheus(&site, page_port);
        let device = || Device {
            value: 20.0,
            late: Some(0),
        };
        Self {
            devices,
            publisher,
            sending: BTreeMap::from([("mill", device()), ("pump", device())]),
            alertmanager,
            prometheus,
            _bus: bus,
            subscriber,
            psql,
            running,
            site,
        }
    }

    /// Waits until readings of both devices are in the lake, and a job has run over them.
    pub(super) fn until_up(&mut self) {
        self.until_asked("select count(distinct device) from readings", "2");
        self.until_measured(
            "forebay_job_runs_total{exported_job=\"ratio\", state=\"succeeded\"} > 0",
        );
    }

    pub(super) fn late(&mut self, device: &str, micros: i64) {
        self.sending.get_mut(device).unwrap().late = Some(micros);
    }

    pub(super) fn silence(&mut self, device: &str) {
        self.sending.get_mut(device).unwrap().late = None;
    }

    pub(super) fn resume(&mut self, device: &str) {
        self.late(device, 0);
    }

    pub(super) fn sends(&mut self, device: &str, value: f64) {
        self.sending.get_mut(device).unwrap().value = value;
    }

    /// The broker is away, and with it what devices say.
    pub(super) fn stop_broker(&mut self) {
        for device in ["mill", "pump"] {
            self.silence(device);
        }
        self.devices.stop();
    }

    pub(super) fn start_broker(&mut self) {
        assert!(self.devices.run(), "the broker starts again");
        for device in ["mill", "pump"] {
            self.resume(device);
        }
    }

    pub(super) fn fill_disk(&mut self) {
        let file = fs::File::create(self.filler()).unwrap();
        let disk = statvfs(self.site.folder.path()).unwrap();
        let bytes = disk.f_blocks as f64 * disk.f_frsize as f64 * FILLED_PERCENT / 100.0;
        fallocate(&file, FallocateFlags::empty(), 0, bytes as u64)
            .expect("2 % of the disk are free");
    }

    pub(super) fn free_disk(&mut self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.site.path("filler")
    }

    /// One reading of each device that is not silent.
    fn beat(&mut self) {
        for (name, device) in &self.sending {
            let Some(late) = device.late else { continue };
            let payload = format!(
                "{{\"v\": {}, \"ts\": {}}}",
                device.value,
                wall_micros() - late
            );
            let command = serde_json::json!({
                "topic": format!("site/{name}/temperature"),
                "payloads": [payload]
            });
            assert_eq!(self.publisher.ask(&command.to_string()), "done");
        }
    }

    /// Waits while the devices go on.
    fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let waited = until(2 * MINUTE, || {
            self.beat();
            is_so(self)
        });
        waited.unwrap_or_else(|()| panic!("{what}: {}", self.site.log()));
    }

    /// Waits for a query of psql to answer this.
    pub(super) fn until_asked(&mut self, sql: &str, expected: &str) {
        let mut last = Err(String::new());
        let waited = until(2 * MINUTE, || {
            self.beat();
            last = self.psql.ask(sql);
            last.as_ref().is_ok_and(|rows| *rows == [expected])
        });
        waited.unwrap_or_else(|()| panic!("{sql} answers {last:?}: {}", self.site.log()));
    }

    /// Waits for a query of PromQL to have a row.
    pub(super) fn until_measured(&mut self, query: &str) {
        self.until(query, |plant| {
            !measured(&plant.prometheus, query).is_empty()
        });
    }

    /// What Alertmanager holds of an alert.
    fn firing(&self, alert: &str) -> Option<Value> {
        let alerts = self.alertmanager.json("/api/v2/alerts?active=true");
        let mut alerts = alerts.as_array()?.iter();
        alerts
            .find(|held| held["labels"]["alertname"] == alert)
            .cloned()
    }

    /// One fault from its cause to its end.
    pub(super) fn heard_and_over(
        &mut self,
        alert: &str,
        label: (&str, &str),
        cause: impl FnOnce(&mut Self),
        mend: impl FnOnce(&mut Self),
    ) {
        assert_eq!(self.firing(alert), None, "{alert} fires before its cause");
        cause(self);
        self.until(alert, |plant| plant.firing(alert).is_some());
        let held = self.firing(alert).unwrap();
        assert_eq!(held["labels"][label.0], label.1, "{held}");
        let id = held["labels"]["alert_id"].as_str().unwrap().to_owned();
        let events = |plant: &Self| plant.subscriber.events(&id);
        self.until(alert, |plant| events(plant) == ["firing"]);

        let ack = ["alerts", "ack", &id, "--by", "ann", "--note", "seen"];
        let taken = self.site.forebay(&ack);
        assert!(taken.status.success(), "{}", text(&taken.stderr));
        let listed = text(&self.site.forebay(&["alerts", "list"]).stdout);
        let line = listed.lines().find(|line| line.starts_with(&id));
        assert!(
            line.is_some_and(|line| line.ends_with("[acknowledged by ann: seen]")),
            "{alert}: {listed}"
        );

        mend(self);
        self.until(alert, |plant| events(plant) == ["firing", "resolved"]);
        self.until(alert, |plant| plant.firing(alert).is_none());
    }

    /// Asks the panels over metrics and those over a plant's tags.
    pub(super) fn every_panel_has_data(&mut self) {
        self.beat();
        grafana::every_metric_has_data(&self.prometheus);
        let empty = grafana::empty_of_lake("plant.json", &self.psql);
        // A gap takes a stop of minutes: the kill tests have them. Roll-ups by the hour take an hour.
        let missing: Vec<_> = empty
            .iter()
            .filter(|panel| !panel.ends_with("Known gaps") && !panel.contains("Long history"))
            .collect();
        assert!(missing.is_empty(), "no data: {missing:?}");
    }

    pub(super) fn stop(self) {
        self.running.stop();
        assert_eq!(self.site.verify().0, 0, "{}", self.site.verify().1);
    }
}

/// How full the disk of a site's folder is, as `df` has it.
fn used_percent(site: &Site) -> f64 {
    let disk = statvfs(site.folder.path()).unwrap();
    let used = (disk.f_blocks - disk.f_bfree) as f64;
    100.0 * used / (used + disk.f_bavail as f64)
}
