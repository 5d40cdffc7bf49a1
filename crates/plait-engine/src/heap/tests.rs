//! Blocks, and who holds them, in one process.

use super::*;

fn bytes(mapped: &Mapped) -> usize {
    mapped.len()
}

#[test]
fn a_block_is_freed_with_its_last_hold() {
    let heap = Heap::new().unwrap();
    let hold = heap.put(&[&vec![7; 3 * STEP], &[7; 5]], None).unwrap();
    let other = Arc::clone(&hold);
    let offset = hold.block().offset;
    assert_eq!(heap.arena().get(hold.block()).unwrap(), vec![7; 3 * STEP + 5]);
    drop(hold);
    assert!(heap.used() > 3 * STEP && heap.find(offset).is_some());
    drop(other);
    assert!(heap.used() == 0 && heap.find(offset).is_none());
}

#[test]
fn zeros_are_zeros_where_something_else_was() {
    let heap = Heap::new().unwrap();
    drop(heap.put(&[&[255; 200_000]], None).unwrap());
    let hold = heap.zeros(200_000, None).unwrap();
    assert_eq!(heap.arena().get(hold.block()).unwrap(), [0; 200_000]);
}

#[test]
fn a_piece_is_mapped_in_part_or_whole() {
    let heap = Heap::new().unwrap();
    let piece = Piece::snapshot(heap.put(&[&[1; 100_000]], None).unwrap());
    assert_eq!(bytes(&piece.map().unwrap()), 100_000);
    let at = Block { offset: piece.at.offset + 5000, len: 17 };
    let part = Piece::of(Arc::clone(&piece.hold), at, true);
    assert_eq!((bytes(&part.map().unwrap()), part.access), (17, Access::Shared));
}

#[test]
fn what_was_lent_twice_is_given_back_twice() {
    let heap = Heap::new().unwrap();
    let hold = heap.put(&[&[1; 100]], None).unwrap();
    let block = hold.block();
    let piece = Piece::snapshot(hold);
    heap.lend(&[piece.clone(), piece]);
    heap.take_back(block);
    assert!(heap.used() > 0);
    heap.take_back(block);
    assert_eq!(heap.used(), 0);
    // More often than that is the other side's mistake, and harms nobody.
    heap.take_back(block);
}

#[test]
fn one_that_is_told_of_again_is_the_same_hold() {
    let heap = Heap::new().unwrap();
    let hold = heap.put(&[&[1; 100]], None).unwrap();
    let (same, new) = heap.find_or_learn(hold.block(), || unreachable!("it is known"));
    assert!(!new && Arc::ptr_eq(&hold, &same));
}

#[test]
fn the_same_bytes_are_not_copied_again() {
    let heap = Heap::new().unwrap();
    let mut bytes = vec![7; 2 * STEP + 100];
    let (first, new) = heap.put_again(&bytes, None).unwrap();
    let (second, again) = heap.put_again(&bytes, None).unwrap();
    assert!(new && !again && Arc::ptr_eq(&first, &second));
    drop(second);
    let block = first.block();
    drop(first);
    let (again, new) = heap.put_again(&bytes, None).unwrap();
    assert!(!new);
    assert_eq!((again.block(), heap.arena().get(block).unwrap()), (block, &bytes[..]));
    // Changed, while the old ones are in use and when they are not.
    bytes[2 * STEP + 99] = 8;
    let (changed, new) = heap.put_again(&bytes, None).unwrap();
    assert!(new);
    assert_ne!(changed.block(), block);
    assert_eq!(heap.arena().get(block).unwrap()[2 * STEP + 99], 7);
    drop((again, changed));
    bytes[0] = 9;
    let (changed, _) = heap.put_again(&bytes, None).unwrap();
    assert_eq!(heap.arena().get(changed.block()).unwrap(), bytes);
    drop(changed);
    assert_eq!(heap.used(), 0);
}

#[test]
fn what_others_may_write_to_is_not_taken_for_a_copy() {
    let heap = Heap::new().unwrap();
    let bytes = vec![0; 100_000];
    drop(heap.put_again(&bytes, None).unwrap());
    let shared = heap.zeros(bytes.len(), None).unwrap();
    assert_ne!(heap.put_again(&bytes, None).unwrap().0.block(), shared.block());
}
