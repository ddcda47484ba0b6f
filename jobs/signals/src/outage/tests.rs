//! Seeded injections: meters of four feeders over a month in quarters of an hour, with readings missing at random, power
//! losses with some last gasps, and communication losses of parts of a feeder, of whole feeders, and of all.

use super::*;

const MODEL: LossModel = LossModel {
    silent_intervals: 2.0,
    meters_min: 2,
    share_min: 0.2,
    evidence: Evidence::LastGasps(0.05),
};

const FEEDERS: usize = 4;
const METERS: usize = 30;
/// Minutes between a meter's readings.
const INTERVAL: i64 = 15;
const MONTH: i64 = 30 * 24 * 60;

/// SplitMix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: i64) -> i64 {
        (self.next() % n.unsigned_abs()) as i64
    }

    fn chance(&mut self, percent: i64) -> bool {
        self.below(100) < percent
    }
}

/// What was done to a feeder's meters.
#[derive(Debug, Clone, Copy)]
struct Injected {
    feeder: usize,
    kind: LossKind,
    from: i64,
    to: i64,
    /// Percent of the feeder's meters.
    percent: i64,
}

/// An injection for each other day of each feeder, power and communication in turn; on every tenth day all feeders cannot be reached.
fn injections(draw: &mut Draw) -> Vec<Injected> {
    let mut injected = Vec::new();
    for day in (1..29).step_by(2) {
        let from = day * 24 * 60 + draw.below(60);
        let is_everywhere = day % 10 == 1;
        for feeder in 0..FEEDERS {
            let kind = match is_everywhere || (day / 2 + feeder as i64) % 2 == 0 {
                true => LossKind::Communication,
                false => LossKind::Power,
            };
            let shift = match is_everywhere {
                true => 0,
                false => 330 * feeder as i64 + draw.below(60),
            };
            injected.push(Injected {
                feeder,
                kind,
                from: from + shift,
                to: from + shift + 75 + draw.below(180),
                percent: [100, 60, 40][draw.below(3) as usize],
            });
        }
    }
    injected
}

/// The meters of each feeder, heard once an interval at a minute of their own.
fn meters(injected: &[Injected], gasps_percent: i64, draw: &mut Draw) -> Vec<Vec<Meter>> {
    let mut feeders = Vec::new();
    for feeder in 0..FEEDERS {
        let mut of_feeder = Vec::new();
        for meter in 0..METERS as i64 {
            let hit: Vec<&Injected> = injected
                .iter()
                .filter(|of| of.feeder == feeder && meter * 100 < of.percent * METERS as i64)
                .collect();
            let mut heard: Vec<i64> = (0..MONTH / INTERVAL)
                .map(|slot| slot * INTERVAL + meter % INTERVAL)
                .collect();
            heard.retain(|at| !hit.iter().any(|of| (of.from..of.to).contains(at)));
            heard.retain(|_| !draw.chance(3));
            let mut gasps = Vec::new();
            for of in hit.iter().filter(|of| of.kind == LossKind::Power) {
                if draw.chance(gasps_percent) {
                    gasps.push(of.from);
                }
            }
            // A dip without a loss; what cannot be reached sends nothing.
            let dip = draw.below(MONTH);
            let is_cut = |of: &&Injected| {
                of.kind == LossKind::Communication && (of.from..of.to).contains(&dip)
            };
            if !hit.iter().any(is_cut) {
                gasps.push(dip);
            }
            gasps.sort_unstable();
            of_feeder.push(Meter { heard, gasps });
        }
        feeders.push(of_feeder);
    }
    feeders
}

