//! Live Pythons, looked at: every supported interpreter found on this machine.

use std::collections::HashSet;
use std::process::Command;
use std::time::{Duration, Instant};

use super::*;
use crate::scripts::{Interpreter as Installed, Script, supported};

mod fake;
mod programs;
mod sub_interpreters;

/// Machines are busy: what is to come is waited for this long.
const PATIENCE: Duration = Duration::from_secs(60);

fn attach(pid: Pid) -> Subject {
    Subject::attach(pid, &mut Finder::default()).unwrap_or_else(|reason| panic!("{reason}"))
}

/// Asks again and again.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn main_gil(subject: &Subject) -> Gil {
    subject.gils().last().expect("it has a GIL").gil
}

/// The looks at the main interpreter's GIL.
fn looks(subject: &Subject) -> impl Iterator<Item = GilLook> {
    let gil = main_gil(subject);
    std::iter::repeat_with(move || {
        std::thread::sleep(Duration::from_micros(500));
        subject.look(gil).unwrap_or_else(|reason| panic!("{reason}"))
    })
}

/// Runs `source` on every Python found.
fn on_all(source: &str, check: impl Fn(&Installed, &mut Script)) {
    for installed in supported() {
        println!("{:?} {}", installed.version, installed.path.display());
        check(installed, &mut Script::start(installed, source));
    }
}

#[test]
fn who_sleeps_with_the_gil_in_hand_is_told_and_stays_in_one_spot() {
    let source = "
usleep = ctypes.PyDLL(None).usleep
def hold():
    say(threading.get_native_id())
    while True:
        usleep(400_000)
say('ready'); start(1, hold); wait()";
    on_all(source, |_, script| {
        let [tid] = script.numbers::<Pid>()[..] else { panic!("one number") };
        let subject = attach(script.pid());
        assert!(!subject.is_free_threaded());
        let (mut spot, mut since, mut count) = (None, Instant::now(), 0);
        let begun = Instant::now();
        for look in looks(&subject) {
            assert!(begun.elapsed() < PATIENCE, "never in one spot for long");
            if !look.held || look.holder != Some(tid) || look.spot.is_none() || look.spot != spot {
                (spot, since, count) = (look.spot, Instant::now(), 0);
            }
            count += 1;
            assert!(!look.collecting);
            if since.elapsed() > Duration::from_millis(150) && count > 20 {
                break;
            }
        }
    });
}

#[test]
fn who_runs_bytecode_is_told_and_moves() {
    on_all("gc = __import__('gc'); gc.disable(); say('ready'); say(threading.get_native_id()); loop()", |_, script| {
        let [tid] = script.numbers::<Pid>()[..] else { panic!("one number") };
        let subject = attach(script.pid());
        // It may still be about to return from what it said.
        let seen: Vec<GilLook> = looks(&subject).skip_while(|look| !look.held).take(400).collect();
        let spots: HashSet<(u64, u64)> =
            seen.iter().filter_map(|look| look.spot).map(|spot| (spot.frame, spot.instruction)).collect();
        let frames: HashSet<u64> = spots.iter().map(|spot| spot.0).collect();
        assert_eq!(frames.len(), 1, "{spots:x?}");
        assert!(spots.len() >= 2, "{spots:x?}");
        let moved = seen.windows(2).filter(|pair| pair[0].spot != pair[1].spot).count();
        assert!(moved > 20, "{moved} of 400");
        assert!(seen.iter().all(|look| look.held && look.holder == Some(tid) && look.state != 0 && !look.collecting));
        let last = seen.last().expect("400");
        assert!(subject.threads().iter().any(|thread| (thread.state, thread.tid) == (last.state, tid)));
    });
}

#[test]
fn calls_that_change_the_frame_at_every_moment_are_followed() {
    let source = "
def inner(n):
    return n
def outer(n):
    for _ in range(100):
        n = inner(n)
    return n
say('ready')
while True:
    outer(1)";
    on_all(source, |_, script| {
        let subject = attach(script.pid());
        let seen: Vec<GilLook> = looks(&subject).take(400).collect();
        let frames: HashSet<u64> = seen.iter().filter_map(|look| look.spot).map(|spot| spot.frame).collect();
        assert!((2..50).contains(&frames.len()), "{frames:x?}");
        let told = seen.iter().filter(|look| look.spot.is_some()).count();
        assert!(told > 360, "{told} of 400");
    });
}

#[test]
fn garbage_collection_is_told() {
    let source = "
import gc
heap = [[n] for n in range(1_000_000)]
say('ready')
while True:
    gc.collect(); time.sleep(0.02)";
    on_all(source, |_, script| {
        let subject = attach(script.pid());
        let mut looks = looks(&subject);
        until("a collection", || looks.next().filter(|look| look.collecting && look.held));
        until("its end", || looks.next().filter(|look| !look.collecting));
        assert_eq!(looks.find(|look| look.collecting && look.held).and_then(|look| look.holder), Some(script.pid()));
    });
}

