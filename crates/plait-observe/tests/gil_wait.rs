//! The share of GIL waits in live programs whose share is known, on every supported Python found.

mod python;

use plait_observe::{Finder, Gils, Python, Reason, Version, Waits, Watch, WatchReport};
use python::{Interpreter, Script, interpreters, supported};

/// Watches until `ticks` looks have counted; shares are steady long before.
fn watch(script: &mut Script, ticks: u64) -> WatchReport {
    let watch = Watch::start(script.pid()).expect("a thread starts");
    wait_for(&watch, script, ticks);
    watch.stop()
}

fn wait_for(watch: &Watch, script: &mut Script, ticks: u64) {
    while watch.ticks() < ticks {
        assert!(script.is_running(), "the script ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Runs `source` on every Python and hands each share to `check`.
fn shares(source: &str, check: impl Fn(f64, &WatchReport)) {
    for interpreter in supported() {
        let mut script = Script::start(interpreter, source);
        let report = watch(&mut script, 400);
        let share = report.gil_wait.clone().unwrap_or_else(|reason| panic!("{interpreter:?}: {reason}"));
        println!(
            "{:?}: {share:.3}, {:.2} s waited in {:.2} s, {} ticks, {} late, own CPU {:.2} %",
            interpreter.version,
            report.waited_seconds,
            report.elapsed_seconds,
            report.ticks,
            report.late,
            100.0 * report.own_cpu_seconds / report.elapsed_seconds,
        );
        check(share, &report);
    }
}

#[test]
fn four_threads_of_python_code_wait_three_quarters() {
    shares("start(4, loop); say('ready'); wait()", |share, report| {
        assert!((0.5..=0.85).contains(&share), "{report:?}");
        // Three threads wait at any time, and the main thread reads its input.
        let waiting = report.waited_seconds / report.elapsed_seconds;
        assert!((1.5..=3.3).contains(&waiting), "{report:?}");
        let [process] = &report.processes[..] else { panic!("{report:?}") };
        assert_eq!(process.threads.len(), 5);
        let waited = process.threads.iter().filter(|thread| thread.waits.waiting > thread.waits.running).count();
        assert!(waited >= 3, "{process:?}");
        let mut all = Waits::default();
        process.threads.iter().for_each(|thread| all += thread.waits);
        assert_eq!((Ok(all), all), (process.waits.clone(), report.waits));
    });
}

#[test]
fn one_thread_never_waits() {
    shares("say('ready'); loop()", |share, report| assert!(share < 0.1, "{report:?}"));
}

#[test]
fn sleeping_threads_do_not_want_the_gil() {
    shares("start(4, lambda: time.sleep(3600)); say('ready'); time.sleep(3600)", |share, report| {
        assert!(share < 0.05, "{report:?}");
        assert!(report.waits.blocked > report.waits.seen().mul_f64(0.9), "{report:?}");
    });
}

#[test]
fn threads_that_wait_for_a_lock_do_not_want_the_gil() {
    let source = "
lock = threading.Lock(); lock.acquire()
start(4, lock.acquire); say('ready'); loop()";
    shares(source, |share, report| assert!(share < 0.1, "{report:?}"));
}

#[test]
fn hashing_threads_let_the_gil_go() {
    let source = "
data = bytes(16 << 20)
def work():
    while True:
        hashlib.sha256(data)
start(4, work); say('ready'); wait()";
    shares(source, |share, report| assert!(share < 0.2, "{report:?}"));
}

#[test]
fn a_thread_that_sleeps_with_the_gil_in_hand_counts_as_holding_it() {
    let source = "
usleep = ctypes.PyDLL(None).usleep
def work():
    while True:
        usleep(200_000)
start(4, work); say('ready'); wait()";
    // One of four has it. Were its sleep taken for idleness, the other three would be all who want to run.
    shares(source, |share, report| assert!((0.6..=0.85).contains(&share), "{report:?}"));
}

#[test]
fn workers_born_during_the_watch_are_found() {
    let source = "
say('ready'); wait()
work = 'import threading\\ndef loop():\\n  while True: pass\\n' + 'threading.Thread(target=loop, daemon=True).start()\\n' * 4
spawned = subprocess.Popen([sys.executable, '-I', '-c', work + 'import sys; sys.stdin.read()'], stdin=subprocess.PIPE)
forked = os.fork()
if forked == 0:
    die_with_parent()
    start(4, loop)
    time.sleep(3600)
say(spawned.pid, forked)
wait()";
    for interpreter in supported() {
        let mut script = Script::start(interpreter, source);
        let watch = Watch::start(script.pid()).expect("a thread starts");
        script.go_on();
        let born: Vec<u32> = script.numbers();
        wait_for(&watch, &mut script, 800);
        let report = watch.stop();
        for pid in born {
            let process = report.processes.iter().find(|process| process.pid == pid && process.waits.is_ok());
            let waits = process.unwrap_or_else(|| panic!("{pid}: {report:?}")).waits.clone().expect("just seen");
            assert!(!waits.waiting.is_zero() && waits.share() > 0.5, "{interpreter:?}: {report:?}");
        }
        assert!(report.gil_wait.is_ok_and(|share| share > 0.5));
    }
}

#[test]
fn a_shell_that_becomes_a_python_is_found() {
    let Interpreter { path, .. } = supported()[0];
    let work = "import threading; print('python', flush=True)\ndef loop():\n  while True: pass\n\
                for _ in range(3): threading.Thread(target=loop, daemon=True).start()\nloop()";
    let mut script = Script::spawn(
        std::process::Command::new("sh")
            .args(["-c", "echo ready; read go; exec \"$0\" -I -c \"$1\""])
            .arg(path)
            .arg(work),
    );
    let watch = Watch::start(script.pid()).expect("a thread starts");
    script.go_on();
    assert_eq!(script.line(), "python");
    wait_for(&watch, &mut script, 600);
    let report = watch.stop();
    assert!(report.gil_wait.clone().is_ok_and(|share| share > 0.3), "{report:?}");
    assert!(
        report.processes.iter().any(|process| matches!(process.waits, Err(Reason::NotPython { .. }))),
        "{report:?}"
    );
}

#[test]
fn the_gil_is_where_the_interpreter_says_it_runs() {
    for interpreter in supported() {
        let script = Script::start(interpreter, "say('ready'); wait()");
        let found = Python::find(script.pid()).expect("it is a Python");
        let (major, minor, micro) = interpreter.version;
        assert_eq!(found.version, Version { major, minor, micro });
        let gils = Gils::find(script.pid(), &mut Finder::default()).expect("it has a GIL");
        assert_eq!((gils.python(), gils.gils().len()), (found, 1));
    }
}

#[test]
fn a_busy_thread_is_the_holder() {
    for interpreter in supported() {
        let mut script = Script::start(interpreter, "say('ready'); say(threading.get_native_id()); loop()");
        let [tid] = script.numbers::<u32>()[..] else { panic!("one number") };
        let gils = Gils::find(script.pid(), &mut Finder::default()).expect("it has a GIL");
        let moments = std::iter::repeat_with(|| gils.moment(gils.gils()[0]).expect("alive"));
        let holder = moments.filter(|moment| moment.held).map(|moment| moment.last_holder).next();
        assert_eq!(holder, Some(Some(tid)));
    }
}

#[test]
fn sub_interpreters_with_a_gil_of_their_own_are_seen() {
    for interpreter in supported().into_iter().filter(|found| found.version.1 >= 13) {
        let source = "
if sys.version_info < (3, 14):
    import _interpreters
    made = _interpreters.create()
else:
    from concurrent import interpreters
    made = interpreters.create()
say('ready'); wait()";
        let script = Script::start(interpreter, source);
        let gils = Gils::find(script.pid(), &mut Finder::default()).expect("it has GILs");
        assert_eq!(gils.gils().len(), 2);
    }
}

#[test]
fn a_python_older_than_3_11_is_refused() {
    for interpreter in interpreters().iter().filter(|found| found.version < (3, 11, 0) && found.version >= (3, 7, 0)) {
        let mut script = Script::start(interpreter, "start(4, loop); say('ready'); wait()");
        let pid = script.pid();
        assert_eq!(watch(&mut script, 30).gil_wait, Err(Reason::TooOld { pid }));
    }
}

#[test]
fn another_program_is_refused() {
    let mut script = Script::spawn(std::process::Command::new("sh").args(["-c", "echo ready; read go"]));
    let pid = script.pid();
    let report = watch(&mut script, 30);
    assert_eq!(report.gil_wait, Err(Reason::NotPython { pid }));
    assert_eq!((report.waits, report.waited_seconds), (Waits::default(), 0.0));
}

#[test]
fn a_dead_process_is_refused() {
    let script = Script::spawn(std::process::Command::new("sh").args(["-c", "echo ready; read go"]));
    let pid = script.pid();
    drop(script);
    assert_eq!(Watch::start(pid).expect("a thread starts").stop().gil_wait, Err(Reason::Gone { pid }));
    assert_eq!(Python::find(pid), Err(Reason::Gone { pid }));
}

#[test]
fn a_process_that_dies_under_the_watch_keeps_what_was_seen() {
    let interpreter = supported()[0];
    let mut script = Script::start(interpreter, "start(4, loop); say('ready'); wait()");
    let watch = Watch::start(script.pid()).expect("a thread starts");
    wait_for(&watch, &mut script, 200);
    drop(script);
    let seen = watch.ticks();
    while watch.ticks() < seen + 100 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let report = watch.stop();
    assert!(report.gil_wait.clone().is_ok_and(|share| share > 0.25), "{report:?}");
}
