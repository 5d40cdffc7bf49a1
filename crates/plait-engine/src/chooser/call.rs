//! The call that stands for all: the figures made fit to reckon with, and mended by what running backends reached.

use super::answer::Backend;
use super::figures::{Figures, Machine, Pool, Tried};
use super::{GOES_ON, SHORTEST_RUN, words};

/// No call is thought to be shorter, in seconds: a clock's grain, so that a figure of zero divides nothing.
const SHORTEST_CALL: f64 = 2e-8;

/// Nothing takes longer, in seconds: 30 years, so that sums stay finite.
const LONGEST_CALL: f64 = 1e9;

/// More calls than that are as good as endless.
const MOST_CALLS: f64 = 1e15;

/// From this share of a call on, a processor is taken for busy all the time: what is missing was taken away by others.
const BUSY: f64 = 0.75;

/// Of this share of its limit a running backend is held up by that limit.
const SATURATED: f64 = 0.7;

/// Calls that take a processor up to so many times as long as others may be the same.
const LIKE: f64 = 2.0;

/// Less than this share of a call on a processor is not compared.
const IDLE: f64 = 0.1;

/// Of what a first call does on a processor, the share that others will do, too, where it is no more than this share of
/// the call: it loads what they find there. Threads that show otherwise are left for processes soon, and cost little;
/// processes take long to start.
const FIRST_CALL: f64 = 0.25;

/// What a process maps for itself, in bytes, before any call: seen of workers with nothing imported.
const PROCESS_BYTES: f64 = 10.0 * 1048576.0;

/// What an interpreter has for itself, in bytes, before any call: 2.5 to 4 MiB were seen on Python 3.14.
const INTERPRETER_BYTES: f64 = 4.0 * 1048576.0;

/// What a thread keeps, in bytes: its touched stack and Python's state of it.
const THREAD_BYTES: f64 = 128.0 * 1024.0;

/// Bytes in a second, through shared memory and into a pickle's objects: `make bench` shows 4 to 7 GB/s for buffers alone
/// on a machine with nothing else to do (rows 8, 9 and 12), and half of that where pages are new.
const BYTES_PER_SECOND: f64 = 3.0 * 1073741824.0;

/// What the one who hands a call to a thread needs for it, in seconds, with the GIL: 4 to 5 µs for tiny calls that
/// are measured.
pub const THREAD_CALL: f64 = 5e-6;

/// What a message costs each side, in seconds, spread over its chunk: `make bench` shows 0.07 to 0.2 µs for tiny items
/// on two sides (row 6), and a few microseconds for calls so long that those do not matter.
const MESSAGE: f64 = 2e-7;

/// What a call in an interpreter costs each side beside its pickles, in seconds, spread over its chunk.
const APART_MESSAGE: f64 = 2e-6;

/// Longer calls, in seconds, are not made in interpreters: nothing can stop one, not even the end of the program.
const LONGEST_APART: f64 = 0.1;

/// The mean call, its limits and the machine's, all finite. Times are seconds.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// What was told.
    pub figures: &'a Figures,
    /// Calls to be made: known, or thought.
    pub count: f64,
    /// From begin to end, less waiting for the GIL and for a processor.
    pub own: f64,
    /// Of that, on a processor.
    pub cpu: f64,
    /// Of that, holding the GIL.
    pub held: f64,
    /// Of that, neither.
    pub blocked: f64,
    /// Seconds of processors, those of native threads included.
    pub demand: f64,
    /// How often it waits.
    pub switches: f64,
    /// What the parent does for a call on a process.
    pub parent: f64,
    /// What the worker does beside the call.
    pub worker: f64,
    /// What either side does for a call in an interpreter.
    pub apart: f64,
    /// Processors that can work at full speed at once.
    pub cores: f64,
    /// Processors, which may share cores.
    pub cpus: f64,
    /// Bytes that may be used.
    pub memory: f64,
    /// Bytes that each process takes.
    pub process_bytes: f64,
    /// Bytes that each thread takes.
    pub thread_bytes: f64,
    /// Bytes that each interpreter takes.
    pub interpreter_bytes: f64,
    /// Whether a process pool has to be started from nothing.
    pub cold: bool,
    /// Interpreters, if there can be any.
    pub interpreters: Option<Pool>,
    /// What threads reached: workers, and seconds from call to call.
    pub on_threads: Option<Reached>,
    /// What processes reached.
    pub on_processes: Option<Reached>,
    /// What interpreters reached.
    pub on_interpreters: Option<Reached>,
    /// What threads, processes and interpreters reached in this run, be it long ago.
    pub ever: [Option<Reached>; 3],
}

