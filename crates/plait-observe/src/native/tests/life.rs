//! What a target must not notice: its signals, its system calls, its job control and its end are as ever.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid as Raw;

use super::*;
use crate::native::stop;

fn raw(pid: Pid) -> Raw {
    Raw::from_raw(pid.cast_signed())
}

/// The line of `status` that begins so.
fn status(pid: Pid, tid: Pid, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().to_owned()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn every_signal_arrives_once() {
    // One at a time, each awaited, so that none can stand for two: of the old kind and of the new, with a timer besides.
    let work = "
seen = 0
def handle(number, frame):
    global seen
    seen += 1
alarms = 0
def alarm(number, frame):
    global alarms
    alarms += 1
signals = [signal.SIGUSR1, signal.SIGRTMIN + 3]
for number in signals: signal.signal(number, handle)
signal.signal(signal.SIGALRM, alarm)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
main = threading.get_ident()
def send():
    sent = 0
    while True:
        for _ in range(100):
            signal.pthread_kill(main, signals[sent % 2])
            sent += 1
            until = time.monotonic() + 30
            while seen < sent:
                if time.monotonic() > until: say('lost', sent, seen)
                time.sleep(0)
        if seen != sent: say('more', sent, seen)
        say('sent', sent, alarms)
threading.Thread(target=send, daemon=True).start()
while True: sum(range(100))";
    for interpreter in supported() {
        let (mut script, tid) = start(interpreter, work);
        let mut natives = Natives::new(script.pid());
        let (before, began) = (stop::SIGNALS.load(Ordering::Relaxed), Instant::now());
        let mut shots = 0;
        // Until several were met between the stop and the handler.
        while stop::SIGNALS.load(Ordering::Relaxed) < before + 5 || shots < 200 {
            shots += usize::from(natives.shot(tid).is_ok());
            assert!(began.elapsed() < LONG, "{shots} shots met no signal");
        }
        let mut alarms = 0;
        for _ in 0..3 {
            let line = script.line();
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words[0], "sent", "{interpreter:?}: {line}");
            alarms = words[2].parse().expect("a number");
        }
        wait_until("the timer goes on", || {
            let line = script.line();
            line.split(' ').nth(2).is_some_and(|now| now.parse::<u64>().is_ok_and(|now| now > alarms))
        });
    }
}

#[test]
fn system_calls_are_not_cut_short() {
    // Calls that the kernel begins anew, made without Python's own retries; then those that it does not.
    let work = "
import select, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
fd, other = os.pipe()
def calls():
    yield 'usleep', lambda: libc.usleep(3000)
    yield 'poll', lambda: libc.poll(None, 0, 3)
    yield 'select', lambda: libc.select(0, None, None, None, ctypes.byref((ctypes.c_long * 2)(0, 3000)))
    yield 'read', lambda: libc.read(fd, ctypes.create_string_buffer(1), 1) - 1
def write():
    while True:
        time.sleep(0.003)
        os.write(other, b'x')
start(1, write)
for _ in range(60):
    for name, call in calls():
        if call() != 0: say('failed', name, ctypes.get_errno())
say('done')
sock, _peer = socket.socketpair()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 100, 0))
wake, waker = os.pipe()
epoll = libc.epoll_create1(0)
libc.epoll_ctl(epoll, 1, wake, struct.pack('<IQ', 1, 0))
say('blocks')
say(libc.epoll_wait(epoll, ctypes.create_string_buffer(12), 1, -1) if wait_long == 0 else
    libc.recv(sock.fileno(), ctypes.create_string_buffer(1), 1, 0), ctypes.get_errno())
wait()";
    // The other end writes from a thread.
    let work = work.replace(
        "say('blocks')",
        "def wake_up():
    wait()
    os.write(waker, b'x'); _peer.send(b'x')
start(1, wake_up)
say('blocks')",
    );
    for (which, number) in [(0, "232 "), (1, "45 ")] {
        for interpreter in supported() {
            let (mut script, tid) = start(interpreter, &format!("wait_long = {which}\n{work}"));
            let pid = script.pid();
            let stop = std::sync::atomic::AtomicBool::new(false);
            thread::scope(|scope| {
                let shots = scope.spawn(|| {
                    let (mut natives, mut hits) = (Natives::new(pid), 0);
                    while !stop.load(Ordering::Relaxed) {
                        hits += usize::from(natives.shot(tid).is_ok());
                        thread::sleep(Duration::from_micros(300));
                    }
                    hits
                });
                let line = script.line();
                stop.store(true, Ordering::Relaxed);
                assert_eq!(line, "done", "{interpreter:?}");
                assert!(shots.join().expect("no panic") > 20);
            });
            assert_eq!(script.line(), "blocks");
            let call = || fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).unwrap_or_default();
            wait_until("it blocks", || call().starts_with(number));
            let mut natives = Natives::new(pid);
            for _ in 0..200 {
                match natives.shot(tid) {
                    Ok(hit) => assert_eq!(hit.pause, Duration::ZERO),
                    Err(refused) => assert!(matches!(refused, NoShot::Delicate { .. }), "{refused}"),
                }
            }
            script.go_on();
            assert_eq!(script.line(), "1 0", "{interpreter:?}: call {number}");
        }
    }
}

