//! A page: headings, headline numbers, figures and tables, and the one style sheet of all.
//!
//! Invariant: the page is whole in itself. It has no script, and its content security policy lets nothing be loaded.

use crate::{
    chart::{Figure, Place},
    markup::Markup,
    table::TableView,
};

/// How good or bad something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// Neither.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// A person must act.
    Bad,
}

/// A headline number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Number {
    /// What it counts.
    pub label: String,
    /// As it is shown.
    pub value: String,
    /// How good or bad it is.
    pub tone: Tone,
}

/// What a section shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Headline numbers.
    Numbers(Vec<Number>),
    /// Charts: one, or several side by side.
    Figures(Vec<Figure>),
    /// A table.
    Table(TableView),
    /// A sentence, where there is nothing to show.
    Words(String),
}

/// A section.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Its heading; empty for none.
    pub title: String,
    /// A sentence below it.
    pub text: Option<String>,
    /// What it shows.
    pub body: Body,
    /// What was left out, such as rows beyond the most that are shown.
    pub note: Option<String>,
}

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Its heading.
    pub title: String,
    /// The range of time that it is about.
    pub range: String,
    /// What a reader should know of it, such as the time zone.
    pub about: String,
    /// Its sections.
    pub blocks: Vec<Block>,
    /// Where it comes from, at its end.
    pub origin: String,
}

const STYLE: &str = include_str!("style.css");

impl Tone {
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

impl Page {
    /// The page as one HTML file.
    pub fn html(&self) -> String {
        let mut out = Markup::default();
        out.raw(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
            <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
            <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
            <meta name=\"referrer\" content=\"no-referrer\">\n\
            <meta name=\"color-scheme\" content=\"light dark\">\n<title>",
        );
        out.text(&self.title);
        out.text(", ");
        out.text(&self.range);
        out.raw("</title>\n<style>\n");
        out.raw(STYLE);
        out.raw("</style>\n</head>\n<body>\n<header>\n");
        out.leaf("h1", &[], &self.title);
        out.leaf("p", &[("class", &"range")], &self.range);
        out.leaf("p", &[("class", &"about")], &self.about);
        out.raw("\n</header>\n<main>\n");
        for (i, block) in self.blocks.iter().enumerate() {
            block.write(&mut out, i + 1);
        }
        out.raw("</main>\n<footer>");
        out.leaf("p", &[], &self.origin);
        out.raw("</footer>\n</body>\n</html>\n");
        out.into_string()
    }
}

impl Block {
    fn write(&self, out: &mut Markup, number: usize) {
        out.raw("<section>\n");
        if !self.title.is_empty() {
            out.leaf("h2", &[], &self.title);
        }
        if let Some(text) = &self.text {
            out.leaf("p", &[("class", &"lead")], text);
        }
        match &self.body {
            Body::Numbers(numbers) => write_numbers(out, numbers),
            Body::Figures(figures) => self.write_figures(out, number, figures),
            Body::Table(table) => table.write(out, &self.title),
            Body::Words(words) => out.leaf("p", &[("class", &"empty")], words),
        }
        if let Some(note) = &self.note {
            out.leaf("p", &[("class", &"note")], note);
        }
        out.raw("\n</section>\n");
    }

    fn write_figures(&self, out: &mut Markup, number: usize, figures: &[Figure]) {
        if let [figure] = figures {
            figure.write(out, &format!("c{number}"), &self.title, Place::Alone);
            return;
        }
        // What is the same beside all charts is said once, above them.
        let legends: Vec<Markup> = figures.iter().map(Figure::legend).collect();
        let place = match legends.split_first() {
            Some((first, others)) if others.iter().all(|other| other == first) => {
                out.append(first);
                Place::AmongAlike
            }
            _ => Place::Among,
        };
        out.raw("<div class=\"figures\">");
        for (i, figure) in figures.iter().enumerate() {
            figure.write(out, &format!("c{number}-{}", i + 1), &self.title, place);
        }
        out.raw("</div>");
    }
}

fn write_numbers(out: &mut Markup, numbers: &[Number]) {
    out.raw("<dl class=\"numbers\">");
    for number in numbers {
        out.raw("<div>");
        out.leaf("dt", &[], &number.label);
        out.leaf("dd", &[("class", &number.tone.class())], &number.value);
        out.raw("</div>");
    }
    out.raw("</dl>");
}