/// What a backend reached.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Reached {
    /// Its workers.
    pub workers: f64,
    /// Seconds from one finished call to the next.
    pub each: f64,
    /// Processors that its workers kept busy, if that is known.
    pub busy: Option<f64>,
}

impl Reached {
    fn of(tried: Option<Tried>) -> Option<Self> {
        let tried = tried.filter(|tried| tried.workers > 0 && tried.rate.is_finite() && tried.rate > 0.0)?;
        let workers = tried.workers as f64;
        let busy = Some(tried.cpu_share).filter(|share| share.is_finite() && *share >= 0.0);
        Some(Self {
            workers,
            each: (1.0 / tried.rate).clamp(SHORTEST_CALL, LONGEST_CALL),
            busy: busy.map(|share| share.min(1.0) * workers),
        })
    }
}

/// A figure between 0 and `most`, 0 if it is none.
fn clean(value: f64, most: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, most) }
}

impl<'a> Call<'a> {
    /// Makes the figures fit to reckon with.
    pub fn of(figures: &'a Figures, machine: &Machine) -> Self {
        // A first call that still runs after so long may have begun just now, or be about to end: half-way is the guess.
        let scale = if figures.calls == 0 && figures.unfinished { 2.0 } else { 1.0 };
        let time = |value: f64| clean(value * scale, LONGEST_CALL);
        let wall = time(figures.wall).max(SHORTEST_CALL);
        let away = time(figures.wanted) + time(figures.delay);
        let own = (wall - away).max(time(figures.cpu).min(wall)).max(SHORTEST_CALL);
        // What a first call that hardly does anything but wait did on a processor, it may have done for all that follow.
        let first = figures.calls + u64::from(figures.unfinished) <= 1 && time(figures.cpu) < FIRST_CALL * own;
        let once = if first { FIRST_CALL } else { 1.0 };
        let cpu = (once * time(figures.cpu)).min(own);
        let held = match figures.held {
            _ if !figures.gil => 0.0,
            // Not known: Python code holds it as long as it runs.
            held if held.is_nan() => cpu,
            held if held <= figures.cpu => (once * time(held)).min(own),
            held => time(held).min(own),
        };
        let measured = wall * figures.calls.max(1) as f64;
        let count = match figures.remaining {
            Some(count) => (count as f64).min(MOST_CALLS),
            None => ((GOES_ON * measured).max(SHORTEST_RUN) / wall).ceil().min(MOST_CALLS),
        };
        let cpus = machine.cpus.max(1);
        let sent = clean(figures.sent_bytes, 1e18);
        let apart = clean(figures.buffer_bytes, 1e18);
        let pickle = clean(figures.pickle, LONGEST_CALL);
        let memory = clean(figures.memory, 1e18);
        let on_threads = Reached::of(figures.threads_tried);
        let on_processes = Reached::of(figures.processes_tried);
        let on_interpreters = Reached::of(figures.interpreters_tried);
        let mut call = Self {
            figures,
            count,
            own,
            cpu,
            held,
            blocked: 0.0,
            demand: 0.0,
            switches: clean(figures.switches, 1e9),
            // Arguments are copied once by who sends and mapped by who receives; of pickles both make a copy.
            parent: MESSAGE + pickle + (0.5 * sent + apart) / BYTES_PER_SECOND,
            worker: MESSAGE + pickle + 0.5 * (sent + apart) / BYTES_PER_SECOND,
            // All of it is pickled, copied by whoever gets it, and unpickled.
            apart: APART_MESSAGE + pickle + (sent + apart) / BYTES_PER_SECOND,
            cores: machine.physical.unwrap_or(cpus).clamp(1, cpus) as f64,
            cpus: cpus as f64,
            memory: machine.memory.map_or(f64::INFINITY, |bytes| bytes as f64),
            process_bytes: PROCESS_BYTES + memory + sent + 2.0 * apart,
            thread_bytes: THREAD_BYTES + memory / figures.calls.max(1) as f64,
            interpreter_bytes: INTERPRETER_BYTES + memory + sent + 2.0 * apart,
            cold: machine.process_pool == Pool::Cold,
            interpreters: machine.interpreters,
            on_threads,
            on_processes,
            on_interpreters,
            ever: [on_threads, on_processes, on_interpreters],
        };
        if call.switches * (figures.calls.max(1) as f64) < 0.5
            && !figures.switches.is_nan()
            && call.cpu >= 0.5 * call.own
        {
            // It never gave the processor away by itself: what is missing was taken by other programs.
            call.cpu = call.own;
        }
        call.learn_from(call.on_processes, call.worker);
        call.learn_from(call.on_interpreters, call.apart);
        call.learn_from_threads();
        if call.cpu >= BUSY * call.own {
            call.cpu = call.own;
        }
        call.blocked = call.own - call.cpu.max(call.held);
        call.demand = call.cpu + clean(figures.native, 1e6) * call.own;
        call
    }

