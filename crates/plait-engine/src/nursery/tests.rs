//! Parent and nursery over a real socket, with real processes in the place of workers.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rustix::net::{Shutdown, shutdown};
use rustix::process::{Pid, WaitOptions, waitpid};

use plait_shm::{Platform, ProcessWatch};
use plait_trace::WorkerId;

use super::protocol::{self, Report, Request};
use super::*;

#[derive(Debug, PartialEq)]
enum News {
    Started(i32),
    Ended(Exit, Option<u64>),
    Failed(String),
    Unborn(String),
}

struct Ear(Sender<News>);

impl Sink for Ear {
    fn started(&self, pid: i32) {
        let _ = self.0.send(News::Started(pid));
    }

    fn ended(&self, exit: Exit, peak: Option<u64>) {
        let _ = self.0.send(News::Ended(exit, peak));
    }

    fn failed(&self, error: io::Error) {
        let _ = self.0.send(News::Failed(error.to_string()));
    }

    fn unborn(&self, error: io::Error) {
        let _ = self.0.send(News::Unborn(error.to_string()));
    }
}

fn ear() -> (Arc<Ear>, Receiver<News>) {
    let (sender, receiver) = channel();
    (Arc::new(Ear(sender)), receiver)
}

fn sockets() -> (OwnedFd, OwnedFd) {
    protocol::pair().unwrap()
}

/// The parent's handle, and the other end of its socket.
fn parent() -> (Arc<Nursery>, OwnedFd) {
    let (ours, theirs) = sockets();
    let process = Command::new("true").spawn().unwrap();
    (Nursery::over(ours, Some(process), drop).unwrap(), theirs)
}

fn request(socket: &OwnedFd) -> Request {
    protocol::recv_request(socket).unwrap().unwrap().message
}

fn until(is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it is not so for ten seconds");
}

/// A process that lives until its standard input is closed.
fn lasting() -> Child {
    Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()
}

fn descriptor(pid: i32) -> OwnedFd {
    Platform::find(Pid::from_raw(pid).unwrap()).unwrap().unwrap()
}

fn order(key: u64) -> Order {
    Order { key, fds: Vec::new(), birth: Platform::prepare().unwrap() }
}

const PEAK: u64 = 5 << 20;

/// As the binding does it, but for the figure.
fn reap(pid: i32) -> io::Result<Reaped> {
    let (_, status) = waitpid(Pid::from_raw(pid), WaitOptions::empty())?.unwrap();
    let exit = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    };
    Ok(Reaped { exit, peak: Some(PEAK) })
}

/// A nursery on a thread, whose workers are `command`; they cannot report themselves, so the thread does.
fn serve(socket: OwnedFd, command: fn() -> io::Result<Child>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let reports = rustix::io::dup(&socket).unwrap();
        let mut server = Server::start(socket).unwrap().unwrap();
        while let Next::Order(order) = server.next_order(None, &reap).unwrap() {
            let key = order.key;
            match command() {
                Ok(child) => {
                    let pid = child.id() as i32;
                    let process = descriptor(pid);
                    protocol::send_report(&reports, Report::Forked { key, pid }, &[process.as_fd()]).unwrap();
                    server.forked(order, pid, &reap).unwrap();
                    std::mem::forget(child.stdin);
                }
                Err(error) => server.failed(key, error.raw_os_error().unwrap()).unwrap(),
            }
        }
    })
}

