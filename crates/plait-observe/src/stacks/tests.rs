//! Stacks of live Pythons of every version found, against what each says of itself.

use std::time::{Duration, Instant};

use super::*;
use crate::Pid;
use crate::memory::Memory;
use crate::scripts::{Interpreter, Script};

mod made;
mod scenes;
mod table;
mod torn;

/// What the scripts of these tests use, too: a thread that can be asked for, and the calls as Python itself sees them.
const HELP: &str = r#"
sys.stdout.reconfigure(encoding='utf-8')
def tell(native):
    ident = next(thread.ident for thread in threading.enumerate() if thread.native_id == native)
    frame = sys._current_frames()[ident]
    while frame is not None:
        say(f'{frame.f_code.co_qualname}\t{frame.f_code.co_filename}\t{frame.f_lineno or 0}')
        frame = frame.f_back
    say('end')
"#;

fn start(interpreter: &Interpreter, source: &str) -> Script {
    Script::start(interpreter, &format!("{HELP}\n{source}"))
}

/// The stacks of `script`, and its thread states with the numbers of their threads.
fn open(script: &Script) -> (Stacks, Vec<(u64, Pid)>) {
    let python = Python::find(script.pid()).expect("a Python");
    (Stacks::of(python).expect("a known layout"), threads(&python))
}

/// The state of the thread with the number `native`.
fn state_of(script: &Script, native: Pid) -> u64 {
    let threads = threads(&Python::find(script.pid()).expect("a Python"));
    threads.iter().find(|thread| thread.1 == native).expect("the thread").0
}

/// Thread states of the main interpreter and the kernel's numbers of their threads.
fn threads(python: &Python) -> Vec<(u64, Pid)> {
    let memory = Memory::of(python.pid).expect("its memory");
    let word = |address| memory.u64(address).expect("a word");
    let (interpreters, first, next, native) = match python.version.minor {
        11 => (40, 16, 8, 160),
        12 => (40, 72, 8, 144),
        minor => {
            let (next, native) = match minor {
                13 => (168, 200),
                14 => (192, 224),
                _ => (192, 248),
            };
            let entry = |place| word(python.runtime + place);
            (entry(40), entry(72), entry(next), entry(native))
        }
    };
    let mut found = Vec::new();
    let mut state = word(word(python.runtime + interpreters) + first);
    while state != 0 {
        found.push((state, word(state + native) as Pid));
        state = word(state + next);
    }
    found
}

/// The first stack that is as expected; a script says that it is ready a little before it comes to rest.
fn until(stacks: &mut Stacks, state: u64, is_expected: impl Fn(&[Place]) -> bool) -> Vec<Place> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match stacks.stack(state) {
            Ok(stack) if is_expected(&stack) => return stack,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether `function` is the innermost call.
fn is_in(function: &str) -> impl Fn(&[Place]) -> bool {
    move |stack| stack.first().is_some_and(|place| &*place.function == function)
}

/// The calls that the script tells after [`HELP`]'s `tell`.
fn told(script: &mut Script) -> Vec<Place> {
    let mut places = Vec::new();
    loop {
        let line = script.line();
        if line == "end" {
            return places;
        }
        let mut parts = line.split('\t');
        let mut part = || parts.next().expect("three parts").to_owned();
        places.push(Place { function: part().into(), file: part().into(), line: part().parse().expect("a line") });
    }
}

fn functions(stack: &[Place]) -> Vec<&str> {
    stack.iter().map(|place| &*place.function).collect()
}
