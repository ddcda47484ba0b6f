//! Pages as a whole: what they hold, what they must never hold, and drawings that no change may alter unseen.

use jiff::tz::TimeZone;

use crate::*;

const HOUR: f64 = 3600.0;
/// Monday 2026-11-23 00:00 in Amsterdam.
const MONDAY: f64 = 1_795_388_400.0;

fn amsterdam() -> XKind {
    XKind::Time(TimeZone::get("Europe/Amsterdam").unwrap())
}

fn load(hour: usize) -> f64 {
    let phase = (hour as f64 - 7.0) / 24.0 * std::f64::consts::TAU;
    12.0 + 3.5 * phase.sin() + 0.8 * (2.0 * phase).sin()
}

/// A week of a feeder: measured up to its last day, with a gap, and forecast for that day.
fn forecast(name: &str) -> Chart {
    let measured = (0..144)
        .filter(|hour| !(60..66).contains(hour))
        .map(|hour| Point {
            x: MONDAY + hour as f64 * HOUR,
            y: Some(load(hour)),
            ..Point::default()
        });
    let ahead = (144..168).map(|hour| Point {
        x: MONDAY + hour as f64 * HOUR,
        y: Some(load(hour) + 0.2),
        lo: Some(load(hour) - 0.9),
        hi: Some(load(hour) + 1.3),
        ..Point::default()
    });
    let series = |name: &str, points| Series {
        name: name.to_owned(),
        points,
    };
    Chart::Line(LineChart {
        x: amsterdam(),
        x_label: Label::default(),
        y_label: Label::new(name, Some("MW")),
        series: vec![
            series("measured", measured.collect()),
            series("forecast", ahead.collect()),
        ],
        band: "90 % interval".to_owned(),
        mark: String::new(),
        domain: None,
        now: Some(MONDAY + 144.0 * HOUR),
    })
}

/// The scores of a pump, above their limit in the end, and shaded there.
fn scores(name: &str) -> Chart {
    let points = (0..96).map(|hour| {
        let score = 1.2 + (hour as f64 * 0.7).sin() * 0.6 + (hour as f64 - 70.0).max(0.0) * 0.25;
        Point {
            x: MONDAY + hour as f64 * HOUR,
            y: Some(score),
            limit: Some(3.5),
            mark: (hour >= 82).then(|| name.to_owned()),
            ..Point::default()
        }
    });
    Chart::Line(LineChart {
        x: amsterdam(),
        x_label: Label::default(),
        y_label: Label::new("score", None),
        series: vec![Series {
            name: String::new(),
            points: points.collect(),
        }],
        band: String::new(),
        mark: "warned".to_owned(),
        domain: None,
        now: None,
    })
}

fn completeness(device: &str) -> Chart {
    let cell = |row: &str, hour: usize, value| Cell {
        column: Column::At(MONDAY + hour as f64 * HOUR),
        row: row.to_owned(),
        value,
    };
    let mut cells = Vec::new();
    for hour in 0..168 {
        cells.push(cell("boiler-1", hour, Some(1.0)));
        if !(40..52).contains(&hour) {
            let share = if (100..108).contains(&hour) {
                0.75
            } else {
                1.0
            };
            cells.push(cell(device, hour, Some(share)));
        }
        if hour > 24 {
            cells.push(cell(
                "press-3",
                hour,
                Some(if hour == 90 { 0.0 } else { 0.995 }),
            ));
        }
    }
    Chart::HeatMap(HeatMap {
        x: amsterdam(),
        x_label: Label::default(),
        value_label: Label::new("completeness", None),
        cells,
    })
}

fn bars(name: &str) -> Chart {
    let bar = |name: &str, y| Bar {
        name: name.to_owned(),
        y,
        ..Bar::default()
    };
    Chart::Bars(BarChart {
        x: None,
        x_label: Label::default(),
        y_label: Label::new("readings", None),
        series: vec![String::new()],
        bars: vec![
            bar("boiler-1", 604_800.0),
            bar(name, 412_233.0),
            bar("press-3", 1_200.0),
        ],
    })
}