#[test]
#[cfg_attr(portable, ignore = "programs that know nothing of their pipe")]
fn workers_are_born_signalled_and_reaped_with_their_peak() {
    let (ours, socket) = sockets();
    client::greet(&ours).unwrap();
    let nursery = Nursery::over(ours, Some(Command::new("true").spawn().unwrap()), drop).unwrap();
    let other_end = rustix::io::dup(&socket).unwrap();
    let serving = serve(socket, || Ok(lasting()));
    let keys: Vec<u64> = (0..3).map(|n| new_key(WorkerId(n))).collect();
    let heard: Vec<_> = keys
        .iter()
        .map(|&key| {
            let (sink, news) = ear();
            nursery.fork(key, &[other_end.as_fd()], sink).unwrap();
            news
        })
        .collect();
    for (&key, signal) in keys.iter().zip([15, 50, 9]).rev() {
        nursery.signal(key, signal);
    }
    for (news, signal) in heard.into_iter().zip([15, 50, 9]) {
        assert!(matches!(news.recv().unwrap(), News::Started(pid) if pid > 0));
        assert_eq!(news.recv().unwrap(), News::Ended(Exit::Signal(signal), Some(PEAK)));
        assert!(news.recv().is_err(), "nothing else was told");
    }
    shutdown(&other_end, Shutdown::Both).unwrap();
    serving.join().unwrap();
}

#[test]
fn a_fork_that_the_system_refuses_is_explained() {
    for (errno, words) in [
        (11, "the system allows no more processes or threads: raise `ulimit -u`"),
        (24, "too many open files: raise `ulimit -n`"),
        (12, "not enough memory"),
        (1, "Operation not permitted"),
    ] {
        let (nursery, socket) = parent();
        let (sink, news) = ear();
        let key = new_key(WorkerId(0));
        nursery.fork(key, &[], sink).unwrap();
        assert_eq!(request(&socket), Request::Fork { key });
        protocol::send_report(&socket, Report::Failed { key, errno }, &[]).unwrap();
        let News::Failed(told) = news.recv().unwrap() else { panic!("not told of the failure") };
        assert!(told.contains(words), "{told}");
        assert!(news.recv().is_err(), "nothing else was told");
    }
}

#[test]
fn a_kill_before_the_birth_follows_the_order() {
    let (nursery, socket) = parent();
    let key = new_key(WorkerId(7));
    let (sink, news) = ear();
    nursery.fork(key, &[], sink).unwrap();
    nursery.kill(key);
    assert_eq!(request(&socket), Request::Fork { key });
    assert_eq!(request(&socket), Request::Signal { key, signal: 9 });
    let ended = Report::Ended { key, exit: Exit::Signal(9), peak: 0 };
    protocol::send_report(&socket, ended, &[]).unwrap();
    assert_eq!(news.recv().unwrap(), News::Ended(Exit::Signal(9), None));
}

#[test]
fn a_worker_without_a_descriptor_is_signalled_through_the_nursery() {
    let (nursery, socket) = parent();
    let key = new_key(WorkerId(7));
    let (sink, news) = ear();
    nursery.fork(key, &[], sink).unwrap();
    protocol::send_report(&socket, Report::Forked { key, pid: 4711 }, &[]).unwrap();
    assert_eq!(news.recv().unwrap(), News::Started(4711));
    nursery.signal(key, 50);
    nursery.signal(key, 32); // the C library's own
    nursery.signal(key, 0);
    nursery.signal(new_key(WorkerId(7)), 9);
    nursery.signal(key, 9);
    assert_eq!(request(&socket), Request::Fork { key });
    assert_eq!(request(&socket), Request::Signal { key, signal: 50 });
    assert_eq!(request(&socket), Request::Signal { key, signal: 9 });
}

