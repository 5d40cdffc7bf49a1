//! What each operation costs when nobody else is at the same memory: `cargo bench -p plait-shm`.
//!
//! Prints the median and the range over rounds, in nanoseconds of wall time per operation, and the cost of the clock itself.
//! Both ends run in this one thread, so the figures are of instructions and fences, not of cache lines that travel.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use plait_shm::{Access, Arena, Commons, INLINE, Lock, LockMemory, PoolMemory, RLock, Region, Semaphore, WorkerMemory};
use plait_trace::{TaskId, WorkerId};

const ROUNDS: usize = 31;

fn measure(name: &str, operations: u32, mut run: impl FnMut(u32)) {
    let mut rounds: Vec<f64> = (0..ROUNDS + 3)
        .map(|_| {
            let start = Instant::now();
            run(operations);
            start.elapsed().as_nanos() as f64 / f64::from(operations)
        })
        .skip(3)
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name:<52} {:>12.1}   {:.1}–{:.1}", rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1]);
}

fn main() {
    println!("{:<52} {:>12}   range", "operation", "ns (median)");
    measure("clock", 1000, |n| {
        for _ in 0..n {
            black_box(Instant::now());
        }
    });

    let (parent, mut producer) = PoolMemory::create(1024).unwrap();
    let (worker, mut consumer) = PoolMemory::open(parent.fd().try_clone_to_owned().unwrap(), WorkerId(0)).unwrap();
    let task = [7; 64];
    let mut body = [0; INLINE];
    measure("push a task of 64 B, claim it, free its slot", 100_000, |n| {
        for i in 0..n {
            producer.push(TaskId::new(i, 0), &[&task]).unwrap();
            black_box(consumer.claim(&mut body, |_| ()));
        }
    });
    measure("claim when there is nothing", 100_000, |n| {
        (0..n).for_each(|_| assert!(consumer.claim(&mut body, |_| ()).is_none()))
    });
    measure("wake_idle when nobody sits", 100_000, |n| (0..n).for_each(|_| assert!(parent.wake_idle().is_none())));
    measure("ring when nobody waits", 100_000, |n| (0..n).for_each(|_| worker.bell().ring()));

    let locks = LockMemory::create(64).unwrap();
    let lock = Lock::create(&locks).unwrap().unwrap();
    measure("acquire and release a lock", 100_000, |n| {
        for _ in 0..n {
            assert!(lock.acquire(None).unwrap().died.is_none());
            lock.release().unwrap();
        }
    });
    let lock = RLock::create(&locks).unwrap().unwrap();
    measure("acquire and release an rlock", 100_000, |n| {
        for _ in 0..n {
            assert!(lock.acquire(1, None).unwrap().died.is_none());
            lock.release(1).unwrap();
        }
    });
    let semaphore = Semaphore::create(&locks, 2, true).unwrap().unwrap();
    measure("acquire and release a semaphore", 100_000, |n| {
        for _ in 0..n {
            semaphore.acquire(None).unwrap();
            semaphore.release(1).unwrap().unwrap();
        }
    });

    let (parent, _control, mut reader, fd) = WorkerMemory::create(0, 1 << 20, [Region::default(); 2]).unwrap();
    let (worker, _orders, mut writer) = WorkerMemory::open(fd).unwrap();
    measure("note a task's begin and end", 100_000, |n| {
        for i in 0..n {
            worker.status().begin(TaskId::new(i, 0), 1);
            assert!(worker.status().end());
        }
    });
    worker.status().begin(TaskId::new(0, 1), 1);
    measure("note how far a chunk has come", 100_000, |n| (0..n).for_each(|i| worker.status().set_progress(i, 1)));
    measure("read it", 100_000, |n| {
        for _ in 0..n {
            assert!(black_box(parent.status().progress()).is_some());
        }
    });
    assert!(worker.status().end());
    let line = [b'x'; 100];
    measure("write a line of 100 B to the tail", 10_000, |n| (0..n).for_each(|_| worker.tail().write(&line)));
    for size in [32, 1024] {
        let record = vec![7; size];
        measure(&format!("write a record of {size} B, read it"), 100_000, |n| {
            for _ in 0..n {
                writer.write(&[&record]).unwrap();
                black_box(reader.read(<[u8]>::len).unwrap());
            }
        });
    }

    let commons = Commons::create(1 << 40).unwrap();
    let mut arena = Arena::in_region(&commons, commons.take_region(1 << 32).unwrap()).unwrap();
    for size in [1 << 10, 1 << 16, 1 << 20] {
        let data = vec![7; size];
        measure(&format!("put {size} B into warm pages, release"), (1 << 24 >> size.ilog2()) as u32, |n| {
            for _ in 0..n {
                let block = arena.put(&[&data]).unwrap();
                assert!(arena.release(black_box(block)));
            }
        });
    }
    let draft = arena.reserve(1 << 20).unwrap();
    arena.write_at(draft, 0, &[0; 1 << 20]).unwrap();
    measure("write 64 B into a draft", 10_000, |n| {
        (0..u64::from(n)).for_each(|i| arena.write_at(draft, i * 64, &[7; 64]).unwrap());
    });
    assert!(arena.release(draft));
    let data = vec![7; 1 << 24];
    measure("put 16 MiB into new pages, release, trim", 1, |_| {
        let block = arena.put(&[&data]).unwrap();
        assert!(arena.release(block));
        arena.trim(0);
    });
    measure("put 16 MiB into warm pages, release", 1, |_| {
        let block = arena.put(&[&data]).unwrap();
        assert!(arena.release(block));
    });
    map_blocks(&commons, &mut arena);
}