fn days() -> Chart {
    let bar = |day: usize, series, y| Bar {
        x: MONDAY + day as f64 * 24.0 * HOUR,
        y,
        series,
        interval: (series == 1).then_some((y - 6.0, y + 6.0)),
        ..Bar::default()
    };
    let values = [212.0, 230.5, 198.0, 221.0, 240.0, 150.5, 140.0];
    let both = |(day, y): (usize, &f64)| [bar(day, 0, *y), bar(day, 1, *y * 0.96)];
    Chart::Bars(BarChart {
        x: Some(amsterdam()),
        x_label: Label::default(),
        y_label: Label::new("energy", Some("MWh")),
        series: vec!["measured".to_owned(), "forecast".to_owned()],
        bars: values.iter().enumerate().flat_map(both).collect(),
    })
}

fn map(name: &str) -> Chart {
    let cell = |longitude, latitude, name: &str, value| MapCell {
        longitude,
        latitude,
        name: name.to_owned(),
        value,
    };
    Chart::Map(MapChart {
        value_label: Label::new("soil moisture", Some("%")),
        cells: vec![
            cell(5.661, 51.965, "field north", Some(31.0)),
            cell(5.672, 51.961, "field east", Some(24.5)),
            cell(5.655, 51.957, name, Some(17.0)),
            cell(5.667, 51.954, "greenhouse", None),
        ],
    })
}

fn spectrum() -> Chart {
    let lines = (0..1000).map(|i| {
        let frequency = i as f64 * 0.5;
        let line = |at: f64, high: f64| high / (1.0 + ((frequency - at) / 0.8).powi(2));
        let noise = 0.004 + 0.003 * (frequency * 1.7).sin().abs();
        (
            frequency,
            line(25.0, 0.05) + line(81.2, 0.21) + line(162.4, 0.12) + line(243.6, 0.06) + noise,
        )
    });
    Chart::Spectrum(SpectrumChart {
        x_label: Label::new("frequency", Some("Hz")),
        y_label: Label::new("envelope amplitude", Some("g")),
        lines: lines.collect(),
        named: Vec::new(),
    })
}

fn block(title: &str, charts: Vec<Chart>) -> Block {
    let several = charts.len() > 1;
    let figure = |(i, chart)| Figure {
        name: several.then(|| format!("{title} {i}")),
        chart,
    };
    Block {
        title: title.to_owned(),
        text: None,
        body: Body::Figures(charts.into_iter().enumerate().map(figure).collect()),
        note: None,
    }
}

/// A page with every form, in which whatever comes from data is `name`.
fn page(name: &str) -> Page {
    let number = |label: &str, value: &str, tone| Number {
        label: label.to_owned(),
        value: value.to_owned(),
        tone,
    };
    let column = |name: &str, align| TableColumn {
        name: name.to_owned(),
        align,
    };
    let cell = |text: &str| Some(text.to_owned());
    let table = TableView {
        columns: vec![
            column("device", Align::Start),
            column("severity", Align::Start),
            column(name, Align::End),
        ],
        rows: vec![
            vec![cell(name), cell("critical"), cell("7.31")],
            vec![cell("press-3"), cell("resolved"), None],
        ],
    };
    let of_body = |title: &str, body| Block {
        title: title.to_owned(),
        text: Some(format!("About {name}.")),
        body,
        note: Some(format!("Of {name}.")),
    };
    let numbers = vec![
        number("Readings", "1,018,233", Tone::Plain),
        number("Open warnings", "1", Tone::Bad),
        number(name, "99.2%", Tone::Good),
    ];
    Page {
        title: format!("Week of {name}"),
        range: span(MONDAY, MONDAY + 168.0 * HOUR, &TimeZone::UTC),
        about: format!("Times of {name}"),
        blocks: vec![
            of_body(name, Body::Numbers(numbers)),
            block(name, vec![forecast(name)]),
            block("Health", vec![scores(name), scores("warm")]),
            block("Completeness", vec![completeness(name)]),
            block("Readings", vec![bars(name)]),
            block("Energy", vec![days()]),
            block("Map", vec![map(name)]),
            block("Spectrum", vec![spectrum()]),
            of_body("Warnings", Body::Table(table)),
            of_body("Gaps", Body::Words(format!("None of {name}."))),
        ],
        origin: format!("Job {name}"),
    }
}

