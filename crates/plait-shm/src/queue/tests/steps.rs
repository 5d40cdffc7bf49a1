use super::*;

#[test]
fn messages_of_all_lengths_come_in_order() {
    let queue = queue(0, 0);
    let other = theirs(&queue);
    let lens = [0, 1, 11, 12, 13, 4096, 16 << 10, (16 << 10) + 1, 65_536, 65_537, 1 << 20];
    for (number, len) in lens.iter().enumerate() {
        put(&queue, &message(number, *len));
    }
    assert_eq!(queue.len(), lens.len());
    for (number, len) in lens.iter().enumerate() {
        assert_eq!(next(&other), Some(message(number, *len)), "{len} bytes");
    }
    assert!(queue.is_empty() && next(&queue).is_none());
    assert_eq!(queue.pages_used(), 0);
}

#[test]
#[cfg_attr(any(miri, acted, portable), ignore = "residency")]
fn it_goes_round_its_ring_and_gives_memory_back() {
    let queue = queue(0, 0);
    let resident = || rustix::fs::fstat(queue.memory().fd()).unwrap().st_blocks as u64 * 512;
    let text = message(3, 9_000);
    let mut most = 0;
    // A ring and a half of 1 GiB, three messages at a time.
    for round in 0..60_000 {
        for _ in 0..3 {
            put(&queue, &text);
        }
        for _ in 0..3 {
            let mut bytes = Vec::new();
            assert!(matches!(queue.take(&mut bytes).unwrap(), Taken::Message { .. }));
            assert!(bytes == text, "round {round}");
        }
        if round % 1000 == 0 {
            most = most.max(resident());
        }
    }
    assert!(most < 16 << 20, "{most} bytes");
}

#[test]
fn items_bound_it_exactly() {
    let queue = queue(3, 0);
    assert_eq!(queue.bounds(), Bounds { items: 3, ..Bounds::default() });
    for round in 0..if cfg!(miri) { 2 } else { 100 } {
        for len in [1, 100_000, 16_000] {
            assert!(!queue.is_full().unwrap());
            put(&queue, &message(round, len));
        }
        assert!(queue.is_full().unwrap());
        assert_eq!(queue.offer(7, b"more").unwrap(), Offer::Full);
        assert_eq!(queue.len(), 3);
        assert_eq!(next(&queue), Some(message(round, 1)));
        put(&queue, b"again");
        assert_eq!([0; 3].map(|_| next(&queue).unwrap().len()), [100_000, 16_000, 5]);
    }
}

/// However long the others are: what does not fit beside them becomes a parcel.
#[test]
#[cfg_attr(any(miri, acted), ignore = "room")]
fn as_many_items_fit_as_were_asked_for() {
    let queue = queue(4096, 0);
    for number in 0..4096 {
        put(&queue, &message(number, 16 << 10));
    }
    assert_eq!(queue.offer(7, b"").unwrap(), Offer::Full);
    for number in 0..4096 {
        assert!(next(&queue) == Some(message(number, 16 << 10)), "{number}");
    }
    assert_eq!(queue.pages_used(), 0);
}

#[test]
fn bytes_bound_it_and_the_longest_goes_alone() {
    let queue = queue(0, 1000);
    put(&queue, &[0; 600]);
    assert_eq!(queue.offer(7, &[0; 401]).unwrap(), Offer::Full);
    put(&queue, &[0; 400]);
    assert!(queue.is_full().unwrap());
    assert_eq!((queue.weight().unwrap(), queue.offer(7, &[0]).unwrap()), (1000, Offer::Full));
    assert!(next(&queue).is_some() && next(&queue).is_some());
    put(&queue, &[0; 50_000]);
    assert_eq!((queue.weight().unwrap(), queue.offer(7, b"").unwrap()), (50_000, Offer::Full));
    assert_eq!(next(&queue).map(|bytes| bytes.len()), Some(50_000));
    assert_eq!(queue.weight().unwrap(), 0);
}

