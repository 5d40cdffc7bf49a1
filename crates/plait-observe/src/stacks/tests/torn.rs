//! Threads that run on while they are read, and processes that end.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::*;
use crate::scripts::supported;

/// What became of many looks at a thread.
#[derive(Debug, Default)]
struct Tally {
    whole: u32,
    /// Whole ones that are not as the one before: the thread did run.
    moved: u32,
    torn: u32,
    impossible: u32,
}

impl Tally {
    /// Takes stacks without a pause, and judges each, until there are enough of a thread that runs.
    ///
    /// A machine that is busy with other work has reader and script take turns on a processor, and then nothing tears:
    /// so only stacks that are not as the one before count. Where more than 1 of 100 of those cannot be, there may have
    /// been much bad luck, so it is tried again.
    fn take(stacks: &mut Stacks, state: u64, is_possible: impl Fn(&[Place]) -> bool) -> Self {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let mut tally = Self::default();
            let mut last = Vec::new();
            while tally.whole < 2000 || tally.moved < 50 {
                assert!(Instant::now() < deadline, "{tally:?}");
                match stacks.stack(state) {
                    Ok(stack) if is_possible(&stack) => {
                        tally.whole += 1;
                        tally.moved += u32::from(stack != last);
                        last = stack;
                    }
                    Ok(stack) => {
                        let told: Vec<_> = stack.iter().map(|place| (&place.function, place.line)).collect();
                        println!("impossible: {told:?}");
                        tally.impossible += 1;
                    }
                    Err(Torn::Changed | Torn::Unreadable) => tally.torn += 1,
                    Err(Torn::Gone) => panic!("the script ended"),
                }
            }
            if tally.impossible * 100 < tally.moved {
                return tally;
            }
        }
    }
}

/// Two ways to the same function, each call short; lines tell which way was gone, too.
const TWO_PATHS: &str = r#"
code = """def leaf(n):
    while n: n -= 1
def a3(n): leaf(n); leaf(n)
def a2(n):
    a3(n)
def a1(n): a2(n)
def b3(n): leaf(n); leaf(n)
def b2(n):
    b3(n)
def b1(n): b2(n)
def main(n):
    while True:
        a1(n)
        b1(n)
main(PACE)
"""
os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
say('ready')
exec(compile(code, 'paths.py', 'exec'))
"#;

/// While it lives, this thread runs on the first of its processors; the script is on the last, so both run at once.
struct Aside(CpuSet);

impl Aside {
    fn step() -> Self {
        let all = sched_getaffinity(None).expect("an affinity");
        let mut first = CpuSet::new();
        first.set((0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).expect("a processor"));
        sched_setaffinity(None, &first).expect("one of its processors");
        Self(all)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        sched_setaffinity(None, &self.0).expect("as before");
    }
}

fn is_path(stack: &[Place]) -> bool {
    let told: Vec<_> = stack.iter().rev().map(|place| (&*place.function, place.line)).collect();
    let [("<module>", _), ("<module>", 15), ("main", line), rest @ ..] = &told[..] else {
        // Before, or while it is compiled.
        return told.len() < 3;
    };
    let names: Vec<&str> = rest.iter().map(|(name, _)| *name).collect();
    let on_way = |way: [&str; 4]| way.starts_with(&names[..]);
    let lines_fit = rest.iter().zip(rest.iter().skip(1)).all(|(outer, inner)| match (outer.0, inner.0) {
        ("a1" | "b1", _) => matches!(outer.1, 6 | 10),
        ("a2", _) => outer.1 == 5,
        ("b2", _) => outer.1 == 9,
        ("a3" | "b3", _) => matches!(outer.1, 3 | 7),
        _ => true,
    });
    match line {
        _ if names.is_empty() => true,
        13 => lines_fit && on_way(["a1", "a2", "a3", "leaf"]),
        14 => lines_fit && on_way(["b1", "b2", "b3", "leaf"]),
        _ => false,
    }
}

#[test]
fn two_ways_to_one_function_are_not_mixed() {
    for interpreter in supported() {
        for pace in ["0", "3", "100"] {
            let script = start(interpreter, &TWO_PATHS.replace("PACE", pace));
            let (mut stacks, threads) = open(&script);
            let _aside = Aside::step();
            let tally = Tally::take(&mut stacks, threads[0].0, is_path);
            println!("{:?}, pace {pace}: {tally:?}", interpreter.version);
        }
    }
}

/// Code objects that come and go at the same addresses: both names of a generation carry its number.
const GENERATIONS: &str = r#"
os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
say('ready')
number = 0
while True:
    number += 1
    tag = 10_000 + number % 80_000
    exec(f'''
def inner_{tag}(n):
    while n: n -= 1
def outer_{tag}(n):
    inner_{tag}(n)
outer_{tag}(500)
''', {})
"#;