#[test]
fn automatic_collection_is_told_too() {
    let source = "
import gc
gc.set_threshold(1000, 2, 2)
heap = [[n] for n in range(500_000)]
say('ready')
while True:
    more = [[n] for n in range(20_000)]";
    on_all(source, |_, script| {
        let subject = attach(script.pid());
        let mut looks = looks(&subject);
        until("a collection", || looks.next().filter(|look| look.collecting && look.held));
        until("its end", || looks.next().filter(|look| !look.collecting && look.held));
    });
}

#[test]
fn threads_are_listed_with_their_numbers_as_long_as_they_live() {
    let source = "
end = threading.Event()
def work():
    say(threading.get_native_id()); end.wait()
say('ready')
for _ in range(4):
    thread = threading.Thread(target=work); thread.start()
wait(); end.set()
while threading.active_count() > 1: time.sleep(0.01)
say('ended'); wait()";
    on_all(source, |_, script| {
        let mut tids: Vec<Pid> = (0..4).map(|_| script.numbers::<Pid>()[0]).collect();
        tids.push(script.pid());
        tids.sort_unstable();
        let mut subject = attach(script.pid());
        let listed = |subject: &Subject| {
            let mut listed: Vec<Pid> = subject.threads().iter().map(|thread| thread.tid).collect();
            listed.sort_unstable();
            listed
        };
        assert_eq!(listed(&subject), tids);
        let gil = main_gil(&subject);
        assert!(subject.threads().iter().all(|thread| thread.interpreter == 0 && thread.gil == Some(gil)));
        assert_eq!(subject.attached(), Ok(vec![]), "it has a GIL");
        script.go_on();
        assert_eq!(script.line(), "ended");
        until("the threads are gone", || {
            subject.refresh().expect("it lives");
            (listed(&subject) == [script.pid()]).then_some(())
        });
    });
}

#[test]
fn the_switch_interval_is_read() {
    on_all(
        "sys.setswitchinterval(0.0123); say('ready'); wait(); sys.setswitchinterval(2); say('set'); wait()",
        |_, script| {
            let mut subject = attach(script.pid());
            let [GilInfo { interval, interpreters, .. }] = subject.gils() else { panic!("one GIL") };
            assert!(interval.abs_diff(Duration::from_micros(12_300)) <= Duration::from_micros(1), "{interval:?}");
            assert_eq!(interpreters[..], [0]);
            script.go_on();
            assert_eq!(script.line(), "set");
            subject.refresh().expect("it lives");
            assert_eq!(subject.gils()[0].interval, Duration::from_secs(2));
        },
    );
}

#[test]
fn threads_that_come_and_go_all_the_time_are_no_trouble() {
    let source = "
def burst():
    while True:
        threads = [threading.Thread(target=time.sleep, args=(0.001,)) for _ in range(20)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
say('ready'); burst()";
    on_all(source, |_, script| {
        let mut subject = attach(script.pid());
        let (mut most, mut told) = (0, 0);
        for _ in 0..300 {
            subject.refresh().unwrap_or_else(|reason| panic!("{reason}"));
            most = most.max(subject.threads().len());
            for look in looks(&subject).take(3).filter(|look| look.held) {
                told += usize::from(look.holder.is_some());
            }
        }
        assert!(most > 2, "{most}");
        assert!(told > 20, "{told}");
    });
}

#[test]
fn threads_in_a_container_have_the_observers_numbers() {
    let unshare = ["--pid", "--fork", "--kill-child", "--"];
    let may = Command::new("unshare").args(unshare).arg("true").status().is_ok_and(|status| status.success());
    if !may {
        println!("no namespace can be made here");
        return;
    }
    for installed in supported() {
        let source = "import os, threading, time\n\
                      def loop():\n  print(os.getpid(), threading.get_native_id(), flush=True)\n  while True: pass\n\
                      print('ready', flush=True); threading.Thread(target=loop, daemon=True).start(); time.sleep(3600)";
        let mut command = Command::new("unshare");
        let mut script = Script::spawn(command.args(unshare).arg(&installed.path).args(["-I", "-c", source]));
        let [pid, inner] = script.numbers::<Pid>()[..] else { panic!("two numbers") };
        assert_eq!(pid, 1);
        let [_, outer] = crate::tree(script.pid())[..] else { panic!("one child") };
        let subject = attach(outer);
        let tid = crate::tree::threads(outer).into_iter().find(|&tid| tid != outer).expect("it has two threads");
        assert_ne!(tid, inner);
        assert!(subject.threads().iter().any(|thread| thread.tid == tid));
        until("it runs", || {
            let look = subject.look(main_gil(&subject)).expect("it lives");
            (look.held && look.holder == Some(tid)).then_some(())
        });
    }
}