#[test]
fn a_stopped_process_stays_stopped_until_it_is_told_to_go_on() {
    let (mut script, tid) = start(supported()[0], "n = 0\nwhile True:\n  n += 1\n  if n % 100000 == 0: say(n)");
    let pid = script.pid();
    let mut natives = Natives::new(pid);
    let is_stopped = || status(pid, tid, "State:").starts_with("T (stopped)");
    for round in 0..30 {
        // Comes while the shots go on; the last one is at a process that is stopped.
        let stopper = thread::spawn(move || {
            thread::sleep(Duration::from_micros(200 * round));
            kill(raw(pid), Signal::SIGSTOP).expect("it is ours");
        });
        let mut shots = 0;
        wait_until("it stops", || {
            shots += usize::from(natives.shot(tid).is_ok());
            is_stopped()
        });
        stopper.join().expect("no panic");
        for _ in 0..10 {
            hit(&mut natives, tid);
            wait_until("it is stopped again", is_stopped);
        }
        thread::sleep(Duration::from_millis(5));
        assert!(is_stopped(), "{}", status(pid, tid, "State:"));
        kill(raw(pid), Signal::SIGCONT).expect("it is ours");
        wait_until("it goes on", || !is_stopped());
        script.line();
    }
}

#[test]
fn a_target_outlives_observers_that_are_killed() {
    let (mut script, tid) = start(supported()[0], "n = 0\nwhile True:\n  n += 1\n  if n % 100000 == 0: say(n)");
    let pid = script.pid();
    for round in 0..100 {
        let mut observer = others::helper("shoots", &[pid, tid]);
        thread::sleep(Duration::from_micros(500 + 57 * round));
        observer.kill().expect("it is ours");
        observer.wait().expect("it is ours");
        wait_until("nobody traces it", || status(pid, tid, "TracerPid:") == "0");
        let state = status(pid, tid, "State:");
        assert!(state.starts_with(['R', 'S', 'D']), "round {round}: {state}");
        script.line();
    }
    hit(&mut Natives::new(pid), tid);
}

#[test]
fn threads_that_end_under_a_shot_leave_nothing() {
    let work = "
def live():
    say(threading.get_native_id())
    until = time.monotonic() + 0.01
    while time.monotonic() < until: pass
for _ in range(60):
    thread = threading.Thread(target=live); thread.start(); thread.join()
say('done'); wait()";
    for interpreter in supported() {
        let (mut script, _) = start(interpreter, work);
        let pid = script.pid();
        let (mut natives, mut ended, mut hits) = (Natives::new(pid), 0, 0);
        loop {
            let line = script.line();
            let Ok(tid) = line.parse::<Pid>() else { break };
            let began = Instant::now();
            loop {
                match natives.shot(tid) {
                    Ok(_) => hits += 1,
                    Err(NoShot::Busy { .. } | NoShot::Delicate { .. }) => {}
                    Err(NoShot::Ended { tid: of }) => break assert_eq!(of, tid),
                    Err(refused) => panic!("{refused}"),
                }
                assert!(began.elapsed() < LONG, "thread {tid} does not end");
            }
            ended += 1;
        }
        assert!(ended == 60 && hits > 60, "{ended} ended, {hits} hits");
        let threads = || fs::read_dir(format!("/proc/{pid}/task")).expect("it lives").count();
        wait_until("only the main thread is left", || threads() == 1);
    }
}

#[test]
fn the_end_of_a_child_is_left_to_who_waits_for_it() {
    let interpreter = supported()[0];
    for _ in 0..10 {
        let work = "import os, sys\nfor line in sys.stdin: os._exit(7)";
        let mut child = Command::new(&interpreter.path);
        let mut child = child.args(["-I", "-c", work]).stdin(Stdio::piped()).spawn().expect("Python starts");
        let pid = child.id();
        let mut natives = Natives::new(pid);
        wait_until("it can be shot", || natives.shot(pid).is_ok());
        child.stdin.take().expect("is piped").write_all(b"go\n").expect("it listens");
        wait_until("it ends", || matches!(natives.shot(pid), Err(NoShot::Ended { .. })));
        assert_eq!(child.wait().expect("its end is there to be waited for").code(), Some(7));
    }
}

#[test]
fn a_thread_that_cannot_be_interrupted_is_left_alone() {
    // Its child waits for somebody to write before it runs its program, and until then it waits for the child.
    let work = "
fifo = input()
say('spawns')
pid = os.posix_spawn('/bin/true', ['true'], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 0, fifo, os.O_RDONLY, 0)])
say(os.waitpid(pid, 0)[1]); wait()";
    let (mut script, tid) = start(supported()[0], work);
    let pid = script.pid();
    let folder = std::env::temp_dir().join(format!("plait-native-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let fifo = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo is there").success());
    script.tell(&fifo.to_string_lossy());
    assert_eq!(script.line(), "spawns");
    wait_until("it cannot be interrupted", || status(pid, tid, "State:").starts_with('D'));
    for _ in 0..3 {
        let refused = stop::copy(pid, tid, Vec::new()).expect_err("it cannot stop");
        assert_eq!(refused, NoShot::Busy { tid });
        wait_until("it is let go of", || status(pid, tid, "TracerPid:") == "0");
    }
    fs::write(&fifo, "").expect("somebody reads");
    assert_eq!(script.line(), "0");
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn threads_of_this_process_are_not_stopped() {
    let (tell, told) = std::sync::mpsc::channel();
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            tell.send(nix::unistd::gettid()).expect("somebody listens");
            while !done.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let tid = told.recv().expect("it tells").as_raw().cast_unsigned();
        let refused = Natives::new(std::process::id()).shot(tid);
        done.store(true, Ordering::Relaxed);
        assert_eq!(refused, Err(NoShot::OwnProcess));
    });
    let told: BTreeSet<String> = [
        NoShot::OwnProcess.to_string(),
        NoShot::Denied { pid: 7 }.to_string(),
        NoShot::Traced { pid: 7, tracer: 8 }.to_string(),
    ]
    .into();
    assert!(told.iter().all(|line| !line.contains("  ") && !line.contains('\n')), "{told:?}");
}
