//! Recordings of live programs that know what they did, on every supported Python found.

mod python;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plait_observe::{RecordOptions, Recorder};
use plait_trace::{Nanos, Recording, State, ThreadLane};
use python::{Script, supported};

/// A recording that goes on beside the test.
struct Going {
    recording: Arc<Mutex<Recording>>,
    recorder: Recorder,
}

impl Going {
    fn start(script: &Script) -> Self {
        Self::start_with(script, RecordOptions::default())
    }

    fn start_with(script: &Script, options: RecordOptions) -> Self {
        let recording = Arc::new(Mutex::new(Recording::default()));
        let recorder = Recorder::start(script.pid(), options, Box::new(Arc::clone(&recording))).expect("it lives");
        Self { recording, recorder }
    }

    /// Waits until the recording shows something.
    fn until(&self, what: &str, shows: impl Fn(&Recording) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !shows(&self.recording.lock().expect("whole")) {
            if Instant::now() > deadline {
                let recording = self.recording.lock().expect("whole");
                let lanes: Vec<_> =
                    recording.threads.iter().map(|lane| (&lane.thread.name, lane.spans.last(), &lane.shots)).collect();
                panic!("no {what} within 30 s: {:?}\n{:?}\n{lanes:?}", recording.processes, recording.notes);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn for_a_while(self, seconds: f64) -> Recording {
        let begun = self.recording.lock().expect("whole").length();
        self.until("time", |recording| (recording.length() - begun) as f64 >= seconds * 1e9);
        self.stop()
    }

    fn stop(self) -> Recording {
        let outcome = self.recorder.stop();
        assert!(outcome.failure.is_none(), "{outcome:?}");
        let recording = std::mem::take(&mut *self.recording.lock().expect("whole"));
        println!("{:.2} s, {} gaps, {:?}", recording.length() as f64 / 1e9, recording.gaps.len(), outcome.ended);
        assert_eq!(recording.ended, Some(outcome.ended));
        recording
    }
}

fn time_in(lane: &ThreadLane, is_wanted: impl Fn(State) -> bool) -> f64 {
    let spans = lane.spans.iter().filter(|span| is_wanted(span.state));
    spans.map(|span| (span.to - span.from) as f64 / 1e9).sum()
}

fn seen_for(lane: &ThreadLane) -> f64 {
    time_in(lane, |state| state != State::Unknown)
}

/// Tries again where the machine was too busy to look: what is checked is what was seen, not when it was looked.
fn attempts(times: usize, mut check: impl FnMut() -> Result<(), String>) {
    let mut said = Vec::new();
    for _ in 0..times {
        match check() {
            Ok(()) => return,
            Err(why) => said.push(why),
        }
    }
    panic!("{said:#?}");
}

/// Holds the GIL for 2 to 12 ms at a time, asleep, and tells when.
const KEEPER: &str = "
import random
keep = ctypes.PyDLL(None).usleep
random.seed(7)
held = []
def keeper():
    while len(held) < 120:
        took = random.randrange(2000, 12000)
        begun = time.monotonic_ns()
        keep(took)
        held.append((begun, time.monotonic_ns()))
        time.sleep(0.003)
thread = threading.Thread(target=keeper)
say('ready'); wait()
thread.start(); thread.join()
say(thread.native_id, *[moment for hold in held for moment in hold])
wait()
";

#[test]
fn holds_are_found_with_their_thread_and_time() {
    for interpreter in supported() {
        attempts(4, || {
            let mut script = Script::start(interpreter, KEEPER);
            let going = Going::start(&script);
            script.go_on();
            let numbers: Vec<Nanos> = script.numbers();
            let recording = going.stop();
            let (tid, truth) = (numbers[0] as u32, &numbers[1..]);
            let origin = recording.began.monotonic;
            let lane = recording.threads.iter().find(|lane| lane.thread.tid == tid).ok_or("no such thread")?;
            let holds: Vec<(Nanos, Nanos)> =
                lane.spans.iter().filter(|span| span.state.holds_gil()).map(|span| (span.from, span.to)).collect();
            let (mut found, mut all, mut edges) = (0, 0, Vec::new());
            for hold in truth.chunks(2) {
                let (from, to) = (hold[0] - origin, hold[1] - origin);
                if recording.gaps.iter().any(|gap| gap.from < to && gap.to > from) {
                    continue;
                }
                all += 1;
                // Spans that follow each other are one hold in several states.
                let inside: Vec<_> = holds.iter().filter(|(begun, ended)| *begun < to && *ended > from).collect();
                let seen: Nanos = inside.iter().map(|(begun, ended)| to.min(*ended) - from.max(*begun)).sum();
                if seen * 2 >= to - from {
                    found += 1;
                    edges.push(inside[0].0.abs_diff(from));
                }
            }
            edges.sort_unstable();
            let edge = edges.get(edges.len() / 2).copied().unwrap_or(Nanos::MAX);
            println!("{:?}: {found} of {all} holds, edges off by {edge} ns", interpreter.version);
            if all >= 60 && found * 100 >= all * 97 && edge <= 1_500_000 {
                return Ok(());
            }
            Err(format!("{:?}: {found} of {all} holds, edges off by {edge} ns", interpreter.version))
        });
    }
}

#[test]
fn threads_that_compute_share_the_gil_and_wait() {
    for interpreter in supported() {
        let script = Script::start(interpreter, "start(4, loop); say('ready'); wait()");
        let recording = Going::start(&script).for_a_while(1.0);
        for lane in &recording.threads {
            let times: Vec<_> = State::ALL
                .iter()
                .map(|&state| (state.word(), time_in(lane, |other| other == state)))
                .filter(|(_, time)| *time > 0.0)
                .collect();
            println!("{:?}: {times:.3?}", lane.thread.name);
        }
        let busy: Vec<&ThreadLane> =
            recording.threads.iter().filter(|lane| time_in(lane, State::holds_gil) > 0.05).collect();
        assert_eq!(busy.len(), 4, "{:?}", interpreter.version);
        for lane in busy {
            let seen = seen_for(lane);
            let (held, waited) = (time_in(lane, State::holds_gil) / seen, time_in(lane, State::wants_gil) / seen);
            assert!((0.05..0.6).contains(&held), "{:?} held {held}", interpreter.version);
            assert!((0.3..0.95).contains(&waited), "{:?} waited {waited}", interpreter.version);
            assert!(!lane.stacks.is_empty(), "{:?}", interpreter.version);
            let innermost = lane.stacks[0].frames.first().map(|frame| &recording.frames[frame.index()].function);
            assert_eq!(innermost.map(String::as_str), Some("loop"));
        }
        let hogged: f64 = recording.threads.iter().map(|lane| time_in(lane, |state| state == State::HoldsNative)).sum();
        assert!(hogged < 0.3, "{:?}: a loop taken for native code for {hogged} s", interpreter.version);
    }
}

#[test]
fn native_code_that_keeps_the_gil_is_told_with_its_function_and_line() {
    const HOG: &str = "
numbers = [n * 7919 % 1_000_003 for n in range(400_000)]
def hog():
    while True:
        sorted(numbers)
def other():
    while True:
        time.sleep(0.001)
start(1, hog); start(1, other); say('ready'); wait()
";
    for interpreter in supported() {
        let script = Script::start(interpreter, HOG);
        let going = Going::start(&script);
        let named = |recording: &Recording| {
            recording.threads.iter().any(|lane| {
                let native = lane.spans.iter().any(|span| span.state == State::HoldsNative);
                let named = |shot: &plait_trace::Shot| {
                    let line = shot.frames.first().map(|frame| recording.frames[frame.index()].function.as_str());
                    shot.function.as_deref().is_some_and(|name| name.contains("sort")) && line == Some("hog")
                };
                native && lane.shots.iter().any(named)
            })
        };
        going.until("hog by name", named);
        drop(going);
    }
}

#[test]
fn children_are_found_and_their_ends() {
    const PARENT: &str = "
def work():
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
say('ready'); wait()
for _ in range(4):
    if os.fork() == 0:
        die_with_parent()
        work()
        os._exit(0)
for _ in range(4):
    os.wait()
time.sleep(0.5)
say('done'); wait()
";
    for interpreter in supported() {
        attempts(4, || {
            let mut script = Script::start(interpreter, PARENT);
            let going = Going::start(&script);
            script.go_on();
            assert_eq!(script.line(), "done");
            let last = |recording: &Recording| recording.ended.is_none() && recording.length() > 0;
            going.until("record", last);
            let recording = going.stop();
            let children: Vec<_> = recording.processes[1..].iter().filter(|child| child.ended.is_some()).collect();
            if children.len() != 4 {
                return Err(format!("{:?}: {} children", interpreter.version, children.len()));
            }
            for child in children {
                assert_eq!(child.process.parent, Some(recording.processes[0].process.key));
                let held: f64 = recording.threads_of(&child.process).map(|lane| time_in(lane, State::holds_gil)).sum();
                if held < 0.02 {
                    return Err(format!("{:?}: {held} s", interpreter.version));
                }
            }
            Ok(())
        });
    }
}

#[test]
fn the_end_of_the_program_is_the_end_of_the_recording() {
    for interpreter in supported() {
        let mut script = Script::start(interpreter, "say('ready'); wait()");
        let going = Going::start(&script);
        script.go_on();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !going.recorder.is_over() {
            assert!(Instant::now() < deadline, "{:?}", interpreter.version);
            std::thread::sleep(Duration::from_millis(5));
        }
        let recording = going.stop();
        assert!(recording.processes[0].ended.is_some());
        assert!(!script.is_running());
    }
}

#[test]
fn a_program_that_execs_is_two() {
    const SOURCE: &str = "
say('ready'); wait()
os.execv(sys.executable, [sys.executable, '-c', 'import time\\nwhile True: time.sleep(0.01)'])
";
    for interpreter in supported() {
        let mut script = Script::start(interpreter, SOURCE);
        let going = Going::start(&script);
        script.go_on();
        going.until("second program", |recording| recording.processes.len() == 2);
        let recording = going.stop();
        assert!(recording.processes[0].ended.is_some() && recording.processes[1].ended.is_none());
        assert_eq!(recording.processes[0].process.pid, recording.processes[1].process.pid);
    }
}

#[test]
fn what_is_no_python_is_seen_as_the_kernel_sees_it() {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "echo ready; read line; exec sleep 30"]);
    let script = Script::spawn(&mut command);
    let recording = Going::start(&script).for_a_while(0.2);
    let process = &recording.processes[0].process;
    assert_eq!(process.sight, plait_trace::Sight::Kernel);
    assert!(process.why.as_ref().is_some_and(|why| why.contains("is not a CPython program")), "{process:?}");
    assert!(seen_for(&recording.threads[0]) > 0.1);
    assert!(recording.gils.is_empty());
}

#[test]
fn nobody_is_refused_with_the_reason() {
    let sink = Box::new(Recording::default());
    let error = Recorder::start(u32::MAX, RecordOptions::default(), sink).err().expect("no such process");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("has ended"), "{error}");
}

#[test]
fn a_sink_that_fails_ends_it_with_the_reason() {
    struct Full;
    impl plait_trace::Sink for Full {
        fn take(&mut self, _: &plait_trace::Record) -> std::io::Result<()> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
    }
    let script = Script::start(supported()[0], "say('ready'); wait()");
    let recorder = Recorder::start(script.pid(), RecordOptions::default(), Box::new(Full)).expect("it lives");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !recorder.is_over() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    let outcome = recorder.stop();
    assert_eq!(outcome.failure.map(|error| error.kind()), Some(std::io::ErrorKind::StorageFull));
}
