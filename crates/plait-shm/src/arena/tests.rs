//! The arena against a model: what is live is found as it was put, and everything comes back.

use super::*;
use crate::error::Malformed;
use proptest::prelude::*;

const RESERVE: usize = if cfg!(miri) { 1 << 20 } else { 1 << 24 };

/// Bytes of what is large: where it lay, a whole slab has room.
const MUCH: usize = if cfg!(miri) { 130_000 } else { 1_000_000 };

/// An arena that is not the first in its commons, and another process's view of it.
fn pair(reserve: usize) -> (Arena, ArenaView) {
    let commons = Commons::create(1 << 30).unwrap();
    commons.take_region(12_345).unwrap();
    let region = commons.take_region(reserve as u64).unwrap();
    let theirs = Commons::open(commons.fd().try_clone_to_owned().unwrap()).unwrap();
    let view = ArenaView::of(&theirs, region).unwrap();
    (Arena::in_region(&commons, region).unwrap(), view)
}

fn bytes(seed: u32, len: usize) -> Vec<u8> {
    let byte = |i: usize| (seed as usize * 31 + i * 7 + (i >> 8)) as u8;
    if cfg!(miri) {
        // Byte by byte would take minutes.
        let mut bytes = vec![byte(1); len];
        (0..len).step_by(251).for_each(|i| bytes[i] = byte(i));
        return bytes;
    }
    (0..len).map(byte).collect()
}

/// The memory that the file really has; nothing of one that is acted out.
fn resident(arena: &Arena) -> u64 {
    if cfg!(any(miri, acted)) {
        return 0;
    }
    rustix::fs::fstat(arena.commons.fd()).unwrap().st_blocks as u64 * 512
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
    Recall {
        which: usize,
    },
    Trim {
        keep: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![4 => 0..2000_usize, 2 => 2000..40_000_usize, 1 => 40_000..3 * MUCH];
    let step = prop_oneof![
        3 => (len.clone(), any::<usize>()).prop_map(|(len, cut)| Step::Put { len, cut }),
        2 => (len, 1..10_000_usize).prop_map(|(len, piece)| Step::Draft { len, piece }),
        4 => any::<usize>().prop_map(|which| Step::Release { which }),
        2 => any::<usize>().prop_map(|which| Step::Recall { which }),
        1 => (0..4_000_000_usize).prop_map(|keep| Step::Trim { keep }),
    ];
    proptest::collection::vec(step, 1..if cfg!(miri) { 20 } else { 120 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 96 }))]

    #[test]
    fn live_blocks_keep_their_bytes_and_everything_comes_back(steps in steps()) {
        let (mut arena, view) = pair(RESERVE);
        let mut live: Vec<(Block, u32)> = Vec::new();
        // Of each place and length what was put there last.
        let mut released: Vec<(Block, u32)> = Vec::new();
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
                    released.retain(|(known, _)| *known != block);
                    if block.len > SMALL_MAX && which % 3 == 0 {
                        prop_assert!(arena.recall(block), "nothing came between");
                        live.push((block, seed));
                    } else {
                        released.push((block, seed));
                    }
                }
                Step::Recall { which } if !released.is_empty() => {
                    let (block, seed) = released[which % released.len()];
                    if !live.iter().any(|(known, _)| *known == block) && arena.recall(block) {
                        prop_assert_eq!(arena.get(block).unwrap(), bytes(seed, block.len as usize));
                        live.push((block, seed));
                    }
                }
                Step::Release { .. } | Step::Recall { .. } => {}
                Step::Trim { keep } => {
                    arena.trim(keep);
                    let held = resident(&arena);
                    // What is left beyond live blocks is what was to be kept, and slabs that are partly live.
                    let slabs = live.len() as u64 * SLAB;
                    prop_assert!(cfg!(portable) || held <= arena.used() as u64 + slabs + keep as u64, "{} held", held);
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
        prop_assert!(cfg!(portable) || resident(&arena) == 0);
        prop_assert_eq!((arena.pages.free_runs().count(), arena.pages.end()), (0, 0));
        prop_assert!(arena.put(&[&vec![1; RESERVE]]).is_ok(), "all of it can be had in one piece again");
    }
}

#[test]
fn warm_pages_are_used_again() {
    let (mut arena, view) = pair(RESERVE);
    let block = arena.put(&[&bytes(1, MUCH)]).unwrap();
    let held = resident(&arena);
    assert!(arena.release(block));
    let again = arena.put(&[&bytes(2, MUCH)]).unwrap();
    assert_eq!((again, resident(&arena)), (block, held));
    assert_eq!(view.get(again).unwrap(), bytes(2, MUCH));
}

#[test]
#[cfg_attr(any(miri, acted, portable), ignore = "residency")]
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
    let tiny = arena.commons.take_region(1 << 15).unwrap();
    assert!(Arena::in_region(&arena.commons, tiny).is_err());
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