#[test]
fn nothing_of_the_data_becomes_markup() {
    for name in [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)",
        "</title></style></svg><svg onload=alert(1)>",
        "&lt;script&gt;",
        "\u{202e}txt.exe\u{0}\u{1b}[31m",
    ] {
        let html = page(name).html();
        let plain = page(&"x".repeat(name.chars().count())).html();
        // The same tags in the same order as with a harmless name of that length: the data has added none.
        assert!(tags(&html) == tags(&plain), "{name} adds a tag");
        let lower = html.to_lowercase();
        for forbidden in [
            "<script",
            "<img",
            "onload=alert(1)>",
            "\u{202e}",
            "\u{0}",
            "\u{1b}",
        ] {
            assert!(!lower.contains(forbidden), "{name} brings {forbidden}");
        }
    }
}

/// The names of all tags and of their attributes.
fn tags(html: &str) -> Vec<String> {
    // The style sheet is a constant and holds no tags.
    let body = html.split("</style>").nth(1).unwrap();
    let mut found = Vec::new();
    for tag in body.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let names = tag.split('"').step_by(2);
        found.push(names.map(str::trim).collect::<Vec<_>>().join(" "));
    }
    found
}

#[test]
fn a_page_loads_nothing_and_says_what_its_charts_show() {
    let html = page("pump").html();
    for reference in [
        "http:", "https:", "//", "url(", "@import", " src=", "href", "<link", "<script",
    ] {
        assert!(!html.contains(reference), "{reference}");
    }
    let count = |what: &str| html.matches(what).count();
    assert_eq!(count("<svg"), count("role=\"img\""));
    assert_eq!(count("<svg"), count("<desc"));
    assert!(html.contains("Line chart from Mon 23 Nov 2026 00:00 to Sun 29 Nov 2026 23:00"));
    assert!(html.contains("default-src 'none'"));
    // Ids are unique: a label that names another chart's text would be wrong for who hears it.
    let ids: Vec<&str> = html
        .split(" id=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let distinct: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), distinct.len());
}

#[test]
fn a_gap_is_not_drawn_over() {
    let html = page("pump").html();
    let measured = html.split("class=\"line s1\" d=\"").nth(1).unwrap();
    let path = measured.split('"').next().unwrap();
    assert_eq!(path.matches('M').count(), 2, "{path}");
}

#[test]
fn values_that_are_no_numbers_break_no_drawing() {
    let point = |x: f64, y: f64| Point {
        x,
        y: Some(y),
        ..Point::default()
    };
    let of = |points: Vec<Point>| {
        Chart::Line(LineChart {
            x: XKind::Number,
            x_label: Label::default(),
            y_label: Label::default(),
            series: vec![Series {
                name: "s".into(),
                points,
            }],
            band: String::new(),
            mark: String::new(),
            domain: None,
            now: None,
        })
    };
    for points in [
        vec![],
        vec![point(0.0, f64::NAN)],
        vec![point(1.0, 2.0)],
        vec![
            point(0.0, f64::INFINITY),
            point(1.0, 1e300),
            point(2.0, -1e300),
        ],
        vec![point(5.0, 5.0), point(5.0, 5.0), point(5.0, 5.0)],
    ] {
        let page = Page {
            blocks: vec![block("odd", vec![of(points)])],
            ..page("pump")
        };
        let html = page.html();
        assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
    }
}

/// Set `FOREBAY_GOLDEN=write` to write it again after a change that is meant; look at it in a browser.
#[test]
fn the_page_is_as_it_was() {
    let html = page("pump-7").html();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/page.html");
    if std::env::var("FOREBAY_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(path, &html).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    let differs = html.lines().zip(golden.lines()).position(|(a, b)| a != b);
    assert!(html == golden, "line {differs:?} differs from {path}");
}
