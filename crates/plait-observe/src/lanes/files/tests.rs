use std::fs;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

fn gettid() -> Pid {
    rustix::thread::gettid().as_raw_nonzero().get() as Pid
}

/// Runs `body` in a thread of this process, and gives that thread's number.
fn start(body: impl FnOnce() + Send + 'static) -> Pid {
    let (send, receive) = channel();
    thread::spawn(move || {
        send.send(gettid()).expect("the test waits");
        body();
    });
    receive.recv().expect("it starts")
}

/// Looks until the thread sleeps in such a call.
#[track_caller]
fn wait_for(pid: Pid, tid: Pid, expected: (u16, Target)) -> (ThreadFiles, Call) {
    let mut files = ThreadFiles::open(pid, tid).expect("it lives");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let call = files.call().expect("it lives");
        if matches!(call, Call::In { number, target, .. } if (number, target) == expected) {
            return (files, call);
        }
        assert!(Instant::now() < deadline, "{call:?}, not {expected:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A process that ends with its test, also by a panic.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a thread waits for that shall wait until the test is over.
fn forever() -> (std::sync::mpsc::Sender<()>, Receiver<()>) {
    channel()
}

#[test]
fn lines_of_the_kernel_are_read() {
    assert_eq!(line(b"running\n"), Some(Line::Running));
    assert_eq!(line(b"-1 0x7ffe00 0x7f00\n"), Some(Line::Outside));
    assert_eq!(line(b"-1 0x0 0x0\n"), Some(Line::Ended));
    let in_call = |number, first| Some(Line::In { number, first });
    assert_eq!(line(b"0 0x3 0x1050 0x1 0x0 0x0 0x0 0x7ffe 0x7f00\n"), in_call(0, 3));
    let address = "202 0x7fffffffffffffff 0x189 0x0 0x7f 0x0 0xffffffff 0x7ffe 0x7f00\n";
    assert_eq!(line(address.as_bytes()), in_call(202, 0x7fff_ffff_ffff_ffff));
    assert_eq!(line(b"1073741824 0x3 0x0"), in_call(u16::MAX, 3));
    for nonsense in ["", "\n", " ", "-2 0x0", "202", "202 12", "202 0x", "202 0xfffffffffffffffff", "x 0x1", "-1"] {
        assert_eq!(line(nonsense.as_bytes()), None, "{nonsense:?}");
    }
    assert_eq!(sched(b"123 456 7\n"), Some((Sched { run: 123, delay: 456 }, 7)));
    for nonsense in ["", "1 2", "1 2 x", "-1 2 3", "99999999999999999999 1 1"] {
        assert_eq!(sched(nonsense.as_bytes()), None, "{nonsense:?}");
    }
}

#[test]
fn a_thread_that_reads_is_told_by_what_it_reads() {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let tid = start(move || drop(reader.read(&mut [0])));
    wait_for(std::process::id(), tid, (0, Target::Pipe));
    drop(writer);

    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("bound");
    let tid = start(move || drop(listener.accept()));
    wait_for(std::process::id(), tid, (288, Target::None));
    drop(std::net::TcpStream::connect(address));

    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let address = socket.local_addr().expect("bound");
    let tid = start(move || {
        let _ = rustix::io::read(&socket, &mut [0; 1]);
    });
    wait_for(std::process::id(), tid, (0, Target::Socket));
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"x", address)).expect("sent");
}

#[test]
fn sleep_and_locks_are_calls_without_a_descriptor() {
    let tid = start(|| thread::sleep(Duration::from_secs(3600)));
    let (_, call) = wait_for(std::process::id(), tid, (230, Target::None));
    assert!(
        matches!(call, Call::In { number, target, .. } if calls::resting(number, target) == plait_trace::State::Sleep)
    );
    let (keep, receive) = forever();
    let tid = start(move || {
        let _ = receive.recv();
    });
    wait_for(std::process::id(), tid, (calls::FUTEX, Target::None));
    drop(keep);
}

