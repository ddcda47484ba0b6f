//! Numbers and questions by chance, from a seed.

/// The linear congruential generator of Knuth's MMIX.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    pub(super) fn of<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }

    /// A question about readings; the columns that it groups by begin with g, the others with n.
    pub(super) fn question(&mut self) -> String {
        let mut groups = Vec::new();
        if self.below(5) > 0 {
            groups.push(self.of(&BINS).to_owned());
        }
        for name in NAMES {
            if self.below(3) == 0 {
                groups.push(name.to_owned());
            }
        }
        let mut numbers: Vec<&str> = NUMBERS.into_iter().filter(|_| self.below(2) == 0).collect();
        if numbers.is_empty() {
            numbers.push("avg(value)");
        }
        let has_series = ["site", "device", "tag"]
            .iter()
            .all(|name| groups.iter().any(|g| g == name));
        if has_series {
            numbers.push("last_value(value ORDER BY event_time)");
        }
        let mut filters = vec![self.of(&QUALITIES).to_owned()];
        if self.below(8) > 0 {
            filters.push("value IS NOT NULL".to_owned());
        }
        filters.push(self.of(&SITES).to_owned());
        filters.push(self.of(&SERIES).to_owned());
        filters.push(self.times());
        let groups_shown = groups
            .iter()
            .enumerate()
            .map(|(n, group)| format!("{group} AS g{n}"));
        let numbers_shown = numbers
            .iter()
            .enumerate()
            .map(|(n, number)| format!("{number} AS n{n}"));
        let shown: Vec<String> = groups_shown.chain(numbers_shown).collect();
        let places: Vec<String> = (1..=groups.len()).map(|place| place.to_string()).collect();
        let group = if places.is_empty() {
            String::new()
        } else {
            format!("GROUP BY {}", places.join(", "))
        };
        let shown = shown.join(", ");
        format!(
            "SELECT {shown} FROM readings WHERE {} {group}",
            filters.join(" AND ")
        )
    }

    /// Times within the five days, whole or ragged.
    fn times(&mut self) -> String {
        let at = |chance: &mut Self| {
            let (day, hour) = (1 + chance.below(5), chance.below(24));
            match chance.below(4) {
                0 => format!("2026-05-{day:02}T00:00:00Z"),
                1 => format!("2026-05-{day:02}T{hour:02}:00:00Z"),
                2 => format!("2026-05-{day:02}T{hour:02}:{:02}:00Z", chance.below(60)),
                _ => {
                    let (minute, micros) = (chance.below(60), chance.below(60_000_000));
                    let (second, micros) = (micros / 1_000_000, micros % 1_000_000);
                    format!("2026-05-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
                }
            }
        };
        let (a, b) = (at(self), at(self));
        let (from, to) = if a <= b { (a, b) } else { (b, a) };
        match self.below(8) {
            // Whole days, all of which are rolled up at first.
            6 | 7 => "event_time >= '2026-05-01T00:00:00Z' AND event_time < '2026-05-04T00:00:00Z'"
                .to_owned(),
            0 => "true".to_owned(),
            1 => format!("event_time >= '{from}'"),
            2 => format!("event_time < '{to}'"),
            3 => format!("event_time > '{from}' AND event_time <= '{to}'"),
            4 => format!("event_time BETWEEN timestamp '{from}' AND timestamp '{to}'"),
            _ => format!("event_time BETWEEN '{from}' AND '{to}'"),
        }
    }
}

const NAMES: [&str; 4] = ["site", "device", "tag", "device || '/' || tag"];

const NUMBERS: [&str; 6] = [
    "avg(value)",
    "min(value)",
    "max(value)",
    "sum(value)",
    "count(value)",
    "count(*)",
];

const BINS: [&str; 13] = [
    "floor(extract(epoch from event_time)/60)*60",
    "floor(extract(epoch from event_time)/300)*300",
    "floor(extract(epoch from event_time)/3600)*3600",
    "floor(extract(epoch from event_time)/86400)*86400",
    "floor(extract(epoch from event_time)/90)*90",
    "floor(extract(epoch from event_time)/604800)*604800",
    "date_bin(interval '1 minute', event_time)",
    "date_bin(interval '1 hour', event_time)",
    "date_bin(interval '7 hours', event_time, timestamp '2001-01-01 03:00:00')",
    "date_bin(interval '30 seconds', event_time)",
    "date_trunc('hour', event_time)",
    "date_trunc('week', event_time)",
    "date_part('hour', event_time)",
];

const QUALITIES: [&str; 6] = [
    "quality < 2",
    "quality <> 2",
    "quality IN (0, 1)",
    "NOT (quality = 2)",
    "quality = 0",
    "quality >= 0",
];

const SITES: [&str; 5] = [
    "true",
    "site = 'plant'",
    "site IN ('plant', 'quarry')",
    "site LIKE 'p%'",
    "site = 'quarry'",
];

const SERIES: [&str; 5] = [
    "true",
    "device = 'a'",
    "tag IN ('t1', 't2')",
    "device <> 'b' AND tag LIKE 't%'",
    "device || tag < 'bt1'",
];
