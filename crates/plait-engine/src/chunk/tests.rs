//! The promises of the chunk sizes, for drawn measurements and for whole maps with tasks of known length.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn chunk(items: u64, item_seconds: f64) -> Measured {
    Measured { items, run_seconds: items as f64 * item_seconds, wire_seconds: 3e-6, bytes: 16 * items }
}

/// Sizes of the chunks of an endless map whose items all take the same time, one chunk after another.
fn sizes(item_seconds: f64, chunks: usize) -> Vec<usize> {
    let mut sizer = ChunkSizer::new(4);
    let next = |sizer: &mut ChunkSizer| {
        let size = sizer.next_size(None);
        sizer.on_chunk(chunk(size as u64, item_seconds));
        size
    };
    (0..chunks).map(|_| next(&mut sizer)).collect()
}

#[test]
fn tiny_items_grow_by_eight_to_five_milliseconds() {
    assert_eq!(sizes(1e-6, 8), [1, 8, 64, 512, 4096, 4096, 4096, 4096], "4 ms are within the marks");
    assert_eq!(sizes(100e-6, 5), [1, 8, 50, 50, 50]);
    assert_eq!(sizes(1e-3, 3), [1, 5, 5]);
}

#[test]
fn long_items_travel_alone() {
    assert_eq!(sizes(2e-3, 4), [1; 4]);
    assert_eq!(sizes(10.0, 4), [1; 4]);
}

#[test]
fn items_too_short_to_measure_are_bounded_by_bytes() {
    let mut sizer = ChunkSizer::new(2);
    for _ in 0..20 {
        let items = sizer.next_size(None) as u64;
        sizer.on_chunk(Measured { items, run_seconds: 0.0, wire_seconds: 0.0, bytes: 0 });
    }
    assert_eq!(sizer.next_size(None) as u64, MOST_BYTES);
    sizer.on_chunk(Measured { items: 10, run_seconds: 0.0, wire_seconds: 0.0, bytes: 10 << 10 });
    assert_eq!(sizer.next_size(None), 1 << 10);
    sizer.on_chunk(Measured { items: 1, run_seconds: 0.0, wire_seconds: 0.0, bytes: 80 << 20 });
    assert_eq!(sizer.next_size(None), 1);
}

#[test]
fn a_slow_transport_gets_longer_chunks() {
    let cluster = |items: u64, item_seconds: f64| Measured { wire_seconds: 4e-3, ..chunk(items, item_seconds) };
    let mut sizer = ChunkSizer::new(4);
    sizer.on_chunk(cluster(1, 5e-3));
    assert_eq!(sizer.aim_seconds(), 0.12);
    sizer.on_chunk(cluster(8, 5e-3));
    assert_eq!(sizer.next_size(None), 24, "24 items of 5 ms take 30 times the 4 ms of the wire");
}

#[test]
fn a_slow_first_call_is_forgotten() {
    let mut sizer = ChunkSizer::new(1);
    // An import on the first call: 100 ms, then 1 µs each.
    sizer.on_chunk(chunk(1, 0.1));
    assert_eq!(sizer.next_size(None), 1);
    let mut chunks = 0;
    while sizer.next_size(None) < 1000 {
        let items = sizer.next_size(None) as u64;
        sizer.on_chunk(chunk(items, 1e-6));
        chunks += 1;
    }
    assert!(chunks < 20, "{chunks} chunks until the size is right");
}

#[test]
fn longer_items_are_believed_at_once_and_shorter_ones_by_half() {
    let mut sizer = ChunkSizer::new(4);
    [1, 8, 64, 512].into_iter().for_each(|items| sizer.on_chunk(chunk(items, 1e-6)));
    assert_eq!(sizer.next_size(None), 4096);
    sizer.on_chunk(chunk(4096, 20e-6));
    assert_eq!(sizer.next_size(None), 249, "5 ms of 20 µs");
    sizer.on_chunk(chunk(249, 10e-6));
    let believed = sizer.item_seconds().unwrap();
    assert!((14.9e-6..15.1e-6).contains(&believed), "{believed}");
    assert_eq!(sizer.next_size(None), 249, "near enough to 5 ms");
}

#[test]
fn figures_that_cannot_be_change_nothing() {
    let mut sizer = ChunkSizer::new(4);
    sizer.on_chunk(chunk(1, 1e-6));
    let before = sizer;
    for (items, run_seconds, wire_seconds) in
        [(0, 1.0, 0.0), (1, -1.0, 0.0), (1, f64::NAN, 0.0), (1, f64::INFINITY, 0.0), (1, 0.0, f64::NAN), (1, 0.0, -1.0)]
    {
        sizer.on_chunk(Measured { items, run_seconds, wire_seconds, bytes: 0 });
        assert_eq!(sizer, before);
    }
}

