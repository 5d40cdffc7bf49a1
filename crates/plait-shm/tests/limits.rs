//! The commons under a limit on file sizes (`ulimit -f`): shorter ones, or an error that can be handled. In processes of their own.

// Neither the models nor Miri have such limits.
#![cfg(not(any(loom, miri)))]

use std::process::{Command, ExitStatus};

use plait_shm::{Arena, ArenaError, ArenaView, Commons};
use rustix::process::{Resource, Rlimit, setrlimit};

const ENV: &str = "PLAIT_LIMITS_CHILD";
const EFBIG: i32 = 27;
const MIB: u64 = 1 << 20;

fn is_child() -> bool {
    std::env::var(ENV).is_ok()
}

/// Runs one of the children below in a shell that has done `before`.
fn limited(before: &str, child: &str) -> ExitStatus {
    Command::new("sh")
        .args(["-c", &format!(r#"{before}; exec "$0" "$1" --exact --ignored --nocapture"#)])
        .args([std::env::current_exe().unwrap().as_os_str(), child.as_ref()])
        .env(ENV, "1")
        .status()
        .unwrap()
}

#[test]
#[ignore = "a limited side of the tests below, which start it"]
fn short() {
    if !is_child() {
        return;
    }
    let commons = Commons::create(1 << 40).unwrap();
    assert_eq!(commons.len(), 4 * MIB + MIB / 2);
    assert_eq!(commons.take_region(5 * MIB), None);
    let mut arena = Arena::in_region(&commons, commons.take_region(4 * MIB).unwrap()).unwrap();
    let all = arena.put(&[&vec![1; 4 << 20]]).unwrap();
    assert!(matches!(arena.put(&[b"more"]), Err(ArenaError::Full { .. })));
    assert!(arena.get(all).unwrap().iter().all(|byte| *byte == 1));
}

#[test]
fn a_limit_makes_the_commons_shorter() {
    // In blocks of 512 bytes: 4.5 MiB. The signal that goes with the error would end the child.
    assert!(limited("ulimit -f 9216", "short").success());
}

#[test]
#[ignore = "as above"]
fn none() {
    if is_child() {
        assert_eq!(Commons::create(1 << 40).err().unwrap().raw_os_error(), Some(EFBIG));
    }
}

#[test]
fn less_than_the_least_is_an_error() {
    assert!(limited("ulimit -f 2047", "none").success());
}

#[test]
#[ignore = "as above"]
fn later() {
    if !is_child() {
        return;
    }
    let commons = Commons::create(1 << 30).unwrap();
    let region = commons.take_region(1 << 30).unwrap();
    let mut arena = Arena::in_region(&commons, region).unwrap();
    let view = ArenaView::of(&commons, region).unwrap();
    let limit = Some(4 * MIB + MIB / 2);
    setrlimit(Resource::Fsize, Rlimit { current: limit, maximum: limit }).unwrap();
    let first = arena.put(&[&vec![1; 4 << 20]]).unwrap();
    let second = arena.put(&[&vec![2; 200_000]]).unwrap();
    let used = arena.used();
    match arena.put(&[&vec![3; 1 << 20]]) {
        Err(ArenaError::Io(error)) => assert_eq!(error.raw_os_error(), Some(EFBIG)),
        other => panic!("{other:?}"),
    }
    assert_eq!(arena.used(), used, "nothing of the refused block is kept");
    assert!(view.get(first).unwrap().iter().all(|byte| *byte == 1));
    assert!(view.get(second).unwrap().iter().all(|byte| *byte == 2));
    assert_eq!(view.get(arena.put(&[b"small"]).unwrap()), Ok(b"small".as_slice()));
    let draft = arena.reserve(1 << 20).unwrap();
    assert!(matches!(arena.write_at(draft, (1 << 20) - 5, b"piece"), Err(ArenaError::Io(_))));
    assert!(arena.release(draft) && !arena.recall(draft));
    assert!(arena.release(first));
    let draft = arena.reserve(1 << 20).unwrap();
    arena.write_at(draft, 1000, b"piece").unwrap();
    assert_eq!(view.get(draft).unwrap()[1000..1005], *b"piece");
    assert!(arena.release(draft));
    let third = arena.put(&[&vec![3; 1 << 20]]).unwrap();
    assert!(view.get(third).unwrap().iter().all(|byte| *byte == 3));
}

#[test]
#[cfg_attr(portable, ignore = "memory is no file's there")]
fn a_limit_that_comes_later_is_an_error() {
    // Python ignores the signal, and so does this child.
    assert!(limited(r#"trap "" XFSZ"#, "later").success());
}