/// (found of the injected of a kind, injected of it, found that were not injected, called power but communication).
fn measure(model: &LossModel, seed: u64, gasps_percent: i64) -> (usize, usize, usize, usize) {
    let mut draw = Draw(seed);
    let mut injected = injections(&mut draw);
    if matches!(model.evidence, Evidence::Neighbours(_)) {
        // Without last gasps a part of a feeder without power looks like one that cannot be reached, and so does a
        // feeder that as a whole cannot be.
        for of in &mut injected {
            let is_everywhere = of.from / (24 * 60) % 10 == 1;
            of.percent = match of.kind {
                LossKind::Power => 100,
                LossKind::Communication if is_everywhere => 100,
                LossKind::Communication => of.percent.min(60),
            };
        }
    }
    let feeders = meters(&injected, gasps_percent, &mut draw);
    let (mut found, mut wanted, mut invented, mut confused) = (0, 0, 0, 0);
    for (feeder, of_feeder) in feeders.iter().enumerate() {
        let others: Vec<Meter> = feeders
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != feeder)
            .flat_map(|(_, meters)| meters.clone())
            .collect();
        let losses = model.losses(of_feeder, &others, MONTH);
        let injected: Vec<&Injected> = injected.iter().filter(|of| of.feeder == feeder).collect();
        let meets =
            |loss: &Loss, of: &Injected| loss.from < of.to && loss.to.is_none_or(|to| to > of.from);
        for of in &injected {
            let of_it: Vec<&Loss> = losses.iter().filter(|loss| meets(loss, of)).collect();
            wanted += 1;
            found += usize::from(of_it.iter().any(|loss| loss.kind == of.kind));
            let is_outage = of_it.iter().any(|loss| loss.kind == LossKind::Power);
            confused += usize::from(of.kind == LossKind::Communication && is_outage);
        }
        invented += losses
            .iter()
            .filter(|loss| !injected.iter().any(|of| meets(loss, of)))
            .count();
    }
    (found, wanted, invented, confused)
}

#[test]
fn injected_losses_are_found_and_told_apart() {
    let neighbours = LossModel {
        evidence: Evidence::Neighbours(0.8),
        ..MODEL
    };
    for (model, gasps_percent) in [(MODEL, 80), (MODEL, 30), (neighbours, 0)] {
        for seed in 1..=5 {
            let (found, wanted, invented, confused) = measure(&model, seed, gasps_percent);
            let seen = format!(
                "{:?}, {gasps_percent} % gasps, seed {seed}: {found} of {wanted}, {invented} invented, {confused} confused",
                model.evidence
            );
            println!("{seen}");
            assert!(found as f64 >= 0.95 * wanted as f64, "{seen}");
            assert!(invented <= FEEDERS, "{seen}");
            assert_eq!(confused, 0, "{seen}");
        }
    }
}

#[test]
fn times_are_those_of_gasps_and_readings() {
    let meter = |gasps: &[i64]| Meter {
        heard: (0..100).filter(|at| !(40..60).contains(at)).collect(),
        gasps: gasps.to_vec(),
    };
    let of = |feeder: &[Meter], end| MODEL.losses(feeder, &[], end);
    let power = [meter(&[40]), meter(&[]), meter(&[])];
    let [loss] = of(&power, 100)[..] else {
        panic!("{:?}", of(&power, 100))
    };
    assert_eq!(
        (loss.kind, loss.from, loss.to),
        (LossKind::Power, 40, Some(60))
    );
    assert_eq!((loss.meters, loss.gasps, loss.known_at), (3, 1, 44));
    let [loss] = of(&[meter(&[]), meter(&[])], 100)[..] else {
        panic!("no loss")
    };
    assert_eq!((loss.kind, loss.from), (LossKind::Communication, 40));
    // While it goes on, and before it is known.
    let until = |end: i64| -> Vec<Meter> {
        let mut meters = power.to_vec();
        meters
            .iter_mut()
            .for_each(|of| of.heard.retain(|at| *at < end));
        meters
    };
    assert_eq!(of(&until(50), 50)[0].to, None);
    assert_eq!(of(&until(43), 43), []);
    assert_eq!(of(&[Meter::default()], 100), []);
}
