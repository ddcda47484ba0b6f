//! docs/tutorial/first-device.md as a reader works through it: every file is written, every command is run, and what the page
//! shows is what comes.
//!
//! What the page fetches from the network is there already, and the device's port is one that is free.

mod page;
mod terminal;

use std::{fs, path::Path, time::Duration};

use self::{
    page::{After, Page, Step},
    terminal::Terminal,
};
use crate::site::{free_port, now, pause, text, until};

const PAGE: &str = include_str!("../../../docs/tutorial/first-device.md");
/// The device's port on the page.
const PORT: &str = "5020";
/// Packages of the Python that tests run with.
const PEERS: &str = include_str!("../../../xtask/src/peers.rs");

/// Writes a file that another page shows.
fn copy(terminal: &Terminal, page: &str, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(page);
    let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let page = Page::of(&page);
    let mut files = page.steps.iter().filter_map(|step| match step {
        Step::File { name: found, text } if *found == name => Some(text),
        _ => None,
    });
    terminal.write(name, files.next().expect("the other page has the file"));
}

/// Runs a command until its output is what the page shows, or the time is over; once if there is none.
fn run(terminal: &Terminal, command: &str, shown: &[String], within: Duration) {
    let mut last = String::new();
    let is_shown = until(within, || {
        let begun = now();
        let ran = terminal.run(command);
        let out = text(&ran.stdout);
        last = format!("{}: {out}{}", ran.status, text(&ran.stderr));
        let is_shown = ran.status.success() && page::is_shown(shown, &out);
        if !is_shown && !within.is_zero() {
            // A command costs a process: half of the time is left to those who are waited for.
            pause(begun.elapsed());
        }
        is_shown
    });
    assert!(
        is_shown.is_ok(),
        "{command}\n{last}\nthe page shows\n{}\n{}",
        shown.join("\n"),
        terminal.logs()
    );
}

#[test]
fn the_tutorial_works_as_it_says() {
    let page = PAGE.replace(PORT, &free_port().to_string());
    let page = Page::of(&page);
    let mut terminal = Terminal::open();
    let mut commands = 0;
    for step in &page.steps {
        match step {
            Step::File { name, text } => terminal.write(name, text),
            Step::Setup { commands } => has_what_tests_have(commands),
            Step::Background {
                name,
                command,
                shown,
            } => {
                terminal.start(name, command);
                terminal.until_shown(name, shown);
            }
            Step::Run {
                command,
                shown,
                after,
                within,
            } => {
                match after {
                    Some(After::Stop { name }) => terminal.stop(name),
                    Some(After::Copy { page, file }) => copy(&terminal, page, file),
                    None => {}
                }
                run(&terminal, command, shown, *within);
                commands += 1;
            }
        }
    }
    assert_eq!(commands, 6, "the page has as many commands to run");
}

/// A reader installs the packages that tests run with.
fn has_what_tests_have(commands: &[String]) {
    let words = commands.iter().flat_map(|command| command.split(' '));
    for package in words.filter(|word| word.contains("==")) {
        assert!(
            PEERS.contains(&format!("\n{package}\n")),
            "tests do not run with {package}"
        );
    }
}