#[test]
fn what_is_done_is_counted() {
    let queue = queue(0, 0);
    assert!(!queue.done().unwrap());
    put(&queue, b"1");
    put(&queue, b"2");
    assert_eq!(queue.open().unwrap(), 2);
    // Whoever took it may have another say so, or nobody may have taken it.
    let other = theirs(&queue);
    assert!(next(&other).is_some() && queue.done().unwrap() && queue.done().unwrap());
    assert!(!queue.done().unwrap());
    drop(other);
    assert_eq!((queue.open().unwrap(), queue.lost().unwrap()), (0, 0));
}

#[test]
fn who_is_shut_lets_the_last_ones_out() {
    let queue = queue(0, 0);
    put(&queue, b"1");
    queue.close(false).unwrap();
    assert_eq!(queue.offer(7, b"2").unwrap(), Offer::Closed);
    assert_eq!(queue.offer(7, &[0; 100_000]).unwrap(), Offer::Closed);
    assert!(queue.is_closed().unwrap());
    assert_eq!(next(&queue), Some(b"1".to_vec()));
    assert!(matches!(queue.take(&mut Vec::new()).unwrap(), Taken::Closed));
    assert_eq!(queue.pages_used(), 0);
}

#[test]
fn what_is_dropped_is_done() {
    let queue = queue(0, 100_000_000);
    for len in [1, 100_000, 7] {
        put(&queue, &message(0, len));
    }
    assert!(next(&queue).is_some());
    queue.close(true).unwrap();
    assert!(matches!(queue.take(&mut Vec::new()).unwrap(), Taken::Closed));
    assert_eq!((queue.len(), queue.weight().unwrap(), queue.pages_used()), (0, 0, 0));
    assert_eq!(queue.open().unwrap(), 1, "the one that was taken");
    assert!(queue.done().unwrap() && !queue.done().unwrap());
}

#[test]
fn a_parcel_is_freed_once_and_stays_as_it_is() {
    let queue = queue(0, 0);
    let parcel = queue.pack(7, 70_000, [message(1, 70_000).as_slice()].into_iter()).unwrap();
    assert_eq!(queue.pages_used(), 2);
    drop(parcel);
    assert_eq!(queue.pages_used(), 0);
    put(&queue, &message(1, 70_000));
    let Taken::Message { parcel: Some(first), .. } = queue.take(&mut Vec::new()).unwrap() else { panic!() };
    for number in 2..if cfg!(miri) { 4 } else { 50 } {
        put(&queue, &message(number, 70_000));
        assert_eq!(next(&queue), Some(message(number, 70_000)));
    }
    assert_eq!(content(&first), message(1, 70_000));
    assert!(queue.pack(7, 1, [&[0; 2][..]].into_iter()).is_err());
    drop(first);
    assert_eq!(queue.pages_used(), 0);
}

#[test]
fn others_are_not_queues() {
    let queue = queue(0, 0);
    let lock = crate::Lock::create(queue.memory()).unwrap().unwrap();
    for name in [lock.name(), crate::Name(queue.name().0 + 1), crate::Name(u64::MAX)] {
        assert!(Queue::at(queue.memory(), name).unwrap().is_none());
    }
}

#[test]
#[cfg_attr(any(miri, acted, portable), ignore = "residency")]
fn its_memory_goes_with_the_last_that_has_it() {
    let memory = LockMemory::create(2048).unwrap();
    let resident = || rustix::fs::fstat(memory.fd()).unwrap().st_blocks as u64 * 512;
    let first = Queue::create(&memory, Bounds::default()).unwrap().unwrap();
    put(&first, &message(1, 9 << 20));
    let before = resident();
    drop(first);
    assert!(resident() + (8 << 20) < before, "nobody can have it any more");
    let second = Queue::create(&memory, Bounds::default()).unwrap().unwrap();
    assert!(second.is_empty());
    put(&second, &message(2, 9 << 20));
    let name = second.name();
    drop(second);
    let third = Queue::at(&memory, name).unwrap().expect("it was on its way");
    assert_eq!(next(&third), Some(message(2, 9 << 20)));
    let before = resident();
    drop(third);
    assert!(resident() + (8 << 20) < before, "it is empty, and as good as new");
    assert!(Queue::at(&memory, name).unwrap().is_some());
}
