use super::*;

const DAY: i64 = 96;

/// 2026-05-01T00:00Z in quarters of an hour.
const START: i64 = 1_777_593_600 / 900;

const PLACE: Place = Place {
    latitude: 52.0,
    longitude: 5.0,
};

fn model(source: Source) -> PowerModel {
    PowerModel {
        source,
        step_micros: 900_000_000,
        horizon: DAY,
        trailing_days: 28,
        level: 0.9,
    }
}

/// Even noise from 0 to 1 that needs no generator.
fn noise(index: i64) -> f64 {
    let mut x = (index as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The irradiance on a plant under clouds that change from hour to hour around the day's own cover.
fn radiation(index: i64) -> f64 {
    let cover = 0.6 * noise(index.div_euclid(DAY)) + 0.2 * noise(index.div_euclid(4));
    let middle = index * 900_000_000 + 450_000_000;
    (1.0 - cover) * clear_sky(cos_zenith(PLACE, middle))
}

/// Days of a solar plant of 5 MW whose feed-in is counted negative, and the radiation in kJ/m² and hour.
fn solar(days: i64) -> (BTreeMap<i64, f64>, BTreeMap<i64, f64>) {
    let power = (START..START + days * DAY).map(|index| {
        let noise = 0.05 * (noise(index) - 0.5);
        (index, 0.01 - 0.005 * radiation(index) + noise)
    });
    let driver = (START..START + (days + 1) * DAY).map(|index| (index, 3.6 * radiation(index)));
    (power.collect(), driver.collect())
}

/// (error, naive error, share of values within the bounds, methods) over the days from the 40th on.
fn replay(source: Source, driver: &BTreeMap<i64, f64>) -> (f64, f64, f64, Vec<Method>) {
    let (power, _) = solar(70);
    let (mut error, mut naive, mut inside, mut count) = (0.0, 0.0, 0.0, 0.0);
    let mut methods = Vec::new();
    for day in 40..70 {
        let now = START + day * DAY;
        let past: BTreeMap<i64, f64> = power.range(..now).map(|(i, v)| (*i, *v)).collect();
        let plant = Plant {
            power: &past,
            driver,
        };
        let found = model(source).forecast(plant, now).unwrap();
        assert_eq!(found.forecasts.len() as i64, DAY);
        methods.push(found.method);
        for of in found.forecasts {
            let truth = power[&of.index];
            error += (truth - of.value).abs();
            naive += (truth - power[&(of.index - DAY)]).abs();
            inside += f64::from(u8::from((of.lo..=of.hi).contains(&truth)));
            count += 1.0;
        }
    }
    methods.sort_unstable();
    methods.dedup();
    (error / count, naive / count, inside / count, methods)
}

#[test]
fn a_solar_plant_is_forecast_better_than_by_yesterday_and_best_with_its_radiation() {
    let source = Source::Solar(PLACE);
    let (alone, naive, inside, _) = replay(source, &BTreeMap::new());
    assert!(alone < 0.9 * naive, "{alone} and {naive}");
    // Thirty days are thirty covers of clouds.
    assert!((0.8..=0.98).contains(&inside), "{inside}");
    let (error, _, inside, methods) = replay(source, &solar(70).1);
    assert_eq!(methods, [Method::Radiation]);
    assert!(error < 0.2 * alone, "{error} and {alone}");
    assert!((0.85..=0.95).contains(&inside), "{inside}");
}

#[test]
fn what_cannot_be_judged_is_not_forecast() {
    let (power, driver) = solar(5);
    let plant = Plant {
        power: &power,
        driver: &driver,
    };
    assert_eq!(
        model(Source::Wind).forecast(plant, START + 5 * DAY),
        None,
        "too few days"
    );
    let (power, _) = solar(60);
    let now = START + 60 * DAY;
    let alone = Plant {
        power: &power,
        driver: &BTreeMap::new(),
    };
    let found = model(Source::Wind).forecast(alone, now).unwrap();
    assert!(found.method != Method::PowerCurve && found.error <= found.naive_error);
}