#[test]
#[cfg_attr(portable, ignore = "programs that know nothing of their pipe")]
fn workers_outlive_their_nursery_and_stay_in_reach() {
    let (elder, socket) = parent();
    let mut seen = lasting();
    let mut unseen = lasting();
    let heard: Vec<_> = (0..3)
        .map(|n| {
            let (key, (sink, news)) = (new_key(WorkerId(n)), ear());
            elder.fork(key, &[], sink).unwrap();
            (key, news)
        })
        .collect();
    let process = descriptor(seen.id() as i32);
    let births = [(&seen, vec![process.as_fd()]), (&unseen, vec![])];
    for ((key, _), (child, fds)) in heard.iter().zip(births) {
        let report = Report::Forked { key: *key, pid: child.id() as i32 };
        protocol::send_report(&socket, report, &fds).unwrap();
    }
    shutdown(&socket, Shutdown::Both).unwrap();
    let News::Unborn(told) = heard[2].1.recv().unwrap() else { panic!("an unborn worker lives") };
    assert_eq!(told, "the process that starts workers was killed");
    assert!(elder.is_gone());
    let (late, _news) = ear();
    assert!(elder.fork(new_key(WorkerId(3)), &[], late).is_err());

    let (middle, end) = parent();
    middle.succeed(Arc::clone(&elder));
    drop(end);
    let middle_is_there = Arc::downgrade(&middle);
    let (nursery, _other_end) = parent();
    nursery.succeed(middle);
    until(|| middle_is_there.upgrade().is_none());
    for ((key, news), child) in heard.iter().zip([&mut seen, &mut unseen]) {
        assert_eq!(news.recv().unwrap(), News::Started(child.id() as i32));
        nursery.kill(*key);
        assert_eq!(news.recv().unwrap(), News::Ended(Exit::Unknown, None));
        assert!(news.recv().is_err(), "nothing else was told");
        child.wait().unwrap();
    }
}

#[test]
fn a_nursery_whose_parent_has_gone_ends_without_complaint() {
    let (ours, theirs) = sockets();
    drop(ours);
    assert!(Server::start(theirs).unwrap().is_none());

    let (ours, theirs) = sockets();
    client::greet(&ours).unwrap();
    let mut server = Server::start(theirs).unwrap().unwrap();
    drop(ours);
    server.failed(1, 11).unwrap();
    #[expect(clippy::zombie_processes, reason = "the server waits for it")]
    let child = Command::new("true").spawn().unwrap();
    server.forked(order(1), child.id() as i32, &reap).unwrap();
    assert!(matches!(server.next_order(None, &reap).unwrap(), Next::Over));
    assert!(server.into_worker(order(1), |_, _| Ok(())).unwrap().is_none());
}

#[test]
fn a_new_worker_tells_that_it_lives_or_what_it_lacks() {
    let birth = |ready: fn(OwnedFd, Vec<OwnedFd>) -> io::Result<()>| {
        let (ours, theirs) = sockets();
        client::greet(&ours).unwrap();
        let server = Server::start(theirs).unwrap().unwrap();
        (server.into_worker(order(5), ready), protocol::recv_report(&ours).unwrap())
    };
    let (born, report) = birth(|_, _| Ok(()));
    let report = report.unwrap();
    assert!(born.unwrap().is_some());
    assert_eq!(report.message, Report::Forked { key: 5, pid: std::process::id() as i32 });
    assert_eq!(report.fds.len(), 1);

    let (born, report) = birth(|_, _| Err(io::Error::from_raw_os_error(11)));
    assert!(born.unwrap().is_none());
    assert_eq!(report.unwrap().message, Report::Failed { key: 5, errno: 11 });

    let (born, report) = birth(|_, _| Err(io::Error::other("nonsense")));
    assert_eq!(born.unwrap_err().to_string(), "nonsense");
    assert!(report.is_none());
}

#[test]
fn a_worker_that_asks_for_the_terminal_is_heard_by_the_parent() {
    let (ours, theirs) = sockets();
    client::greet(&ours).unwrap();
    let answer = |socket| assert_eq!(rustix::io::write(socket, b"y"), Ok(1));
    let _nursery = Nursery::over(ours, Some(Command::new("true").spawn().unwrap()), answer).unwrap();
    let mut server = Server::start(theirs).unwrap().unwrap();
    let (here, there) = sockets();
    server.upward.ask_terminal(there.as_fd()).unwrap();
    let soon = Some(std::time::Duration::from_millis(1));
    assert!(matches!(server.next_order(soon, &reap).unwrap(), Next::Idle));
    let mut word = [0];
    assert_eq!((rustix::io::read(&here, &mut word).unwrap(), word), (1, *b"y"));
}
