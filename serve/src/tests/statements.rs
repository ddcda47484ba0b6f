//! Statements by chance, from a seed: over tables, views and catalogs; with functions, subqueries, set operations, joins
//! and deliberate errors.
//!
//! None names what it looks for: whatever shows the name of a site has it from a row.

/// The linear congruential generator of Knuth's MMIX.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn of<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }
}

const TABLES: [&str; 12] = [
    "readings",
    "readings",
    "alerts",
    "predictions",
    "scores",
    "windows",
    "events",
    "models",
    "backtests",
    "gaps",
    "latest",
    "windows_waiting",
];

const TEXTS: [&str; 14] = [
    "site",
    "device",
    "upper(device)",
    "reverse(reverse(device))",
    "substr(device, 1, 20)",
    "concat(site, '/', device)",
    "coalesce(device, site)",
    "nullif(device, '')",
    "CASE WHEN site IS NULL THEN 'none' ELSE device END",
    "regexp_replace(device, '-.*', '')",
    "split_part(device, '-', 1)",
    "initcap(device)",
    "device || '!' ",
    "quote_ident(device)",
];

const PREDICATES: [&str; 16] = [
    "1 = 1",
    "site IS NOT NULL",
    "site <> 'x'",
    "site LIKE '%a%'",
    "device LIKE 'b%' OR device LIKE 'q%'",
    "NOT (site = 'x')",
    "site IN (SELECT site FROM readings)",
    "EXISTS (SELECT 1 FROM alerts AS x WHERE x.site <> t.site) OR true",
    "length(site) = 6",
    "site > 'a'",
    "site BETWEEN 'a' AND 'z'",
    "md5(site) <> ''",
    "device ~ '^[a-z]'",
    "site = (SELECT max(site) FROM predictions)",
    "position('a' in device) > 0",
    "site IN ('x', concat('bas', 'alt'), concat('qua', 'rtz'))",
];

/// Errors that quote a value where they can.
const ERRORS: [&str; 12] = [
    "SELECT CAST(device AS INT) FROM {t} AS t",
    "SELECT CAST(site AS TIMESTAMP) FROM {t} AS t WHERE CAST(device AS DOUBLE) > 1",
    "SELECT 1 / (CASE WHEN site LIKE 'b%' THEN 0 ELSE 1 END) FROM {t} AS t",
    "SELECT to_timestamp(device) FROM {t} AS t",
    "SELECT nosuchcolumn FROM {t} AS t",
    "SELECT nosuchfunction(device) FROM {t} AS t",
    "SELECT * FROM nosuchtable",
    "SELECT site FROM {t} AS t GROUP BY device",
    "SELECT (SELECT device FROM {t} AS t) FROM {t} AS u",
    "SELECT * FROM {t} AS t WHERE arrow_cast(device, 'Int32') = 1",
    "SELECT * FROM {t} AS t WHERE CAST(device AS INT) = 1 AND site <> 'x' LIMIT 1",
    "SELECT date_trunc(device, now()) FROM {t} AS t",
];

const CATALOGS: [&str; 16] = [
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM information_schema.columns",
    "SELECT * FROM information_schema.views",
    "SELECT * FROM information_schema.schemata",
    "SELECT * FROM information_schema.df_settings",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM pg_catalog.pg_attribute",
    "SELECT * FROM pg_catalog.pg_roles",
    "SELECT * FROM pg_catalog.pg_database",
    "SELECT * FROM pg_catalog.pg_stats",
    "SELECT * FROM pg_catalog.pg_tables",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT * FROM pg_catalog.pg_stat_activity",
    "EXPLAIN SELECT * FROM {t} AS t WHERE device > 'a'",
    "EXPLAIN VERBOSE SELECT {x} FROM {t} AS t ORDER BY site",
    "EXPLAIN ANALYZE SELECT {x} FROM {t} AS t",
];