/// A map of `lengths` on `workers` workers that take the next chunk when they are free, and tell of a chunk when it is
/// done; how long it runs, in seconds.
fn map(lengths: &[f64], workers: usize, adaptive: bool) -> f64 {
    let mut sizer = ChunkSizer::new(workers);
    let mut free_at = vec![(0.0_f64, None); workers];
    let mut rest = lengths;
    while !rest.is_empty() {
        let (time, done) = free_at.iter_mut().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        if let Some(done) = done.take() {
            sizer.on_chunk(done);
        }
        let size = if adaptive { sizer.next_size(Some(rest.len() as u64)) } else { 1 };
        let taken;
        (taken, rest) = rest.split_at(size);
        let run_seconds: f64 = taken.iter().sum();
        *time += run_seconds;
        let items = taken.len() as u64;
        *done = Some(Measured { items, run_seconds, wire_seconds: 3e-6, bytes: 16 * items });
    }
    free_at.into_iter().map(|(time, _)| time).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 3 } else { 500 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sizes_keep_their_bounds(
        workers in 1..100usize,
        chunks in vec((1..100_000u64, 1e-9..10.0f64, 0.0..0.01f64, 0..1u64 << 30), 1..40),
        remaining in prop::option::of(1..1_000_000u64),
    ) {
        let mut sizer = ChunkSizer::new(workers);
        let mut largest = 0;
        prop_assert_eq!(sizer.next_size(None), 1);
        for (items, run_seconds, wire_seconds, bytes) in chunks {
            sizer.on_chunk(Measured { items, run_seconds, wire_seconds, bytes });
            largest = largest.max(items);
            let size = sizer.next_size(remaining) as u64;
            prop_assert!(size >= 1);
            prop_assert!(size <= GROWTH * largest);
            prop_assert!(size == 1 || size * (bytes / items) <= MOST_BYTES);
            prop_assert!(size == 1 || run_seconds / (items as f64) < LONG_ITEM_SHARE * sizer.aim_seconds());
            if let Some(remaining) = remaining {
                let share = remaining.div_ceil(workers as u64);
                prop_assert!(size <= share);
                // What takes longer to run than to send leaves shares for the end.
                let quarter = share.div_ceil(SHARES_PER_WORKER);
                prop_assert!(size <= quarter || (size as f64) * sizer.item_seconds <= sizer.wire_seconds);
                prop_assert!(size <= sizer.next_size(None) as u64);
            }
        }
    }

    #[test]
    fn longer_and_heavier_chunks_and_shorter_rests_never_enlarge(
        history in vec((1..10_000u64, 1e-9..0.1f64), 0..10),
        items in 1..10_000u64,
        (short, long) in (1e-9..0.1f64, 1.0..100.0f64).prop_map(|(run, times)| (run, run * times)),
        (light, heavy) in (1..1u64 << 20, 1..100u64).prop_map(|(bytes, times)| (bytes, bytes * times)),
        (fewer, more) in (1..10_000u64, 0..10_000u64).prop_map(|(rest, extra)| (rest, rest + extra)),
    ) {
        let mut sizer = ChunkSizer::new(3);
        history.iter().for_each(|(items, run)| sizer.on_chunk(chunk(*items, run / *items as f64)));
        let after = |run_seconds, bytes| {
            let mut sizer = sizer;
            sizer.on_chunk(Measured { items, run_seconds, wire_seconds: 3e-6, bytes });
            sizer
        };
        prop_assert!(after(long, light).next_size(None) <= after(short, light).next_size(None));
        prop_assert!(after(short, heavy).next_size(None) <= after(short, light).next_size(None));
        prop_assert!(sizer.next_size(Some(fewer)) <= sizer.next_size(Some(more)));
    }

    #[test]
    fn equal_items_converge_and_stay(item_seconds in (-7.0..0.0f64).prop_map(|power| 10f64.powf(power))) {
        let sizes = sizes(item_seconds, 40);
        let last = sizes[39];
        prop_assert!(sizes[10..].iter().all(|size| *size == last), "{:?}", sizes);
        let seconds = last as f64 * item_seconds;
        prop_assert!(last == 1 || seconds <= AIM_SECONDS * 1.01);
        let bounded = last as u64 == MOST_BYTES / 16;
        prop_assert!(seconds >= LONG_ITEM_SHARE * AIM_SECONDS * 0.99 || bounded, "{last} items take {seconds}");
    }
}

/// Most items are short and one in a hundred is a thousand times longer, at places that a seed draws. Compared with
/// chunks of one item that cost nothing to send, which no real transport has, the map runs a few percent longer.
#[test]
#[cfg_attr(miri, ignore = "time")]
fn heavy_tails_stay_balanced() {
    let mut state = 1_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let mut worst = 0.0_f64;
    for case in 0..200 {
        let lengths: Vec<f64> = (0..20_000).map(|_| if draw() % 100 == 0 { 10e-3 } else { 10e-6 }).collect();
        let workers = 2 + case % 7;
        let ratio = map(&lengths, workers, true) / map(&lengths, workers, false);
        worst = worst.max(ratio);
    }
    assert!(worst < 1.05, "{worst}");
}

/// Every length of a map is divided with nothing left over, and the last chunks are small.
#[test]
fn the_tail_is_cut_fine() {
    let mut sizer = ChunkSizer::new(4);
    (0..10).for_each(|_| sizer.on_chunk(chunk(4096, 1e-6)));
    let mut remaining = 10_000_u64;
    let mut sizes = Vec::new();
    while remaining > 0 {
        let size = sizer.next_size(Some(remaining)) as u64;
        sizes.push(size);
        remaining -= size;
    }
    assert_eq!(sizes.iter().sum::<u64>(), 10_000);
    assert!(sizes.is_sorted_by(|a, b| a >= b));
    assert_eq!((sizes[0], sizes[sizes.len() - 1]), (625, 1));
}

#[test]
fn what_costs_more_to_send_than_to_run_is_sent_seldom() {
    let mut sizer = ChunkSizer::new(2);
    // Tiny items, and 6 ms for each chunk: the same large argument is compared each time.
    let slow = |items: u64| Measured { items, run_seconds: 1e-6 * items as f64, wire_seconds: 6e-3, bytes: 8 * items };
    let (mut rest, mut chunks) = (1_000_u64, 0);
    while rest > 0 {
        let size = (sizer.next_size(Some(rest)) as u64).min(rest);
        sizer.on_chunk(slow(size));
        rest -= size;
        chunks += 1;
    }
    // Steps of eight, then halves of what remains.
    assert!(chunks <= 13, "{chunks} chunks");
}