#[test]
fn a_view_refuses_what_is_not_in_its_region() {
    let (mut arena, view) = pair(RESERVE);
    let (base, len) = (arena.base, RESERVE as u64);
    let last = arena.put(&[&vec![3; RESERVE]]).unwrap();
    assert_eq!(last, Block { offset: base, len });
    assert_eq!(view.get(last).unwrap(), vec![3; RESERVE]);
    assert_eq!(view.get(Block { offset: base + len - 1, len: 1 }), Ok([3].as_slice()));
    for (offset, len) in
        [(base - 1, 1), (0, 1), (base + len, 1), (base, len + 1), (base + len - 1, 2), (u64::MAX, 2), (base, u64::MAX)]
    {
        let wrong = Block { offset, len };
        assert_eq!(view.get(wrong), Err(Malformed), "{wrong:?}");
        assert_eq!(arena.get(wrong), None);
        assert!(!arena.release(wrong) && !arena.recall(wrong), "{wrong:?}");
    }
}

#[test]
#[cfg_attr(any(miri, acted, portable), ignore = "residency")]
fn arenas_of_one_commons_do_not_meet() {
    let commons = Commons::create(1 << 30).unwrap();
    let [one, two] = [(); 2].map(|()| commons.take_region(1 << 16).unwrap());
    let [mut left, mut right] = [one, two].map(|region| Arena::in_region(&commons, region).unwrap());
    let [a, b] = [left.put(&[&[1; 1 << 16]]).unwrap(), right.put(&[&[2; 1 << 16]]).unwrap()];
    assert_eq!(left.get(a), Some([1; 1 << 16].as_slice()));
    assert!(left.get(b).is_none() && !left.release(b));
    assert!(right.release(b));
    right.trim(0);
    drop(right);
    commons.give_region(two);
    assert_eq!(ArenaView::of(&commons, one).unwrap().get(a), Ok([1; 1 << 16].as_slice()));
    assert_eq!(resident(&left), 1 << 16);
}

#[test]
fn a_released_block_is_recalled_until_its_pages_are_used() {
    let (mut arena, view) = pair(RESERVE);
    let data = bytes(1, MUCH);
    let _near = arena.put(&[&data]).unwrap();
    let block = arena.put(&[&data]).unwrap();
    let behind = arena.put(&[&data]).unwrap();
    assert!(!arena.recall(block), "it is live");
    for last in [false, true] {
        if last {
            assert!(arena.release(behind));
        }
        let used = arena.used();
        assert!(arena.release(block));
        assert!(
            !arena.recall(Block { len: block.len - 1, ..block })
                && !arena.recall(Block { offset: block.offset + 1, ..block })
        );
        assert_eq!(arena.get(block), None);
        assert!(arena.recall(block) && !arena.recall(block));
        assert_eq!((arena.used(), arena.get(block)), (used, Some(data.as_slice())));
        assert_eq!(view.get(block).unwrap(), data);
    }
    // Another block in a part of it, a small one, and its memory given back: each is the end of it.
    let takes: [fn(&mut Arena); 3] = [
        |arena| assert!(arena.put(&[&[7; 20_000]]).is_ok()),
        |arena| assert!(arena.put(&[&[7; 10]]).is_ok()),
        |arena| arena.trim(0),
    ];
    for take in takes.into_iter().take(if cfg!(portable) { 2 } else { 3 }) {
        let (mut arena, _view) = pair(RESERVE);
        let block = arena.put(&[&data]).unwrap();
        let other = arena.put(&[&data]).unwrap();
        assert!(arena.release(block));
        take(&mut arena);
        assert!(!arena.recall(block));
        assert!(arena.release(other) && arena.recall(other), "this one nobody touched");
    }
    let (mut arena, _view) = pair(RESERVE);
    let small = arena.put(&[&data[..16_384]]).unwrap();
    let never = arena.reserve(100_000).unwrap();
    assert!(arena.release(small) && arena.release(never));
    assert!(!arena.recall(small) && !arena.recall(never), "of small ones and of those without memory none is kept");
}

#[test]
#[cfg_attr(any(miri, acted, portable), ignore = "residency")]
fn what_is_provided_has_memory_and_what_is_cleared_is_zero() {
    for len in [1_000, 1_000_000, 20 << 20] {
        let (mut arena, _view) = pair(1 << 26);
        let before = arena.put(&[&[9; 100]]).unwrap();
        for _ in 0..2 {
            let block = arena.reserve(len).unwrap();
            arena.provide(block).unwrap();
            assert!(resident(&arena) >= len as u64);
            assert_eq!(arena.get(block).unwrap().len(), len);
            let shared = arena.commons.map(block, crate::Access::Shared).unwrap();
            // SAFETY: all of it lies inside, and nobody has borrowed it.
            unsafe { shared.as_ptr().write_bytes(7, len) };
            assert!(arena.get(block).unwrap().iter().all(|byte| *byte == 7));
            arena.clear(block).unwrap();
            assert!(arena.get(block).unwrap().iter().all(|byte| *byte == 0));
            assert_eq!(arena.get(before), Some([9; 100].as_slice()));
            // SAFETY: as above.
            unsafe { shared.as_ptr().write_bytes(8, len) };
            assert!(arena.release(block));
        }
        arena.release(before);
        arena.trim(0);
        assert_eq!(resident(&arena), 0);
    }
}
