//! Replays day-ahead forecasts over a CSV file, a fire at each local midnight that sees only what came before it:
//!
//! ```text
//! cargo run --release -p forebay-demand-model --example replay -- FILE.csv.gz zone=Australia/Melbourne step=1800 \
//!     from=2013-07-01 to=2014-01-01 time=time_utc load=demand_mwh holiday=holiday temperature=temp_c [ahead=holiday,temp_c]
//!     [regressors=wind,radiation] [noise=1.5] [noise_on=all|ahead] [every=1] [trailing=28]
//! ```
//!
//! `noise` is the standard deviation of a normal error that is added to each temperature, or only to those that lie after
//! the fire. It prints the mean errors of the forecasts and of both naive ones, and how many values lay within the bounds.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
};

use anyhow::Context as _;
use forebay_demand_model::{DemandModel, Inputs, Known, SeasonalNaive, Step, Target, Tuning};
use forebay_statistics::{
    accuracy::{Pair, pinball},
    boosting::SplitMix,
};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};

const LEVEL: f64 = 0.9;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let file = args.next().context("a CSV file is missing")?;
    let options: BTreeMap<String, String> = args
        .filter_map(|arg| {
            arg.split_once('=')
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
        })
        .collect();
    let replay = Replay::new(&file, &options)?;
    replay.run()?.print();
    Ok(())
}

struct Replay {
    columns: BTreeMap<String, Vec<Step>>,
    model: DemandModel,
    from: Date,
    to: Date,
    every_days: i64,
    load: String,
    holiday: Option<String>,
    temperature: Option<String>,
    regressors: Vec<String>,
    ahead: BTreeSet<String>,
    noise_ahead: f64,
}

impl Replay {
    fn new(file: &str, options: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let option = |name: &str| options.get(name).cloned();
        let given = |name: &str| option(name).with_context(|| format!("{name}= is missing"));
        let number =
            |name: &str, default: f64| option(name).map_or(Ok(default), |text| text.parse());
        let list = |name: &str| -> Vec<String> {
            let text = option(name).unwrap_or_default();
            text.split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let step = given("step")?.parse()?;
        let day = 86_400 / step;
        let trailing = number("trailing", 28.0)? as usize;
        let mut columns = columns(file, &given("time")?, step)?;
        let noise = number("noise", 0.0)?;
        let on_all = option("noise_on").is_none_or(|on| on == "all");
        let mut draw = SplitMix(7);
        if let Some(temperature) = option("temperature").filter(|_| on_all)
            && let Some(steps) = columns.get_mut(&temperature)
        {
            steps
                .iter_mut()
                .for_each(|step| step.mean += noise * draw.normal());
        }
        Ok(Self {
            columns,
            model: DemandModel {
                step_seconds: step,
                zone: TimeZone::get(&given("zone")?)?,
                level: LEVEL,
                trailing_days: trailing,
                baseline: SeasonalNaive {
                    seasons: vec![day, 7 * day],
                    horizon: day,
                    trailing: day * i64::try_from(trailing)?,
                    level: LEVEL,
                },
                tuning: Tuning::default(),
            },
            from: given("from")?.parse()?,
            to: given("to")?.parse()?,
            every_days: number("every", 1.0)? as i64,
            load: given("load")?,
            holiday: option("holiday"),
            temperature: option("temperature"),
            regressors: list("regressors"),
            ahead: list("ahead").into_iter().collect(),
            noise_ahead: if on_all { 0.0 } else { noise },
        })
    }

    fn run(&self) -> anyhow::Result<Found> {
        let mut found = Found::default();
        let mut draw = SplitMix(42);
        let mut date = self.from;
        while date < self.to {
            let midnight = date.to_zoned(self.model.zone.clone())?.timestamp();
            let now = midnight.as_second() / self.model.step_seconds;
            let end = self.model.end(now, 86_400);
            let inputs = self.inputs(now, end, &mut draw)?;
            let answer = self.model.forecast(&inputs, now, end)?;
            *found.methods.entry(answer.method.name()).or_default() += 1;
            for target in &answer.targets {
                found.add(self, target);
            }
            date = date.saturating_add(self.every_days.days());
        }
        Ok(found)
    }

    /// What a fire may see.
    fn inputs(&self, now: i64, end: i64, draw: &mut SplitMix) -> anyhow::Result<Inputs> {
        let oldest = now - self.model.history();
        let known = |name: &String| -> anyhow::Result<Known> {
            let ahead = self.ahead.contains(name);
            let last = if ahead { end + 5 * (end - now) } else { now };
            let steps = self
                .columns
                .get(name)
                .with_context(|| format!("no column {name}"))?;
            let from = steps.partition_point(|step| step.index < oldest);
            let to = steps.partition_point(|step| step.index < last);
            let steps = steps[from..to].to_vec();
            Ok(Known { steps, ahead })
        };
        let mut temperature = self.temperature.as_ref().map(known).transpose()?;
        if let Some(temperature) = &mut temperature {
            let coming = temperature
                .steps
                .iter_mut()
                .filter(|step| step.index >= now);
            coming.for_each(|step| step.mean += self.noise_ahead * draw.normal());
        }
        let mut load = known(&self.load)?.steps;
        load.truncate(load.partition_point(|step| step.index < now));
        Ok(Inputs {
            load,
            holiday: self.holiday.as_ref().map(known).transpose()?,
            temperature,
            regressors: self
                .regressors
                .iter()
                .map(known)
                .collect::<Result<_, _>>()?,
        })
    }

    fn truth(&self, index: i64) -> Option<f64> {
        let steps = self.columns.get(&self.load)?;
        let at = steps.binary_search_by_key(&index, |step| step.index).ok()?;
        Some(steps[at].mean)
    }
}

#[derive(Default)]
struct Found {
    methods: BTreeMap<&'static str, usize>,
    /// Truth and forecast, truth and yesterday's, truth and last week's.
    pairs: [Vec<Pair>; 3],
    pinball: f64,
    inside: usize,
    width: f64,
}

impl Found {
    fn add(&mut self, replay: &Replay, target: &Target) {
        let day = 86_400 / replay.model.step_seconds;
        let at = |back: i64| replay.truth(target.index - back);
        let (Some(truth), Some(yesterday), Some(week)) = (at(0), at(day), at(7 * day)) else {
            return;
        };
        for (pairs, forecast) in self.pairs.iter_mut().zip([target.value, yesterday, week]) {
            pairs.push(Pair { truth, forecast });
        }
        for (quantile, forecast) in [(0.05, target.lo), (0.5, target.value), (0.95, target.hi)] {
            self.pinball += 2.0 / 3.0 * pinball(Pair { truth, forecast }, quantile);
        }
        self.inside += usize::from((target.lo..=target.hi).contains(&truth));
        self.width += target.hi - target.lo;
    }

