//! An arena under a limit on file sizes (`ulimit -f`): an error that can be handled, in a process of its own.

// The models have no files.
#![cfg(not(loom))]

use std::process::Command;

use plait_shm::{Arena, ArenaError, ArenaView};

const ENV: &str = "PLAIT_LIMITS_CHILD";
const EFBIG: i32 = 27;

#[test]
#[ignore = "the limited side of the test below, which starts it"]
fn child() {
    if std::env::var(ENV).is_err() {
        return;
    }
    let mut arena = Arena::create("plait-test", 1 << 30).unwrap();
    let view = ArenaView::open(arena.fd().try_clone_to_owned().unwrap(), 1 << 30).unwrap();
    let first = arena.put(&[&vec![1; 4 << 20]]).unwrap();
    // Growing by an ample step is over the limit, by what is needed is not.
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
    assert!(matches!(arena.reserve(1 << 20), Err(ArenaError::Io(_))));
    assert!(arena.release(first));
    let draft = arena.reserve(1 << 20).unwrap();
    arena.write_at(draft, 1000, b"piece").unwrap();
    assert_eq!(view.get(draft).unwrap()[1000..1005], *b"piece");
    assert!(arena.release(draft));
    let third = arena.put(&[&vec![3; 1 << 20]]).unwrap();
    assert!(view.get(third).unwrap().iter().all(|byte| *byte == 3));
}

#[test]
fn a_limit_on_file_sizes_is_an_error() {
    // In blocks of 512 bytes: 4.5 MiB. Python ignores SIGXFSZ, and so does this child.
    let status = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 9216; exec "$0" child --exact --ignored --nocapture"#])
        .arg(std::env::current_exe().unwrap())
        .env(ENV, "1")
        .status()
        .unwrap();
    assert!(status.success());
}