    /// The same, with what backends reached that do not run now: it tells how fast they are, not what calls are like. What
    /// was slower than one call after the other is by now was reached by other calls, and so was what took calls another
    /// time on a processor.
    pub fn remembering(self, figures: &Figures) -> Self {
        let [threads, processes, interpreters] = self.ever;
        let alike = |reached: &Reached| {
            let cpu = reached.busy.map_or(self.cpu, |busy| busy * reached.each);
            cpu.max(self.cpu) <= LIKE * cpu.min(self.cpu).max(IDLE * self.own)
        };
        let still = |tried| Reached::of(tried).filter(|reached| reached.each <= self.own).filter(alike);
        let ever = [
            threads.or(still(figures.threads_tried)),
            processes.or(still(figures.processes_tried)),
            interpreters.or(still(figures.interpreters_tried)),
        ];
        Self { ever, ..self }
    }

    /// Processes and interpreters run calls without a GIL between them: how long one takes there, and how much of it on a
    /// processor, is how calls are by now. `beside` is what a worker does beside a call.
    fn learn_from(&mut self, reached: Option<Reached>, beside: f64) {
        let Some(Reached { workers, each, busy: Some(busy) }) = reached else {
            return;
        };
        let cpu = busy * each;
        let mut own = (workers * each - beside).max(cpu).max(SHORTEST_CALL);
        if busy >= SATURATED * self.cores {
            // They wait for processors, too.
            own = own.min(self.own.max(cpu));
        }
        // Of the time on a processor, and of the rest if there was much of it, the GIL was held for such a share.
        let running = if self.cpu > 0.0 { (self.held / self.cpu).min(1.0) } else { 1.0 };
        let rest = self.own - self.cpu;
        let waiting = if rest > 0.25 * self.own { ((self.held - self.cpu) / rest).max(0.0) } else { 0.0 };
        self.held = if self.figures.gil { (running * cpu + waiting * (own - cpu)).min(own) } else { 0.0 };
        (self.own, self.cpu) = (own, cpu.min(own));
    }

    /// Threads that together keep one processor busy, and no more, have but one GIL.
    fn learn_from_threads(&mut self) {
        let Some(Reached { workers, each, busy: Some(busy) }) = self.on_threads else {
            return;
        };
        let cpu = busy * each;
        self.cpu = cpu;
        self.own = self.own.max(cpu);
        if self.figures.gil && workers > 1.0 && (0.85..1.1).contains(&busy) {
            self.held = self.held.max(cpu);
        }
        self.held = self.held.min(self.own);
    }

    /// Whether state is shared that the caller may see, as far as is known.
    pub fn shares_state(&self) -> bool {
        match self.figures.task {
            Some(said) => said,
            None => self.figures.shares_state.is_some(),
        }
    }

    /// Why neither processes nor interpreters may have these calls.
    pub fn not_to_be_sent(&self) -> Option<String> {
        if self.shares_state() {
            let what = self.figures.shares_state.as_deref().unwrap_or("plait.task says so");
            return Some(format!("it shares state with the program: {what}"));
        }
        if self.figures.sendable == Some(false) {
            let why = self.figures.why_not.as_deref().unwrap_or("it cannot be pickled");
            return Some(format!("it cannot be sent to another process: {why}"));
        }
        None
    }

    /// Why no interpreter may have these calls.
    pub fn not_for_interpreters(&self) -> Option<String> {
        let told = self.not_to_be_sent().or_else(|| self.figures.unloadable.clone());
        let longest = self.own.max(clean(self.figures.longest, LONGEST_CALL));
        told.or_else(|| {
            let length = match self.figures.calls {
                0 => "no call has ended yet".to_owned(),
                _ if longest > LONGEST_APART => format!("a call took {}", words::seconds(longest)),
                _ => return None,
            };
            Some(format!("{length}, and nothing could stop one there"))
        })
    }

    /// What a backend reached in this run.
    pub fn ever_on(&self, backend: Backend) -> Option<Reached> {
        let [threads, processes, interpreters] = self.ever;
        match backend {
            Backend::Serial => None,
            Backend::Threads => threads,
            Backend::Processes => processes,
            Backend::Interpreters => interpreters,
        }
    }

    /// What threads reached, if calls wait and neither the GIL nor the processors were the limit, but a server, a disk or a
    /// lock. Processes will not reach more then.
    pub fn limited_elsewhere(&self) -> Option<Reached> {
        let reached = self.on_threads?;
        let busy = SATURATED * reached.each;
        let waits = self.blocked > (1.0 - BUSY) * self.own;
        let free = self.held + THREAD_CALL < busy && self.demand < self.cores * busy;
        (waits && free).then_some(reached)
    }
}