#[test]
fn a_call_that_goes_on_after_a_stop_is_what_it_was() {
    use rustix::process::{Pid as Number, Signal, kill_process};
    let child = Sleeper(Command::new("sleep").arg("3600").stdout(Stdio::null()).spawn().expect("it starts"));
    let pid = child.0.id();
    let deadline = Instant::now() + Duration::from_secs(60);
    let wait = |is: &dyn Fn() -> bool| {
        while !is() {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(1));
        }
    };
    let state = || crate::identity::Stat::of(pid).expect("not reaped").state;
    wait(&|| fs::read(format!("/proc/{pid}/syscall")).is_ok_and(|line| line.starts_with(b"230 ")));
    let (mut files, call) = wait_for(pid, pid, (230, Target::None));
    let signal = |signal| kill_process(Number::from_raw(pid as i32).expect("a number"), signal).expect("ours");
    signal(Signal::STOP);
    wait(&|| state() == b'T');
    signal(Signal::CONT);
    wait(&|| fs::read(format!("/proc/{pid}/syscall")).is_ok_and(|line| line.starts_with(b"219 ")));
    assert_eq!(files.call().expect("it lives"), call);
    // Who did not see it before knows no better.
    let renewed = ThreadFiles::open(pid, pid).and_then(|mut files| files.call()).expect("it lives");
    assert!(matches!(renewed, Call::In { number: RESTART, .. }), "{renewed:?}");
}

#[test]
fn a_descriptor_is_looked_at_again_now_and_then() {
    let (first, _keep) = std::io::pipe().expect("a pipe");
    let null = fs::File::open("/dev/null").expect("a file");
    let descriptor = {
        use std::os::fd::AsRawFd;
        first.as_raw_fd() as u64
    };
    let mut files = ThreadFiles::open(std::process::id(), gettid()).expect("our own");
    assert_eq!(files.target(0, descriptor), Target::Pipe);
    let mut first = std::os::fd::OwnedFd::from(first);
    rustix::io::dup2(&null, &mut first).expect("replaced");
    let looks = (0..).take_while(|_| files.target(0, descriptor) == Target::Pipe).count();
    assert_eq!(looks as u32, TRUSTED_LOOKS);
    assert_eq!(files.target(0, descriptor), Target::File);
    // Others in between do not make it forget at once.
    for other in 0..REMEMBERED as u64 - 1 {
        files.target(1, 1_000_000 + other);
    }
    assert_eq!(files.known.iter().filter(|known| known.descriptor == descriptor).count(), 1);
    assert_eq!(files.target(0, u64::MAX), Target::None);
    std::mem::forget(null);
}

#[test]
fn a_thread_that_runs_uses_time_and_one_that_has_ended_is_gone() {
    let (go_on, receive) = forever();
    let tid = start(move || {
        while receive.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            std::hint::spin_loop();
        }
    });
    let mut files = ThreadFiles::open(std::process::id(), tid).expect("it lives");
    let before = files.sched().expect("counted");
    let deadline = Instant::now() + Duration::from_secs(60);
    while files.sched().expect("counted").run < before.run + 20_000_000 {
        assert_eq!(files.call().expect("it lives"), Call::Running);
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(1));
    }
    drop(go_on);
    let error = loop {
        match files.call() {
            Ok(_) => assert!(Instant::now() < deadline),
            Err(error) => break error,
        }
    };
    assert_eq!(Errno::from_io_error(&error), Some(Errno::SRCH));
    assert!(files.sched().is_err());
    assert!(ThreadFiles::open(std::process::id(), tid).is_err());
}

#[test]
fn fuzz_proc_files() {
    let seeds = ["running\n", "-1 0x7ffd 0x0\n", "202 0x7f00 0x80 0x0 0x0 0x0 0x0 0x7f 0x7e\n", "123456 789 12\n"];
    let seeds: Vec<_> = seeds.iter().map(|text| text.as_bytes().to_vec()).collect();
    plait_trace::fuzz::fuzz("proc_files", env!("CARGO_MANIFEST_DIR"), &seeds, |bytes| {
        let _ = (line(bytes), sched(bytes));
    });
}
