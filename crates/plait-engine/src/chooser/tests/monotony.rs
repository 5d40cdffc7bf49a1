//! What must hold for any figures, on any machine: drawn, sane ones and insane ones.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

use super::super::*;

/// Seconds from nanoseconds to hours, even in their logarithm.
fn seconds() -> impl Strategy<Value = f64> {
    (-8.0..3.0f64).prop_map(|power| 10f64.powf(power))
}

fn bytes() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), (0.0..9.5f64).prop_map(|power| 10f64.powf(power))]
}

fn remaining() -> impl Strategy<Value = u64> {
    prop_oneof![1..50u64, 50..5000u64, 5000..10_000_000u64]
}

prop_compose! {
    /// Figures that calls could have had.
    fn figures()(
        calls in 0..2000u64,
        remaining in remaining(),
        wall in seconds(),
        busy in prop_oneof![Just(1.0), 0.0..1.0f64],
        holding in prop_oneof![Just(1.0), Just(0.02), 0.0..1.0f64],
        switches in prop_oneof![Just(0.0), 0.5..20.0f64],
        native in prop_oneof![Just(0.0), 0.0..8.0f64],
        (sent_bytes, buffer_bytes, memory) in (bytes(), bytes(), bytes()),
        pickle in prop_oneof![Just(0.0), seconds()],
        gil in prop::bool::weighted(0.8),
        flags in (any::<bool>(), prop::bool::weighted(0.9), prop::bool::weighted(0.1)),
        width in prop::option::weighted(0.2, 1..600u64),
        settled in prop::option::weighted(0.2, prop::sample::select(&Backend::ALL)),
        tried in (tried(), tried(), tried()),
        unloadable in prop::bool::weighted(0.2),
    ) -> Figures {
        let cpu = wall * busy;
        Figures {
            calls,
            unfinished: calls == 0,
            remaining: Some(remaining),
            wall,
            longest: wall,
            cpu,
            delay: 0.0,
            held: cpu * holding,
            wanted: 0.0,
            switches,
            native,
            memory,
            gil,
            sendable: flags.0.then_some(flags.1),
            why_not: None,
            sent_bytes,
            buffer_bytes,
            pickle,
            shares_state: flags.2.then(|| "a counter".to_owned()),
            task: None,
            width,
            settled,
            threads_tried: tried.0,
            processes_tried: tried.1,
            interpreters_tried: tried.2,
            unloadable: unloadable.then(|| "a module refuses".to_owned()),
        }
    }
}

fn tried() -> impl Strategy<Value = Option<Tried>> {
    let tried = (1..200usize, seconds(), 0.0..1.0f64);
    prop_oneof![
        3 => Just(None),
        1 => tried.prop_map(|(workers, each, cpu_share)| Some(Tried { workers, rate: 1.0 / each, cpu_share })),
    ]
}

prop_compose! {
    fn machine()(
        physical in 1..65usize,
        threads in 1..3usize,
        memory in prop::option::of(1_u64 << 20..1 << 40),
        pool in select(vec![Pool::Cold, Pool::Warm]),
        interpreters in select(vec![None, Some(Pool::Cold), Some(Pool::Warm)]),
    ) -> Machine {
        Machine { cpus: physical * threads, physical: Some(physical), memory, thread_pool: Pool::Warm, process_pool: pool, interpreters }
    }
}

/// A number as a broken clock or a broken caller would give it.
fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, f64::MAX, f64::MIN_POSITIVE, 1e300]),
        seconds(),
    ]
}

fn backend(figures: &Figures, machine: &Machine) -> Backend {
    choose(figures, machine, &Bounds::default()).backend
}

/// Whether the user asks for nothing but what there is not.
fn nothing_open(bounds: &Bounds, machine: &Machine) -> bool {
    machine.interpreters.is_none() && bounds.backends.as_deref() == Some(&[Backend::Interpreters])
}

