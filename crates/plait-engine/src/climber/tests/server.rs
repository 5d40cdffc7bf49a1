//! Servers that the climber has to find the right width for: what each does with calls that come at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What calls wait for.
#[derive(Clone, Debug)]
pub struct Server {
    seconds: f64,
    noise: f64,
    /// A share of calls takes so many times as long.
    tail: (f64, f64),
    /// So many are answered at a time, the others queue.
    slots: usize,
    /// After half of the calls, so many.
    slots_later: Option<usize>,
    /// Beyond so many, all share what there is.
    shared: usize,
    /// Beyond so many, each one more makes all slower than sharing would.
    collapse: usize,
}

impl Server {
    /// Answers any number of calls, each after so many seconds.
    pub fn new(seconds: f64) -> Self {
        Self {
            seconds,
            noise: 0.0,
            tail: (0.0, 1.0),
            slots: usize::MAX,
            slots_later: None,
            shared: usize::MAX,
            collapse: usize::MAX,
        }
    }

    pub fn noise(self, noise: f64) -> Self {
        Self { noise, ..self }
    }

    pub fn tail(self, share: f64, times: f64) -> Self {
        Self { tail: (share, times), ..self }
    }

    pub fn slots(self, slots: usize) -> Self {
        Self { slots, ..self }
    }

    pub fn then(self, slots: usize) -> Self {
        Self { slots_later: Some(slots), ..self }
    }

    pub fn shared(self, shared: usize) -> Self {
        Self { shared, ..self }
    }

    pub fn collapse(self, collapse: usize) -> Self {
        Self { collapse, ..self }
    }

    /// Seconds of a call alone.
    pub fn alone(&self) -> f64 {
        self.seconds * (1.0 + self.tail.0 * (self.tail.1 - 1.0))
    }
}

/// Seconds as an order: never "not a number" here.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Time(f64);

impl Eq for Time {}

#[expect(clippy::derive_ord_xor_partial_ord, reason = "times of a simulation are numbers")]
impl Ord for Time {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Draws between 0 and 1, the same ones in each run.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }
}

/// Seconds for so many calls, of which `width` run at once at first and as many as `on_call` answers from then on.
pub fn run(server: &Server, calls: usize, width: usize, mut on_call: impl FnMut(f64, f64) -> usize) -> f64 {
    let mut draws = Draws(7);
    let mut width = width;
    let mut running: BinaryHeap<Reverse<(Time, usize, Time)>> = BinaryHeap::new();
    let mut free: BinaryHeap<Reverse<Time>> = BinaryHeap::new();
    let mut slots = 0;
    let (mut now, mut begun) = (0.0, 0);
    loop {
        while begun < calls && running.len() < width {
            let share = server.noise;
            let mut seconds = server.seconds * (1.0 - share - share * draws.next().ln());
            if draws.next() < server.tail.0 {
                seconds *= server.tail.1;
            }
            let at_once = (running.len() + 1) as f64;
            seconds *= (at_once / server.shared as f64).max(1.0);
            seconds *= (at_once / server.collapse as f64).max(1.0).powi(2);
            let allowed = server.slots_later.filter(|_| begun >= calls / 2).unwrap_or(server.slots);
            let mut from = now;
            if allowed != usize::MAX {
                while slots < allowed {
                    free.push(Reverse(Time(now)));
                    slots += 1;
                }
                while slots > allowed {
                    free.pop();
                    slots -= 1;
                }
                if let Some(Reverse(Time(at))) = free.pop() {
                    from = at.max(now);
                }
                free.push(Reverse(Time(from + seconds)));
            }
            running.push(Reverse((Time(from + seconds), begun, Time(now))));
            begun += 1;
        }
        let Some(Reverse((Time(ended), _, Time(started)))) = running.pop() else {
            return now;
        };
        now = ended;
        width = on_call(started, ended);
    }
}

/// Seconds with the best of many fixed widths.
pub fn best_fixed(server: &Server, calls: usize) -> f64 {
    let widths = [1, 2, 4, 8, 11, 16, 23, 32, 64, 100, 128, 256, 512];
    widths.into_iter().map(|width| run(server, calls, width, |_, _| width)).fold(f64::INFINITY, f64::min)
}