const SHAPES: [&str; 22] = [
    "SELECT {x} AS a FROM {t} AS t WHERE {p} LIMIT 20",
    "SELECT DISTINCT {x} AS a, {y} AS b FROM {t} AS t WHERE {p} LIMIT 20",
    "SELECT {x} AS a, count(*) AS n FROM {t} AS t WHERE {p} GROUP BY 1 ORDER BY 1 LIMIT 20",
    "WITH c AS (SELECT * FROM {t} AS t WHERE {p}) SELECT {x} AS a FROM c LIMIT 20",
    "WITH c AS (SELECT site, device FROM {t} AS t), d AS (SELECT * FROM c UNION ALL SELECT site, device FROM {u}) SELECT {x} FROM d LIMIT 20",
    "SELECT a FROM (SELECT {x} AS a, row_number() OVER (PARTITION BY site ORDER BY device) AS n FROM {t} AS t) AS s WHERE n = 1",
    "SELECT {x} AS a FROM {t} AS t WHERE {p} UNION SELECT {y} FROM {u} AS t LIMIT 20",
    "SELECT site FROM {t} AS t EXCEPT SELECT 'x'",
    "SELECT site FROM {t} AS t INTERSECT SELECT site FROM {u}",
    "SELECT t.site, u.device FROM {t} AS t JOIN {u} AS u ON t.site = u.site LIMIT 20",
    "SELECT t.site, u.device FROM {t} AS t CROSS JOIN (SELECT DISTINCT device FROM {u}) AS u LIMIT 20",
    "SELECT t.site, u.site FROM (SELECT DISTINCT site FROM {t}) AS t FULL JOIN (SELECT DISTINCT site FROM {u}) AS u ON t.site <> u.site",
    "SELECT (SELECT max({x}) FROM {t} AS t) AS a, (SELECT min({y}) FROM {u} AS t) AS b",
    "SELECT max({x}), min({x}), count(DISTINCT site) FROM {t} AS t",
    "SELECT string_agg(DISTINCT site, ',') FROM {t} AS t WHERE {p}",
    "SELECT array_agg(DISTINCT device) FROM {t} AS t WHERE {p}",
    "SELECT first_value({x}) OVER (ORDER BY site DESC) AS a FROM {t} AS t LIMIT 3",
    "SELECT {x} AS a FROM {t} AS t ORDER BY site DESC, device DESC LIMIT 1",
    "SELECT {x} AS a FROM {t} AS t WHERE site NOT IN (SELECT site FROM {u} WHERE false) OFFSET 0 LIMIT 5",
    "SELECT * FROM {t} AS t WHERE {p} ORDER BY device LIMIT 2",
    "SELECT lag({x}) OVER (ORDER BY device) AS a FROM {t} AS t LIMIT 5",
    "SELECT a.device FROM {t} AS a LEFT JOIN {u} AS b ON a.device > b.device WHERE b.site IS NULL OR true LIMIT 20",
];

/// Other ways out.
const WAYS: [&str; 10] = [
    "COPY {t} TO '/tmp/forebay-leak.csv'",
    "CREATE TABLE copy AS SELECT * FROM {t}",
    "CREATE EXTERNAL TABLE e STORED AS CSV LOCATION '/etc/passwd'",
    "SELECT * FROM '/etc/passwd'",
    "INSERT INTO {t} SELECT * FROM {t}",
    "SET datafusion.catalog.information_schema = true",
    "SHOW ALL",
    "SELECT * FROM forebay.public.{t} LIMIT 2",
    "SELECT * FROM public.{t} LIMIT 2",
    "TABLE {t}",
];

/// So many statements, always the same for one seed.
pub(super) fn statements(seed: u64, count: usize) -> Vec<String> {
    let mut chance = Chance(seed);
    let mut statement = || {
        let shape = match chance.below(20) {
            0 | 1 => chance.of(&ERRORS),
            2 | 3 => chance.of(&CATALOGS),
            4 => chance.of(&WAYS),
            _ => chance.of(&SHAPES),
        };
        shape
            .replace("{t}", chance.of(&TABLES))
            .replace("{u}", chance.of(&TABLES))
            .replace("{x}", chance.of(&TEXTS))
            .replace("{y}", chance.of(&TEXTS))
            .replace("{p}", chance.of(&PREDICATES))
    };
    (0..count).map(|_| statement()).collect()
}