/// A byte of each page of a mapped block is touched; beside it, what copying the bytes costs.
fn map_blocks(commons: &Arc<Commons>, arena: &mut Arena) {
    let touch = |at: *const u8, len: usize| {
        (0..len).step_by(4096).for_each(|i| {
            // SAFETY: `at` is the begin of `len` bytes that are mapped or in a vector, and nobody writes them.
            black_box(unsafe { at.add(i).read() });
        })
    };
    for (size, times) in [(1 << 20, 100), (80_000_000, 1)] {
        let data = vec![7_u8; size];
        let mut copy = vec![0_u8; size];
        measure(&format!("copy {size} B"), times, |n| (0..n).for_each(|_| black_box(&mut copy).copy_from_slice(&data)));
        measure(&format!("copy {size} B into new memory, free it"), times, |n| {
            (0..n).for_each(|_| drop(black_box(data.clone())));
        });
        let block = arena.put(&[&data]).unwrap();
        for access in [Access::Snapshot, Access::Shared] {
            let mapped = || commons.map(block, access).unwrap();
            measure(&format!("map {size} B ({access:?}), unmap"), times, |n| {
                (0..n).for_each(|_| drop(black_box(mapped())))
            });
            measure(&format!("map {size} B ({access:?}), touch, unmap"), times, |n| {
                (0..n).for_each(|_| {
                    let mapped = mapped();
                    touch(mapped.as_ptr(), size);
                });
            });
            measure(&format!("map {size} B ({access:?}), populate, touch, unmap"), times, |n| {
                (0..n).for_each(|_| {
                    let mapped = mapped();
                    mapped.populate();
                    touch(mapped.as_ptr(), size);
                });
            });
        }
        measure(&format!("map {size} B (Snapshot), write to each page, unmap"), times, |n| {
            (0..n).for_each(|_| {
                let mapped = commons.map(block, Access::Snapshot).unwrap();
                for at in (0..size).step_by(4096) {
                    // SAFETY: the byte lies inside, and nobody has borrowed it.
                    unsafe { mapped.as_ptr().add(at).write(1) };
                }
            });
        });
        let mapped = commons.map(block, Access::Snapshot).unwrap();
        measure(&format!("look whether {size} B are unwritten, untouched"), times, |n| {
            (0..n).for_each(|_| assert!(mapped.is_unwritten(0, size)));
        });
        mapped.populate();
        measure(&format!("look whether {size} B are unwritten, read"), times, |n| {
            (0..n).for_each(|_| assert!(mapped.is_unwritten(0, size)));
        });
        measure("look whether 65536 B of them are", 1000, |n| {
            (0..n).for_each(|_| assert!(mapped.is_unwritten(0, 1 << 16)));
        });
        measure(&format!("release {size} B, recall, compare"), times, |n| {
            (0..n).for_each(|_| {
                assert!(arena.release(block) && arena.recall(block));
                assert!(black_box(arena.get(block).unwrap() == data));
            });
        });
        assert!(arena.release(block));
        arena.trim(0);
        measure(&format!("provide {size} B, release, trim"), times, |n| {
            (0..n).for_each(|_| {
                let block = arena.reserve(size).unwrap();
                arena.provide(block).unwrap();
                assert!(arena.release(block));
                arena.trim(0);
            });
        });
    }
}
