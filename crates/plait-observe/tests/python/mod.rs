//! Live Python programs to observe: every interpreter found on this machine, and scripts that end with their test.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// An installed CPython with a GIL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interpreter {
    pub path: PathBuf,
    pub version: (u8, u8, u8),
}

/// All that `PLAIT_TEST_PYTHON` names (separated as in `PATH`); or else those on `PATH` and in pyenv.
pub fn interpreters() -> &'static [Interpreter] {
    static FOUND: OnceLock<Vec<Interpreter>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut places: Vec<PathBuf> = match env::var_os("PLAIT_TEST_PYTHON") {
            Some(named) => env::split_paths(&named).collect(),
            None => env::split_paths(&env::var_os("PATH").unwrap_or_default())
                .flat_map(|folder| (11..=15).map(move |minor| folder.join(format!("python3.{minor}"))))
                .chain(in_pyenv())
                .collect(),
        };
        places.sort();
        let found: BTreeMap<PathBuf, Interpreter> = places.iter().filter_map(|path| ask(path)).collect();
        found.into_values().collect()
    })
}

/// Those whose GIL can be read; at least one is needed.
pub fn supported() -> Vec<&'static Interpreter> {
    let found: Vec<_> = interpreters().iter().filter(|found| (11..=15).contains(&found.version.1)).collect();
    assert!(!found.is_empty(), "no CPython 3.11 to 3.15 found: set PLAIT_TEST_PYTHON to one");
    found
}

fn in_pyenv() -> Vec<PathBuf> {
    let root = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".pyenv")));
    let versions = root.and_then(|root| root.join("versions").read_dir().ok());
    versions.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path().join("bin/python3"))).collect()
}

/// Whether `path` starts, and what it is; keyed by the real file, for one interpreter has many names.
fn ask(path: &Path) -> Option<(PathBuf, Interpreter)> {
    let question = "import os, sys; assert sys.implementation.name == 'cpython' and 'free-threading' not in sys.version; \
                    print(*sys.version_info[:3], os.path.realpath(sys.executable))";
    let answer = Command::new(path).args(["-I", "-c", question]).stderr(Stdio::null()).output().ok()?;
    let answer = answer.status.success().then(|| String::from_utf8(answer.stdout).ok()).flatten()?;
    let mut words = answer.trim().splitn(4, ' ');
    let mut number = || words.next()?.parse().ok();
    let version = (number()?, number()?, number()?);
    let real = PathBuf::from(words.next()?);
    let path = path.to_owned();
    Some((real, Interpreter { path, version }))
}

/// A running program that is killed when the test is done with it, also by a panic.
///
/// It has said `ready` on its standard output, and goes on when told to by [`Script::go_on`].
pub struct Script {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Script {
    /// Runs `source` after a prelude with the imports and helpers that the scripts of these tests use.
    pub fn start(interpreter: &Interpreter, source: &str) -> Self {
        Self::spawn(Command::new(&interpreter.path).args(["-I", "-c", &format!("{PRELUDE}\n{source}")]))
    }

    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().expect("it has an output"));
        let mut script = Self { child, to, from };
        assert_eq!(script.line(), "ready");
        script
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line it prints; panics if it ends instead.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.from.read_line(&mut line).expect("its output is text"), 0, "the program ended");
        line.trim_end().to_owned()
    }

    /// The numbers on the next line it prints.
    pub fn numbers<T: std::str::FromStr>(&mut self) -> Vec<T> {
        self.line().split_whitespace().map(|word| word.parse().ok().expect("a number")).collect()
    }

    pub fn go_on(&mut self) {
        self.tell("go");
    }

    /// Writes it a line.
    pub fn tell(&mut self, line: &str) {
        let to = self.to.as_mut().expect("not ended");
        to.write_all(format!("{line}\n").as_bytes()).expect("the program listens");
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Children of the script see the end of their input, or of their parent's, and end; see the prelude.
        drop(self.to.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every Python process of these tests dies with its parent (PR_SET_PDEATHSIG), whatever becomes of the test.
pub const PRELUDE: &str = r#"
import ctypes, hashlib, os, signal, subprocess, sys, threading, time
def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
die_with_parent()
def say(*words):
    print(*words, flush=True)
def loop():
    n = 0
    while True:
        n += 1
def start(count, work):
    for _ in range(count):
        threading.Thread(target=work, daemon=True).start()
def wait():
    sys.stdin.readline()
"#;
