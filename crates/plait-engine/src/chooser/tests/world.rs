//! Whole runs in invented worlds, whose calls have true costs that the chooser only sees measured: what a run loses
//! against the best backend fixed from the start is bounded, also where calls turn into others half-way.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::super::*;

/// What calls truly cost, in seconds.
#[derive(Clone, Copy, Debug)]
struct Nature {
    /// Waiting for something outside.
    waits: f64,
    /// On a processor.
    computes: f64,
    /// The share of that with the GIL.
    holds: f64,
    /// To send there and back, on either side.
    wire: f64,
    /// So many can wait at once, whoever waits.
    at_once: f64,
}

impl Nature {
    fn own(&self) -> f64 {
        self.waits + self.computes
    }

    /// To get the GIL from another thread, for calls that let go of it: two wake-ups.
    fn handover(&self, workers: f64) -> f64 {
        if workers > 1.0 && self.computes * self.holds < 0.95 * self.own() { 1.4e-5 } else { 0.0 }
    }

    /// Seconds from call to call with so many workers.
    fn each(&self, backend: Backend, workers: f64, cores: f64) -> f64 {
        let outside = self.waits / self.at_once;
        match backend {
            Backend::Serial => self.own(),
            Backend::Threads => (self.own() / workers)
                .max(self.computes * self.holds + 4e-6 + self.handover(workers))
                .max(self.computes / cores.min(workers))
                .max(outside),
            Backend::Processes => self.sent(self.wire, workers, cores),
            Backend::Interpreters => 1.04 * self.sent(self.wire + 2e-6, workers, cores),
        }
    }

    fn sent(&self, wire: f64, workers: f64, cores: f64) -> f64 {
        ((self.own() + wire) / workers)
            .max((self.computes + 2.0 * wire) / cores.min(workers))
            .max(wire)
            .max(self.waits / self.at_once)
    }
}

#[derive(Clone, Debug)]
struct World {
    /// What calls are like, and after how many of them they are like the next.
    natures: [(f64, Nature); 2],
    cores: usize,
    pool: Pool,
    /// Where Python has them.
    interpreters: Option<Pool>,
    /// What each measurement is wrong by, in turn.
    noise: Vec<f64>,
}

impl World {
    fn calls(&self) -> f64 {
        self.natures.iter().map(|(calls, _)| calls).sum()
    }

    fn machine(&self) -> Machine {
        Machine {
            cpus: self.cores,
            physical: Some(self.cores),
            process_pool: self.pool,
            interpreters: self.interpreters,
            ..Machine::default()
        }
    }

    fn start(&self, backend: Backend) -> f64 {
        match (backend, self.pool) {
            (Backend::Serial, _) => 0.0,
            (Backend::Threads, _) => 5e-4,
            (Backend::Processes, Pool::Cold) => 0.085,
            (Backend::Processes, Pool::Warm) => 1e-3,
            (Backend::Interpreters, _) => {
                if self.interpreters == Some(Pool::Warm) {
                    1e-3
                } else {
                    0.036
                }
            }
        }
    }

    /// Threads have the width that the climber would find, processes what was chosen.
    fn each(&self, nature: &Nature, backend: Backend, workers: f64) -> f64 {
        let cores = self.cores as f64;
        match backend {
            Backend::Threads => {
                (0..10).map(|power| nature.each(backend, f64::from(1 << power), cores)).fold(f64::INFINITY, f64::min)
            }
            _ => nature.each(backend, workers, cores),
        }
    }

    /// Seconds of a run on one backend from its start.
    fn fixed(&self, backend: Backend) -> f64 {
        let calls = |(calls, nature): &(f64, Nature)| calls * self.each(nature, backend, self.cores as f64);
        self.start(backend) + self.natures.iter().map(calls).sum::<f64>()
    }

    fn best(&self) -> f64 {
        let there = |backend: &Backend| *backend != Backend::Interpreters || self.interpreters.is_some();
        Backend::ALL.into_iter().filter(there).map(|backend| self.fixed(backend)).fold(f64::INFINITY, f64::min)
    }
}

/// A run that chooses and revises: what it took, and how often it switched.
struct Run<'a> {
    world: &'a World,
    done: f64,
    now: f64,
    figures: Figures,
    measured: usize,
}