fn is_sent(backend: Backend) -> bool {
    matches!(backend, Backend::Processes | Backend::Interpreters)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 3 } else { 1000 }, failure_persistence: None, rng_seed: RngSeed::Fixed(6), ..ProptestConfig::default() })]

    #[test]
    fn any_figures_have_a_finite_answer(
        times in prop::array::uniform14(any_number()),
        counts in (any::<u64>(), prop::option::of(any::<u64>()), any::<usize>(), prop::option::of(any::<usize>())),
        (memory, workers) in (prop::option::of(any::<u64>()), prop::option::of(0..10_000usize)),
        (unfinished, gil) in any::<(bool, bool)>(),
        tried in prop::option::of(any::<usize>()),
        backends in prop::option::of(prop::sample::subsequence(Backend::ALL.to_vec(), 0..=4)),
        interpreters in select(vec![None, Some(Pool::Cold), Some(Pool::Warm)]),
    ) {
        let [wall, longest, cpu, delay, held, wanted, switches, native, memory_grown, sent_bytes, buffer_bytes, pickle, rate, cpu_share] =
            times;
        let tried = tried.map(|workers| Tried { workers, rate, cpu_share });
        let figures = Figures {
            calls: counts.0, remaining: counts.1, unfinished, gil, wall, longest, cpu, delay, held, wanted, switches,
            native, memory: memory_grown, sent_bytes, buffer_bytes, pickle, threads_tried: tried, processes_tried: tried,
            interpreters_tried: tried,
            ..Figures::default()
        };
        let machine = Machine { cpus: counts.2, physical: counts.3, memory, interpreters, ..Machine::default() };
        let bounds = Bounds { backends, workers, ..Bounds::default() };
        let choice = choose(&figures, &machine, &bounds);
        prop_assert!(bounds.allows(choice.backend) || nothing_open(&bounds, &machine));
        prop_assert!(choice.workers >= 1 && choice.most_workers >= choice.workers, "{:?}", choice);
        prop_assert!(choice.seconds.is_finite() && choice.seconds >= 0.0);
        prop_assert!(choice.margin.is_none_or(f64::is_finite), "{:?}", choice);
        prop_assert_eq!(choice.candidates.len(), 3 + usize::from(interpreters.is_some()));
        prop_assert!(choice.backend != Backend::Interpreters || interpreters.is_some());
        let taken = choice.candidates.iter().find(|each| each.backend == choice.backend).unwrap();
        prop_assert_eq!(taken.seconds, choice.seconds);
        prop_assert!(taken.workers == choice.workers || taken.backend == Backend::Threads, "{:?}", choice);
        prop_assert!(taken.workers >= choice.workers, "{:?}", choice);
        prop_assert!(choice.candidates.iter().all(|each| each.seconds.is_finite()));
        let next = revise(&choice, &figures, &machine, &bounds, 0);
        prop_assert!(next.is_none_or(|next| (bounds.allows(next.backend) || nothing_open(&bounds, &machine)) && next.seconds.is_finite()));
    }

    #[test]
    fn more_to_send_never_makes_sending_likelier(
        figures in figures(), machine in machine(), sent in bytes(), buffers in bytes(), pickle in seconds(),
    ) {
        let more = Figures {
            sent_bytes: figures.sent_bytes + sent,
            buffer_bytes: figures.buffer_bytes + buffers,
            pickle: figures.pickle + pickle,
            // What processes reached had their costs in it.
            processes_tried: None,
            interpreters_tried: None,
            ..figures.clone()
        };
        let figures = Figures { processes_tried: None, interpreters_tried: None, ..figures };
        if !is_sent(backend(&figures, &machine)) {
            prop_assert!(!is_sent(backend(&more, &machine)));
        }
    }

    #[test]
    fn a_larger_share_of_the_gil_never_makes_threads_likelier(
        figures in figures(), machine in machine(), share in 0.0..1.0f64,
    ) {
        let figures = Figures { threads_tried: None, processes_tried: None, interpreters_tried: None, ..figures };
        let more = Figures { held: figures.held + share * (figures.wall - figures.held), ..figures.clone() };
        if backend(&figures, &machine) != Backend::Threads {
            prop_assert_ne!(backend(&more, &machine), Backend::Threads);
        }
    }

    #[test]
    fn more_processors_never_make_serial_likelier(figures in figures(), machine in machine(), more in 1..64usize) {
        let figures = Figures { threads_tried: None, processes_tried: None, interpreters_tried: None, ..figures };
        let physical = machine.physical.unwrap() + more;
        let larger = Machine { physical: Some(physical), cpus: machine.cpus + 2 * more, ..machine.clone() };
        if backend(&figures, &machine) != Backend::Serial {
            prop_assert_ne!(backend(&figures, &larger), Backend::Serial);
        }
    }

    #[test]
    fn times_as_many_calls_never_go_back_to_serial(figures in figures(), machine in machine(), times in 2..50u64) {
        let more = Figures { remaining: figures.remaining.map(|count| count * times), ..figures.clone() };
        if backend(&figures, &machine) != Backend::Serial {
            prop_assert_ne!(backend(&more, &machine), Backend::Serial);
        }
    }

    #[test]
    fn what_cannot_be_sent_or_shares_state_is_never_sent(
        figures in figures(), machine in machine(), shares in any::<bool>(), unknown in any::<bool>(),
    ) {
        let kept = if shares {
            Figures { shares_state: Some("a list".to_owned()), ..figures }
        } else {
            Figures { sendable: Some(false), ..figures }
        };
        let kept = Figures { remaining: kept.remaining.filter(|_| !unknown), ..kept };
        prop_assert!(!is_sent(backend(&kept, &machine)));
        let current = Choice { backend: Backend::Serial, ..choose(&kept, &machine, &Bounds::default()) };
        let next = revise(&current, &kept, &machine, &Bounds::default(), 0);
        prop_assert!(next.is_none_or(|next| !is_sent(next.backend)));
    }

    #[test]
    fn what_cannot_be_loaded_never_goes_to_interpreters(figures in figures(), machine in machine()) {
        let kept = Figures { unloadable: Some("a module refuses".to_owned()), ..figures.clone() };
        prop_assert_ne!(backend(&kept, &machine), Backend::Interpreters);
        let without = Machine { interpreters: None, ..machine };
        let choice = choose(&figures, &without, &Bounds::default());
        prop_assert_ne!(choice.backend, Backend::Interpreters);
        let next = revise(&choice, &figures, &without, &Bounds::default(), 0);
        prop_assert!(next.is_none_or(|next| next.backend != Backend::Interpreters));
    }

    #[test]
    fn without_a_gil_computing_goes_to_threads(wall in 1e-3..10.0f64, cpus in 2..65usize, remaining in 20..10_000u64) {
        let figures = Figures {
            calls: 2, remaining: Some(remaining), wall, cpu: wall, held: wall, gil: false, sendable: Some(false),
            switches: 0.0, native: 0.0, ..Figures::default()
        };
        let machine = Machine { cpus, physical: Some(cpus), ..Machine::default() };
        prop_assert_eq!(backend(&figures, &machine), Backend::Threads);
    }

    #[test]
    fn what_the_user_fixed_stays(
        figures in figures(), machine in machine(), workers in 1..1000usize, chunksize in 1..1000u64,
        backends in prop::sample::subsequence(Backend::ALL.to_vec(), 1..=4),
    ) {
        let bounds = Bounds { backends: Some(backends), workers: Some(workers), chunksize: Some(chunksize), why: None };
        let choice = choose(&figures, &machine, &bounds);
        prop_assert!(bounds.allows(choice.backend) || nothing_open(&bounds, &machine));
        prop_assert_eq!(choice.chunksize, Some(chunksize));
        let expected = if choice.backend == Backend::Serial { 1 } else { workers };
        prop_assert_eq!((choice.workers, choice.most_workers), (expected, expected));
    }
}
