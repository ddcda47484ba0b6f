//! A reader's terminals: one folder, commands that end, and programs that keep running until Ctrl-C.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use super::page;
use crate::site::{interpreter, signal, until};

const PATIENCE: Duration = Duration::from_secs(90);

pub(super) struct Terminal {
    folder: tempfile::TempDir,
    /// `PATH` with the binary under test in front.
    path: OsString,
    running: BTreeMap<String, Program>,
}

/// What keeps running; ended when dropped.
struct Program {
    command: String,
    child: Child,
    /// What it has written.
    log: PathBuf,
}

impl Terminal {
    /// A folder of its own, in which a Python with the packages stands as the page installs it.
    pub(super) fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_forebay"));
        let mut folders = vec![binary.parent().unwrap().to_owned()];
        folders.extend(env::split_paths(&env::var_os("PATH").unwrap()));
        let python = folder.path().join("python/bin/python");
        fs::create_dir_all(python.parent().unwrap()).unwrap();
        let script = format!("#!/bin/sh\nexec {} \"$@\"\n", interpreter().display());
        fs::write(&python, script).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            folder,
            path: env::join_paths(folders).unwrap(),
            running: BTreeMap::new(),
        }
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// The shell is replaced by the program, so that a signal reaches it.
    fn command(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {command}")]);
        shell.current_dir(self.folder.path());
        shell.env("PATH", &self.path).env("NO_COLOR", "1");
        shell.env_remove("FOREBAY_LOG").stdin(Stdio::null());
        shell
    }

    pub(super) fn run(&self, command: &str) -> Output {
        self.command(command).output().unwrap()
    }

    pub(super) fn start(&mut self, name: &str, command: &str) {
        let log = self.folder.path().join(format!("{name}.log"));
        let file = File::create(&log).unwrap();
        let mut started = self.command(command);
        started.stdout(file.try_clone().unwrap()).stderr(file);
        let program = Program {
            command: command.to_owned(),
            child: started.spawn().unwrap(),
            log,
        };
        self.running.insert(name.to_owned(), program);
    }

    /// Waits until a program has written these lines, in this order.
    pub(super) fn until_shown(&mut self, name: &str, shown: &[String]) {
        let program = self.running.get_mut(name).unwrap();
        let mut has_ended = false;
        let mut said = String::new();
        until(PATIENCE, || {
            said = program.said();
            has_ended = program.child.try_wait().unwrap().is_some();
            has_ended || page::are_in(shown, &said)
        })
        .unwrap_or_else(|()| panic!("{name} does not say\n{}\n{said}", shown.join("\n")));
        assert!(!has_ended, "{name} has ended: {said}");
    }

    /// Ends a program as Ctrl-C does; ours end with 0. The signal is SIGTERM, since a test that runs in a shell's background
    /// has SIGINT ignored, and its children too.
    pub(super) fn stop(&mut self, name: &str) {
        let mut program = self.running.remove(name).unwrap();
        signal("TERM", program.child.id());
        let mut status = None;
        until(PATIENCE, || {
            status = program.child.try_wait().unwrap();
            status.is_some()
        })
        .unwrap_or_else(|()| panic!("{name} does not end: {}", program.said()));
        let is_ours = program.command.starts_with("forebay");
        assert!(
            !is_ours || status.unwrap().success(),
            "{name}: {status:?}: {}",
            program.said()
        );
    }

    /// What the programs that run have written.
    pub(super) fn logs(&self) -> String {
        self.running.values().map(Program::said).collect()
    }
}

impl Program {
    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