impl Run<'_> {
    fn nature(&self) -> &Nature {
        let [(first, nature), (_, later)] = &self.world.natures;
        if self.done < *first { nature } else { later }
    }

    /// Goes on for so many seconds, or to the end.
    fn go_on(&mut self, backend: Backend, workers: f64, seconds: f64) {
        let mut left = seconds;
        while left > 0.0 && self.done < self.world.calls() {
            let each = self.world.each(self.nature(), backend, workers);
            let border = self.world.natures[0].0;
            let until = if self.done < border { border } else { self.world.calls() };
            let calls = (left / each).min(until - self.done);
            // The last calls of a stretch are whole.
            let calls = if until - self.done - calls < 1e-6 { until - self.done } else { calls };
            self.done += calls;
            self.now += calls * each;
            left -= (calls * each).max(1e-9);
        }
    }

    fn noisy(&mut self, value: f64) -> f64 {
        self.measured += 1;
        value * self.world.noise[self.measured % self.world.noise.len()]
    }

    /// Measures as the backend allows: calls one by one where they run in this process, the whole otherwise.
    fn measure(&mut self, backend: Backend, workers: f64) {
        let nature = *self.nature();
        let each = self.world.each(&nature, backend, workers);
        let busy = nature.computes / each;
        let rate = self.noisy(1.0 / each);
        let tried = |workers: f64| Tried { workers: workers as usize, rate, cpu_share: (busy / workers).min(1.0) };
        let remaining = Some((self.world.calls() - self.done).max(0.0).ceil() as u64);
        if backend == Backend::Processes {
            self.figures.processes_tried = Some(tried(workers));
        } else if backend == Backend::Interpreters {
            self.figures.interpreters_tried = Some(tried(workers));
        } else {
            let width = if backend == Backend::Serial { 1.0 } else { (nature.own() / each).ceil() };
            // In the call itself: what it takes to hand it to a thread is not in its time.
            let queued = (nature.waits / nature.at_once).max(nature.computes * nature.holds);
            let wall = nature.own().max(width * queued);
            let wanted = if busy * nature.holds > 0.9 { (wall - nature.own()).max(0.0) } else { 0.0 };
            self.figures = Figures {
                calls: 20,
                wall: self.noisy(wall - wanted) + wanted,
                cpu: self.noisy(nature.computes).min(wall),
                held: self.noisy(nature.computes * nature.holds).min(wall),
                wanted,
                switches: if nature.waits > 0.0 { 2.0 } else { 0.0 },
                native: 0.0,
                sent_bytes: 100.0 + nature.wire * 2.5e8,
                pickle: nature.wire,
                processes_tried: self.figures.processes_tried,
                interpreters_tried: self.figures.interpreters_tried,
                threads_tried: (backend == Backend::Threads).then(|| tried(width)).or(self.figures.threads_tried),
                ..Figures::default()
            };
        }
        self.figures.remaining = remaining;
    }
}

/// Seconds of a whole run, and its switches.
fn auto(world: &World) -> (f64, u32) {
    let mut run = Run { world, done: 0.0, now: 0.0, figures: Figures::default(), measured: 0 };
    let (machine, bounds) = (world.machine(), Bounds::default());
    run.measure(Backend::Serial, 1.0);
    run.go_on(Backend::Serial, 1.0, 0.02_f64.max(world.natures[0].1.own()));
    run.figures.remaining = Some((world.calls() - run.done).max(0.0).ceil() as u64);
    let mut choice = choose(&run.figures, &machine, &bounds);
    run.now += world.start(choice.backend);
    let (mut period, mut switches) = (0.04, 0);
    while run.done < world.calls() {
        run.go_on(choice.backend, choice.workers as f64, period);
        period = (period * 2.0_f64).min(0.5);
        run.measure(choice.backend, choice.workers as f64);
        if let Some(next) = revise(&choice, &run.figures, &machine, &bounds, switches) {
            // What is in flight ends, a call to each worker, while nothing new begins.
            run.now += world.start(next.backend) + run.nature().own();
            choice = next;
            switches += 1;
        }
    }
    (run.now, switches)
}

fn nature() -> impl Strategy<Value = Nature> {
    let seconds = || (-6.0..-0.5f64).prop_map(|power| 10f64.powf(power));
    (
        // Waiting for less is nothing that threads help with.
        prop_oneof![Just(0.0), seconds().prop_map(|waits| waits.max(1e-3))],
        seconds(),
        prop_oneof![Just(1.0), Just(0.01), 0.0..1.0f64],
        prop_oneof![Just(0.0), 0.0..0.3f64],
        prop_oneof![Just(1e6), 1.0..64.0f64],
    )
        .prop_map(|(waits, computes, holds, share, at_once)| {
            let wire = 1e-6 + share * (waits + computes);
            Nature { waits, computes, holds, wire, at_once }
        })
}

fn world() -> impl Strategy<Value = World> {
    (
        nature(),
        prop_oneof![Just(None), nature().prop_map(Some)],
        0.1..20.0f64,
        1..17usize,
        any::<bool>(),
        prop::sample::select(vec![None, Some(Pool::Cold), Some(Pool::Warm)]),
        prop::collection::vec(0.85..1.15f64, 1..12),
    )
        .prop_map(|(first, later, seconds, cores, warm, interpreters, noise)| {
            // As many calls as would take so long one after the other.
            let calls = |nature: &Nature| (seconds / nature.own()).ceil();
            // The share that it takes to send them stays: what a process is sent is seen in this process alone.
            let later =
                later.map(|later| Nature { wire: 1e-6 + (first.wire - 1e-6) / first.own() * later.own(), ..later });
            let natures = [(calls(&first), first), later.map_or((0.0, first), |later| (calls(&later), later))];
            World { natures, cores, pool: if warm { Pool::Warm } else { Pool::Cold }, interpreters, noise }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 3 } else { 2000 }, failure_persistence: None, rng_seed: RngSeed::Fixed(6), ..ProptestConfig::default() })]

    #[test]
    fn a_run_loses_a_bounded_share_against_the_best_backend(world in world()) {
        let (took, switches) = auto(&world);
        let best = world.best();
        let longest = world.natures.iter().map(|(_, nature)| nature.own() + 2.0 * nature.wire).fold(0.0, f64::max);
        prop_assert!(switches <= MOST_SWITCHES);
        let share = if world.natures[1].0 > 0.0 { SHARE_WHEN_CALLS_CHANGE } else { SHARE };
        let bound = share * best + FIXED + CALLS * longest;
        prop_assert!(took <= bound, "{took} s, best {best} s, {switches} switches");
    }
}

/// Of the best backend's time, a run may take so much: figures are wrong by up to 15 % here, each for itself.
const SHARE: f64 = 1.6;

/// The same where calls turn into others, which a run sees only late and does not trust at once.
const SHARE_WHEN_CALLS_CHANGE: f64 = 3.0;

/// And so many seconds more, for what is measured and started.
const FIXED: f64 = 0.4;

/// And so many of the longest calls, which are in flight when a run looks again.
const CALLS: f64 = 8.0;
