//! The `forebay` commands in a line of a shell.

/// What separates commands.
const SEPARATORS: [&str; 4] = ["&&", "||", ";", "|"];

/// Options of `sudo` that take a value.
const SUDO_VALUES: [&str; 2] = ["-u", "-g"];

/// Options of cargo that choose another program.
const OTHER_PROGRAM: [&str; 4] = ["-p", "--package", "--bin", "--example"];

/// Global options with a value.
const VALUES: [&str; 3] = ["-c", "--config", "--data-dir"];

/// One command: the words behind the program's name that are no global options and no values of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command<'l> {
    /// The verb and those below it, as far as words tell: up to the first option, quotation or placeholder.
    pub(super) verbs: Vec<&'l str>,
    /// Long options, without their values.
    pub(super) options: Vec<&'l str>,
}

/// The `forebay` commands of a line.
pub(super) fn commands(line: &str) -> Vec<Command<'_>> {
    let line = line.trim_start();
    let line = line.strip_prefix("$ ").unwrap_or(line);
    if line.starts_with('#') {
        return Vec::new();
    }
    let line = line.split_once(" #").map_or(line, |(command, _)| command);
    let mut parts = vec![line];
    for separator in SEPARATORS {
        parts = parts
            .into_iter()
            .flat_map(|part| part.split(separator))
            .collect();
    }
    parts.into_iter().filter_map(command).collect()
}

fn command(part: &str) -> Option<Command<'_>> {
    let words: Vec<&str> = part.split_whitespace().collect();
    let words = behind_program(behind_sudo(&words))?;
    let mut command = Command {
        verbs: Vec::new(),
        options: Vec::new(),
    };
    let mut is_verb = true;
    let mut is_value = false;
    for &word in words {
        if is_value {
            is_value = false;
        } else if VALUES.contains(&word) {
            is_value = true;
            command.options.extend(long(word));
        } else if let Some(option) = long(word) {
            // `--config=FILE` may stand before the verb, too.
            is_verb &= VALUES.contains(&option);
            command.options.push(option);
        } else if is_verb && is_name(word) {
            command.verbs.push(word);
        } else {
            is_verb = false;
        }
    }
    Some(command)
}

/// The words without variables, `sudo` and its options in front.
fn behind_sudo<'w, 'l>(words: &'w [&'l str]) -> &'w [&'l str] {
    match words {
        ["sudo", option, _, rest @ ..] if SUDO_VALUES.contains(option) => rest,
        ["sudo", rest @ ..] => behind_sudo(rest),
        [variable, rest @ ..] if is_variable(variable) => behind_sudo(rest),
        words => words,
    }
}

fn is_variable(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// The words behind `forebay`, or behind `cargo run --`; none for another program.
fn behind_program<'w, 'l>(words: &'w [&'l str]) -> Option<&'w [&'l str]> {
    let (program, rest) = words.split_first()?;
    if *program == "forebay" || program.ends_with("/forebay") {
        return Some(rest);
    }
    let ["cargo", "run", rest @ ..] = words else {
        return None;
    };
    let end = rest.iter().position(|word| *word == "--")?;
    let is_ours = !rest[..end].iter().any(|word| OTHER_PROGRAM.contains(word));
    is_ours.then(|| &rest[end + 1..])
}

fn long(word: &str) -> Option<&str> {
    let option = word.split_once('=').map_or(word, |(option, _)| option);
    (option.starts_with("--") && option.len() > 2).then_some(option)
}

/// Whether a word may be a verb, and no placeholder, path or quotation.
fn is_name(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        && word.starts_with(|c: char| c.is_ascii_lowercase())
}