    fn print(&self) {
        use forebay_statistics::accuracy::{mae, mape};
        let count = self.pairs[0].len() as f64;
        let mut truths: Vec<f64> = self.pairs[0].iter().map(|pair| pair.truth).collect();
        truths.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| {
            truths
                .get((count * share) as usize)
                .copied()
                .unwrap_or(f64::NAN)
        };
        let range = at(0.95) - at(0.05);
        for (name, pairs) in ["ours", "as a day ago", "as a week ago"]
            .iter()
            .zip(&self.pairs)
        {
            let mae = mae(pairs).unwrap_or(f64::NAN);
            let mape = 100.0 * mape(pairs).unwrap_or(f64::NAN);
            println!(
                "{name}: MAE {mae:.4}, of the range {:.2} %, MAPE {mape:.2} %",
                100.0 * mae / range
            );
        }
        println!(
            "values {count}, within the bounds {:.1} %, mean width {:.3}, CRPS of three quantiles over the range {:.4}",
            100.0 * self.inside as f64 / count,
            self.width / count,
            self.pinball / count / range,
        );
        println!("methods by fires: {:?}", self.methods);
    }
}

/// The columns of a CSV file as steps, by name; empty cells are holes.
fn columns(file: &str, time: &str, step: i64) -> anyhow::Result<BTreeMap<String, Vec<Step>>> {
    let mut text = String::new();
    let opened = std::fs::File::open(file)?;
    match file.ends_with(".gz") {
        true => flate2::read::GzDecoder::new(opened).read_to_string(&mut text)?,
        false => std::io::BufReader::new(opened).read_to_string(&mut text)?,
    };
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().context("an empty file")?.split(',').collect();
    let time = names
        .iter()
        .position(|name| *name == time)
        .context("no column of times")?;
    let mut columns: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let at: Timestamp = cells[time].parse()?;
        let index = at.as_second().div_euclid(step);
        for (name, cell) in names.iter().zip(&cells) {
            let mean = match *cell {
                "True" => 1.0,
                "False" => 0.0,
                cell => cell.parse().unwrap_or(f64::NAN),
            };
            if mean.is_finite() {
                columns
                    .entry((*name).to_owned())
                    .or_default()
                    .push(Step { index, mean });
            }
        }
    }
    Ok(columns)
}
