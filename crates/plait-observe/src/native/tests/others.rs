//! Shots beside other tracers, and at interpreters without symbols. Some need another process: this test program, started
//! again to run one of the tests below that are ignored otherwise.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::ptrace::{self, Options};
use nix::unistd::Pid as Raw;

use super::*;
use crate::native::maps;

/// What the helper is told: numbers.
const TOLD: &str = "PLAIT_TEST_HELPER";

/// The command that is the helper of that name.
fn command(name: &str, told: &[Pid]) -> Command {
    let told: Vec<String> = told.iter().map(Pid::to_string).collect();
    let mut command = Command::new(env::current_exe().expect("this test program"));
    command
        .args(["--exact", &format!("native::tests::others::{name}"), "--ignored", "--nocapture"])
        .env(TOLD, told.join(" "))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Starts the helper of that name, and waits until it is at it.
pub(super) fn helper(name: &str, told: &[Pid]) -> Child {
    let mut helper = command(name, told).spawn().expect("this test program starts");
    let mut output = BufReader::new(helper.stdout.take().expect("is piped"));
    let at_it = output.by_ref().lines().map_while(Result::ok).any(|line| line.ends_with("at it"));
    assert!(at_it, "the helper ended");
    // Kept open: it says how its test ended.
    helper.stdout = Some(output.into_inner());
    helper
}

fn told() -> Vec<Pid> {
    let told = env::var(TOLD).expect("started by another test");
    told.split(' ').map(|word| word.parse().expect("a number")).collect()
}

/// Waits until whoever started this process lets go.
fn until_let_go() {
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
#[ignore = "a helper of another test"]
fn shoots() {
    let [pid, tid] = told()[..] else { panic!("two numbers") };
    thread::spawn(|| {
        until_let_go();
        std::process::exit(0);
    });
    let mut natives = Natives::new(pid);
    hit(&mut natives, tid);
    println!("at it");
    loop {
        let _ = natives.shot(tid);
    }
}

#[test]
#[ignore = "a helper of another test"]
fn traces() {
    let [_, tid] = told()[..] else { panic!("two numbers") };
    ptrace::seize(Raw::from_raw(tid.cast_signed()), Options::empty()).expect("is allowed");
    println!("at it");
    until_let_go();
}

#[test]
#[ignore = "a helper of another test"]
fn is_refused() {
    let [pid, tid] = told()[..] else { panic!("two numbers") };
    let refused = Natives::new(pid).shot(tid).expect_err("it is not allowed");
    println!("refused: {} {refused}", refused.is_lasting());
}

#[test]
fn who_may_not_stop_a_process_is_told_what_to_do() {
    let (script, tid) = start(supported()[0], "loop()");
    if !rustix::process::geteuid().is_root() {
        println!("only root can be somebody else");
        return;
    }
    const NOBODY: u32 = 65534;
    let told = command("is_refused", &[script.pid(), tid]).uid(NOBODY).gid(NOBODY).output();
    let Ok(told) = told else {
        println!("this test program is not for others to run: {told:?}");
        return;
    };
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("refused: true threads of process") && told.contains("or as root"), "{told}");
}

#[test]
fn a_process_that_somebody_traces_is_left_to_them() {
    // Neither waits for the other, for what waits needs no stop to be looked at.
    let work = "data = bytes(1 << 26)
def work():
    while True: hashlib.sha256(data)
start(1, work); say(threading.enumerate()[-1].native_id)
work()";
    let (mut script, main) = start(supported()[0], work);
    let pid = script.pid();
    let [other]: [Pid; 1] = script.numbers()[..].try_into().expect("one number");
    let mut natives = Natives::new(pid);
    for (traced, shot) in [(main, main), (other, other), (main, other)] {
        hit(&mut natives, shot);
        let mut tracer = helper("traces", &[pid, traced]);
        let began = Instant::now();
        let refused = loop {
            match natives.shot(shot) {
                Err(refused) => break refused,
                Ok(hit) => assert_eq!(hit.pause, Duration::ZERO, "it was stopped"),
            }
            assert!(began.elapsed() < LONG, "not refused");
        };
        assert!(matches!(refused, NoShot::Traced { pid: of, .. } if of == pid), "{refused:?}");
        assert!(refused.is_lasting() && refused.to_string().contains("end that one"), "{refused}");
        drop(tracer.stdin.take());
        tracer.wait().expect("it ends");
        hit(&mut natives, shot);
    }
}

#[test]
fn a_process_that_is_gone_has_no_threads() {
    let (script, tid) = start(supported()[0], "loop()");
    let pid = script.pid();
    let mut natives = Natives::new(pid);
    hit(&mut natives, tid);
    drop(script);
    assert_eq!(natives.shot(tid), Err(NoShot::Ended { tid }));
    assert_eq!(Natives::new(pid).shot(std::process::id()), Err(NoShot::Ended { tid: std::process::id() }));
}

/// A copy of a running interpreter without symbols: its program, and where its libraries are.
struct Stripped {
    folder: PathBuf,
    program: PathBuf,
}

impl Stripped {
    /// `None` where there is no `strip`, or nothing to strip.
    fn copy(pid: Pid, name: &str) -> Option<Self> {
        let folder = env::temp_dir().join(format!("plait-stripped-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let program = folder.join("python");
        fs::copy(format!("/proc/{pid}/exe"), &program).expect("is copied");
        let stripped = Self { folder, program };
        let mut files = vec![stripped.program.clone()];
        for library in maps::of(pid).expect("its maps").iter().filter(|code| code.name().starts_with("libpython")) {
            let to = stripped.folder.join(library.name());
            fs::copy(&library.path, &to).expect("is copied");
            files.push(to);
        }
        files.dedup();
        let strip = Command::new("strip").args(&files).status();
        strip.is_ok_and(|status| status.success()).then_some(stripped)
    }

    fn start(&self, prefix: &OsStr, work: &str) -> (Script, Pid) {
        let source = format!(
            "import os, sys, threading\ndef say(*words): print(*words, flush=True)\nsay('ready'); \
             say(threading.get_native_id())\n{work}"
        );
        let mut command = Command::new(&self.program);
        command.args(["-S", "-c", &source]).env("LD_LIBRARY_PATH", &self.folder).env("PYTHONHOME", prefix);
        let mut script = Script::spawn(&mut command);
        let [tid] = script.numbers()[..] else { panic!("one number") };
        (script, tid)
    }
}

impl Drop for Stripped {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_stripped_interpreter_is_named_by_what_python_knows() {
    let cases = [
        ("import re\ntext = 'abc def ' * 200_000", "re.findall('(a|b)+x', text)", &["re.Pattern.findall"][..]),
        ("data = [str(n * 7919 % 300_007) for n in range(300_000)]", "sorted(data)", &["builtins.sorted"]),
        // In most builds a module of its own, which kept its symbols.
        (
            "import pickle\ndata = [[n, 'x'] for n in range(50_000)]",
            "pickle.dumps(data)",
            &["_pickle_dumps", "_pickle.dumps"],
        ),
        // Exported by some versions only, and called by an instruction or by an operator.
        ("n = 3 ** 200_000", "n * n", &["_PyLong_Multiply", "int.__mul__", names::NO_NAME]),
    ];
    for interpreter in supported() {
        let (mut whole, _) = start(interpreter, "say(sys.base_prefix); wait()");
        let prefix = whole.line();
        let Some(stripped) = Stripped::copy(whole.pid(), &format!("{}", interpreter.version.1)) else {
            println!("{interpreter:?} cannot be stripped here");
            continue;
        };
        for (before, work, right) in cases {
            let work = format!("{before}\nsay('works')\nwhile True: {work}");
            let (mut script, tid) = stripped.start(OsStr::new(&prefix), &work);
            assert_eq!(script.line(), "works");
            assert!(!names::has_symbols(script.pid()), "it is another one that runs");
            let right = |hit: &NativeStack| right.contains(&hit.function.as_deref().unwrap_or(names::NO_NAME));
            let (share, hits) = names::share(&mut script, tid, right);
            assert!(share >= 0.9, "{interpreter:?}: {work}: {share:.2}\n{}", names::told(&hits));
        }
    }
}
