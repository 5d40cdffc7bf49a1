//! The arena against a model: what is live is found as it was put, and everything comes back.

use super::*;
use crate::error::Malformed;
use proptest::prelude::*;

const RESERVE: usize = 1 << 24;

fn pair(reserve: usize) -> (Arena, ArenaView) {
    let arena = Arena::create("plait-test", reserve).unwrap();
    let view = ArenaView::open(arena.fd().try_clone_to_owned().unwrap(), reserve).unwrap();
    (arena, view)
}

fn bytes(seed: u32, len: usize) -> Vec<u8> {
    (0..len).map(|i| (seed as usize * 31 + i * 7 + (i >> 8)) as u8).collect()
}

/// The memory that the file really has.
fn resident(arena: &Arena) -> u64 {
    rustix::fs::fstat(arena.fd()).unwrap().st_blocks as u64 * 512
}

#[derive(Debug, Clone)]
enum Step {
    Put {
        len: usize,
        cut: usize,
    },
    /// Reserved, and written in pieces.
    Draft {
        len: usize,
        piece: usize,
    },
    Release {
        which: usize,
    },
    Trim {
        keep: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![4 => 0..2000_usize, 2 => 2000..40_000_usize, 1 => 40_000..3_000_000_usize];
    let step = prop_oneof![
        3 => (len.clone(), any::<usize>()).prop_map(|(len, cut)| Step::Put { len, cut }),
        2 => (len, 1..10_000_usize).prop_map(|(len, piece)| Step::Draft { len, piece }),
        4 => any::<usize>().prop_map(|which| Step::Release { which }),
        1 => (0..4_000_000_usize).prop_map(|keep| Step::Trim { keep }),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn live_blocks_keep_their_bytes_and_everything_comes_back(steps in steps()) {
        let (mut arena, view) = pair(RESERVE);
        let mut live: Vec<(Block, u32)> = Vec::new();
        for (seed, step) in (0_u32..).zip(steps) {
            match step {
                Step::Put { len, cut } => {
                    let data = bytes(seed, len);
                    let (a, b) = data.split_at(cut % (len + 1));
                    match arena.put(&[a, b]) {
                        Ok(block) => {
                            prop_assert_eq!(block.len as usize, len);
                            live.push((block, seed));
                        }
                        Err(ArenaError::Full { asked, limit }) => prop_assert_eq!((asked, limit), (len, RESERVE)),
                        Err(ArenaError::Io(error)) => return Err(TestCaseError::fail(error.to_string())),
                    }
                }
                Step::Draft { len, piece } => match arena.reserve(len) {
                    Ok(block) => {
                        let data = bytes(seed, len);
                        for (i, part) in data.chunks(piece.max(len / 50)).enumerate() {
                            let at = i * piece.max(len / 50);
                            arena.write_at(block, at as u64, part).unwrap();
                            let front = Block { len: (at + part.len()) as u64, ..block };
                            prop_assert_eq!(&view.get(front).unwrap()[at..], part);
                        }
                        live.push((block, seed));
                    }
                    Err(ArenaError::Full { asked, limit }) => prop_assert_eq!((asked, limit), (len, RESERVE)),
                    Err(ArenaError::Io(error)) => return Err(TestCaseError::fail(error.to_string())),
                },
                Step::Release { which } if !live.is_empty() => {
                    let (block, seed) = live.swap_remove(which % live.len());
                    prop_assert_eq!(view.get(block).unwrap(), bytes(seed, block.len as usize));
                    prop_assert_eq!(arena.get(block).unwrap(), view.get(block).unwrap());
                    // Some are given back by their front.
                    let front = Block { len: if which % 2 == 0 { block.len } else { block.len / 3 }, ..block };
                    prop_assert!(arena.release(front));
                    prop_assert_eq!(arena.get(block), None);
                    prop_assert!(!arena.release(block));
                }
                Step::Release { .. } => {}
                Step::Trim { keep } => {
                    arena.trim(keep);
                    let held = resident(&arena);
                    // What is left beyond live blocks is what was to be kept, and slabs that are partly live.
                    let slabs = live.len() as u64 * SLAB;
                    prop_assert!(held <= arena.used() as u64 + slabs + keep as u64, "{} held", held);
                }
            }
            let mut places: Vec<_> = live.iter().map(|(block, _)| (block.offset, block.offset + block.len.max(1))).collect();
            places.sort_unstable();
            prop_assert!(places.windows(2).all(|pair| pair[0].1 <= pair[1].0), "blocks overlap");
            prop_assert!(arena.used() as u64 >= live.iter().map(|(block, _)| block.len).sum());
        }
        for (block, seed) in live {
            prop_assert_eq!(view.get(block).unwrap(), bytes(seed, block.len as usize));
            prop_assert!(arena.release(block));
        }
        prop_assert_eq!(arena.used(), 0);
        arena.trim(0);
        prop_assert_eq!(resident(&arena), 0);
        prop_assert_eq!((arena.pages.free_runs().count(), arena.pages.end()), (0, 0));
        prop_assert!(arena.put(&[&vec![1; RESERVE]]).is_ok(), "all of it can be had in one piece again");
    }
}

#[test]
fn warm_pages_are_used_again() {
    let (mut arena, view) = pair(RESERVE);
    let block = arena.put(&[&bytes(1, 1_000_000)]).unwrap();
    let held = resident(&arena);
    assert!(arena.release(block));
    let again = arena.put(&[&bytes(2, 1_000_000)]).unwrap();
    assert_eq!((again, resident(&arena)), (block, held));
    assert_eq!(view.get(again).unwrap(), bytes(2, 1_000_000));
}

#[test]
fn a_draft_takes_memory_as_it_is_written() {
    for len in [1_000, 1_000_000] {
        let (mut arena, view) = pair(RESERVE);
        let draft = arena.reserve(len).unwrap();
        assert_eq!((resident(&arena), arena.get(draft)), (0, None));
        arena.write_at(draft, 0, b"one, ").unwrap();
        arena.write_at(draft, 5, b"two").unwrap();
        let front = Block { len: 8, ..draft };
        assert_eq!(view.get(front), Ok(b"one, two".as_slice()));
        assert_eq!(arena.get(front), Some(b"one, two".as_slice()));
        assert_eq!(resident(&arena), arena.page);
        assert!(arena.release(front), "the front stands for the whole");
        assert_eq!(arena.used(), 0);
        assert!(!arena.release(draft) && arena.get(front).is_none());
    }
}

#[test]
#[should_panic(expected = "not inside of the live")]
fn nothing_is_written_behind_a_block() {
    let (mut arena, _view) = pair(RESERVE);
    let block = arena.reserve(100).unwrap();
    let _ = arena.write_at(block, 99, b"two");
}

#[test]
#[should_panic(expected = "not inside of the live")]
fn nothing_is_written_into_what_was_released() {
    let (mut arena, _view) = pair(RESERVE);
    let block = arena.reserve(100_000).unwrap();
    arena.write_at(block, 0, b"in time").unwrap();
    arena.release(block);
    let _ = arena.write_at(block, 0, b"late");
}

#[test]
fn a_full_arena_says_how_much_was_asked() {
    let (mut arena, _view) = pair(1 << 16);
    let all = arena.put(&[&[7; 1 << 16]]).unwrap();
    let refused = arena.put(&[b"more"]).unwrap_err();
    assert!(matches!(refused, ArenaError::Full { asked: 4, limit: 65536 }));
    assert_eq!(refused.to_string(), "no room for 4 bytes in the arena of 65536, release blocks or reserve more");
    assert!(arena.release(all));
    assert!(arena.put(&[b"more"]).is_ok());
    assert!(Arena::create("plait-test", 1000).is_err());
}

#[test]
fn a_small_block_is_had_where_no_slab_fits() {
    let (mut arena, view) = pair(1 << 16);
    let most = arena.put(&[&vec![7; 60_000]]).unwrap();
    let small = arena.put(&[b"small"]).unwrap();
    assert_eq!(view.get(small), Ok(b"small".as_slice()));
    assert!(arena.release(small) && arena.release(most));
    assert_eq!(arena.used(), 0);
}

/// With the descriptor as without it.
#[test]
fn a_view_follows_the_file_and_refuses_what_is_not_in_it() {
    let telling: [fn(&Mapping) -> bool; 2] = [Mapping::can_populate, |_| false];
    for telling in telling {
        let mut arena = Arena::create("plait-test", RESERVE).unwrap();
        let view = ArenaView::new(arena.fd().try_clone_to_owned().unwrap(), RESERVE, telling).unwrap();
        let near = Block { offset: 0, len: 1 };
        assert_eq!(view.get(near), Err(Malformed));
        arena.put(&[b"x"]).unwrap();
        assert_eq!(view.get(near), Ok(b"x".as_slice()));
        let far = arena.put(&[&vec![3; 5_000_000]]).unwrap();
        assert_eq!(view.get(far).unwrap(), vec![3; 5_000_000]);
        for (offset, len) in
            [(u64::MAX, 2), (0, u64::MAX), (RESERVE as u64, 1), (arena.file_len - 1, 2), (RESERVE as u64 - 1, 1)]
        {
            assert_eq!(view.get(Block { offset, len }), Err(Malformed), "{offset} {len}");
        }
        assert_eq!(view.get(Block { offset: RESERVE as u64, len: 0 }), Err(Malformed));
    }
}

#[test]
fn a_view_keeps_no_descriptor_where_it_needs_none() {
    let name = format!("plait-view-{}", std::process::id());
    let descriptors = || {
        let links =
            std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
        links.filter(|link| link.to_string_lossy().contains(&name)).count()
    };
    let file = Arena::create(&name, RESERVE).unwrap().into_fd();
    let view = ArenaView::open(file.try_clone().unwrap(), RESERVE).unwrap();
    assert_eq!(descriptors(), if view.keeps_file() { 2 } else { 1 });
    let block = Arena::adopt(file, RESERVE).unwrap().put(&[b"left behind"]).unwrap();
    assert_eq!(view.get(block), Ok(b"left behind".as_slice()));
    drop(view);
    assert_eq!(descriptors(), 0);
}

#[test]
fn files_that_can_shrink_are_no_arenas() {
    let file = memfd("plait-test", 1 << 20).unwrap();
    assert!(ArenaView::open(file.try_clone().unwrap(), 1 << 20).is_err());
    assert!(Arena::adopt(file, 1 << 20).is_err());
}

#[test]
fn an_arena_can_be_made_for_another_process() {
    let made = Arena::create("plait-test", RESERVE).unwrap();
    let mut owner = Arena::adopt(made.fd().try_clone_to_owned().unwrap(), RESERVE).unwrap();
    let view = ArenaView::open(made.fd().try_clone_to_owned().unwrap(), RESERVE).unwrap();
    let block = owner.put(&[b"theirs"]).unwrap();
    assert_eq!(view.get(block), Ok(b"theirs".as_slice()));
}