fn is_one_generation(stack: &[Place]) -> bool {
    let told: Vec<_> = stack.iter().map(|place| (&*place.function, place.line)).collect();
    match told[..] {
        [("<module>", _)] => true,
        [("<module>", line), ("<module>", _)] => line <= 6,
        [(outer, 4 | 5), ("<module>", 6), ("<module>", _)] => outer.starts_with("outer_"),
        [(inner, 2 | 3), (outer, 5), ("<module>", 6), ("<module>", _)] => {
            inner.strip_prefix("inner_").is_some_and(|tag| outer.strip_prefix("outer_") == Some(tag))
        }
        // Before.
        _ => !told.is_empty() && told.iter().all(|(name, _)| !name.contains("er_")),
    }
}

#[test]
fn code_that_takes_the_place_of_other_code_is_read_anew() {
    for interpreter in supported() {
        let script = start(interpreter, GENERATIONS);
        let (mut stacks, threads) = open(&script);
        let _aside = Aside::step();
        let tally = Tally::take(&mut stacks, threads[0].0, is_one_generation);
        println!("{:?}: {tally:?}", interpreter.version);
    }
}

#[test]
fn threads_that_come_and_go_are_read_or_refused() {
    let source = "
def call(n):
    if n: call(n - 1)
    else: sum(range(20_000))
def churn():
    while True:
        thread = threading.Thread(target=call, args=(30,))
        thread.start()
        thread.join()
threading.Thread(target=churn, daemon=True).start()
say('ready'); wait()";
    for interpreter in supported() {
        let script = start(interpreter, source);
        let python = Python::find(script.pid()).expect("a Python");
        let mut stacks = Stacks::of(python).expect("a known layout");
        let memory = Memory::of(python.pid).expect("its memory");
        let deadline = Instant::now() + Duration::from_secs(60);
        let (mut seen, mut states) = (0, std::collections::HashSet::new());
        while seen < 200 {
            assert!(Instant::now() < deadline, "{seen} stacks");
            // A list that changes while it is walked is walked again.
            states.extend(short_walk(&python, &memory));
            for &state in &states {
                match stacks.stack(state) {
                    Ok(stack) => seen += u32::from(functions(&stack).contains(&"call")),
                    Err(torn) => assert_ne!(torn, Torn::Gone),
                }
            }
        }
    }
}

/// The first few thread states, as far as they can be read.
fn short_walk(python: &Python, memory: &Memory) -> Vec<u64> {
    let table = |place| memory.u64(python.runtime + place).expect("the table");
    let (interpreters, first, next) = match python.version.minor {
        11 => (40, 16, 8),
        12 => (40, 72, 8),
        13 => (table(40), table(72), table(168)),
        _ => (table(40), table(72), table(192)),
    };
    let interpreter = memory.u64(python.runtime + interpreters).expect("an interpreter");
    let mut states = Vec::new();
    let mut state = memory.u64(interpreter + first).unwrap_or(0);
    while state != 0 && states.len() < 8 {
        states.push(state);
        state = memory.u64(state + next).unwrap_or(0);
    }
    states
}

#[test]
fn a_process_that_ends_is_gone() {
    for interpreter in supported() {
        let script = start(interpreter, "say('ready'); loop()");
        let (mut stacks, threads) = open(&script);
        until(&mut stacks, threads[0].0, is_in("loop"));
        let ends = std::thread::spawn(move || drop(script));
        let deadline = Instant::now() + Duration::from_secs(30);
        while stacks.stack(threads[0].0) != Err(Torn::Gone) {
            assert!(Instant::now() < deadline, "{interpreter:?}");
        }
        ends.join().expect("it ended");
        assert_eq!(stacks.stack(threads[0].0), Err(Torn::Gone));
    }
}

#[test]
fn a_process_that_runs_another_program_is_gone() {
    let source = "
def again():
    os.execv(sys.executable, [sys.executable, '-I', '-c', 'print(\"again\", flush=True)\\nwhile True: pass'])
say('ready'); wait(); again()";
    for interpreter in supported() {
        let mut script = start(interpreter, source);
        let (mut stacks, threads) = open(&script);
        until(&mut stacks, threads[0].0, is_in("wait"));
        script.go_on();
        assert_eq!(script.line(), "again");
        let deadline = Instant::now() + Duration::from_secs(30);
        while stacks.stack(threads[0].0) != Err(Torn::Gone) {
            assert!(Instant::now() < deadline, "{interpreter:?}");
        }
        let (mut stacks, threads) = open(&script);
        until(&mut stacks, threads[0].0, is_in("<module>"));
    }
}

#[test]
fn what_is_no_thread_state_has_no_stack() {
    for interpreter in supported() {
        let script = start(interpreter, "say('ready'); wait()");
        let (mut stacks, threads) = open(&script);
        until(&mut stacks, threads[0].0, is_in("wait"));
        for address in [0, 8, 1, threads[0].0 + 1, u64::MAX, u64::MAX - 7, 0x7fff_ffff_fff8] {
            assert_eq!(stacks.stack(address), Err(Torn::Unreadable), "{address:#x}");
        }
        // Anything that is readable: no promise what is told of it, but it ends.
        for offset in (8..4096).step_by(8) {
            let _ = stacks.stack(threads[0].0 + offset);
        }
        assert_eq!(stacks.stack(threads[0].0).map(|stack| stack.len()), Ok(2));
    }
}
