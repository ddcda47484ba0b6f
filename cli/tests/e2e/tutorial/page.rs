//! The marked blocks of a page, and whether an output is the one that it shows.

use std::time::Duration;

/// Stands for what differs each time: within a line for any text, alone for any lines.
const ANYTHING: char = '…';

pub(super) struct Page<'p> {
    pub(super) steps: Vec<Step<'p>>,
}

/// A marked block.
pub(super) enum Step<'p> {
    /// `file=NAME`
    File { name: &'p str, text: String },
    /// `setup`: what these commands do is there.
    Setup { commands: Vec<String> },
    /// `background=NAME`: keeps running.
    Background {
        name: &'p str,
        command: String,
        shown: Vec<String>,
    },
    /// `run`: ends with 0. Asked again within the time of `within=`.
    Run {
        command: String,
        shown: Vec<String>,
        after: Option<After<'p>>,
        within: Duration,
    },
}

/// What the reader does before a command.
pub(super) enum After<'p> {
    /// `after=stop:NAME`: Ctrl-C in the terminal of what keeps running.
    Stop { name: &'p str },
    /// `after=copy:PAGE:FILE`
    Copy { page: &'p str, file: &'p str },
}

impl<'p> Page<'p> {
    /// Blocks without a mark are left out.
    pub(super) fn of(page: &'p str) -> Self {
        let mut steps = Vec::new();
        let mut lines = page.lines();
        while let Some(line) = lines.next() {
            let Some(info) = line.strip_prefix("```") else {
                continue;
            };
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            steps.extend(Step::of(info, &body));
        }
        Self { steps }
    }
}

impl<'p> Step<'p> {
    fn of(info: &'p str, body: &[&str]) -> Option<Self> {
        let marks: Vec<&str> = info.split(' ').skip(1).collect();
        let value = |name: &str| {
            let values = marks.iter().filter_map(|mark| mark.split_once('='));
            values
                .clone()
                .find(|(mark, _)| *mark == name)
                .map(|(_, value)| value)
        };
        let (commands, shown): (Vec<&str>, Vec<&str>) =
            body.iter().partition(|line| line.starts_with("$ "));
        let commands: Vec<String> = commands.iter().map(|line| line[2..].to_owned()).collect();
        let shown = shown.into_iter().map(str::to_owned).collect();
        if let Some(name) = value("file") {
            let text = body.iter().flat_map(|line| [*line, "\n"]).collect();
            return Some(Self::File { name, text });
        }
        if marks.contains(&"setup") {
            return Some(Self::Setup { commands });
        }
        if let Some(name) = value("background") {
            let command = one(commands);
            return Some(Self::Background {
                name,
                command,
                shown,
            });
        }
        marks.contains(&"run").then(|| Self::Run {
            command: one(commands),
            shown,
            after: value("after").map(After::of),
            within: value("within").map_or(Duration::ZERO, seconds),
        })
    }
}

impl<'p> After<'p> {
    fn of(value: &'p str) -> Self {
        match value.split(':').collect::<Vec<_>>()[..] {
            ["stop", name] => Self::Stop { name },
            ["copy", page, file] => Self::Copy { page, file },
            _ => panic!("after={value} is not known"),
        }
    }
}

fn one(commands: Vec<String>) -> String {
    let [command] = <[String; 1]>::try_from(commands).expect("a block has one command");
    command
}

fn seconds(value: &str) -> Duration {
    let seconds = value
        .strip_suffix('s')
        .and_then(|number| number.parse().ok());
    Duration::from_secs(seconds.unwrap_or_else(|| panic!("within={value} is no time")))
}

/// Whether an output is, line by line, what the page shows. Widths of columns do not count.
pub(super) fn is_shown(shown: &[String], output: &str) -> bool {
    let output: Vec<&str> = output.lines().collect();
    let Some((last, before)) = shown.split_last() else {
        return output.is_empty();
    };
    let is_open = last.chars().eq([ANYTHING]);
    let lines = if is_open { before } else { shown };
    let is_long_enough = output.len() == lines.len() || (is_open && output.len() > lines.len());
    is_long_enough
        && lines
            .iter()
            .zip(output)
            .all(|(shown, line)| fits(shown, line))
}

/// Whether the shown lines are in an output, in their order.
pub(super) fn are_in(shown: &[String], output: &str) -> bool {
    let mut output = output.lines();
    shown
        .iter()
        .all(|shown| output.any(|line| fits(shown, line)))
}

fn fits(shown: &str, line: &str) -> bool {
    let shown = narrow(shown);
    let line = narrow(line);
    let mut parts = shown.split(ANYTHING).map(str::trim);
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last)
}

/// Without the widths of a table's columns.
fn narrow(line: &str) -> String {
    let mut out = String::new();
    for c in line.trim().chars() {
        if !(matches!(c, ' ' | '-') && out.ends_with(c)) {
            out.push(c);
        }
    }
    out
}

#[test]
fn an_output_is_the_shown_one_where_only_the_open_parts_differ() {
    let shown = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>()
    };
    let table = shown(&["+----+---+", "| …Z | 1 |"]);
    assert!(is_shown(&table, "+---------+---+\n| 2026-01Z | 1 |\n"));
    for other in [
        "+---------+---+\n| 2026-01Z | 2 |\n",
        "+---------+---+\n",
        "+---------+---+\n| 2026-01Z | 1 |\nmore\n",
        "",
    ] {
        assert!(!is_shown(&table, other), "{other}");
    }
    assert!(is_shown(&shown(&["a", "…"]), "a\nb\nc\n"));
    assert!(!is_shown(&shown(&["a", "…"]), "b\nc\n"));
    let lines = shown(&["… up …", "… down: …"]);
    assert!(are_in(&lines, "x\nlink is up now\ny\nlink is down: lost\n"));
    assert!(!are_in(&lines, "link is down: lost\nlink is up now\n"));
}
