//! What is written down of a program that is watched: one record for each thing that was seen, in the order in which it
//! became known.
//!
//! Times are nanoseconds since the recording began, on one clock for all processes (`CLOCK_MONOTONIC`). Processes,
//! threads, GILs and frames are named by keys that count up from 0 within a recording, for the kernel uses its
//! numbers again. A record that describes something comes before the first one that names its key; a second description of
//! the same key replaces the first, for names and versions often become known later.

use serde::{Deserialize, Serialize};

use crate::State;

/// Nanoseconds since the recording began, or between two moments.
pub type Nanos = u64;

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// The same number, for indexing.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

key!(
    /// A process of a recording: one program in one process, so an `exec` makes a new one.
    ProcessKey
);
key!(
    /// A thread of a recording.
    ThreadKey
);
key!(
    /// A GIL of a recording.
    GilKey
);
key!(
    /// A place in Python code.
    FrameKey
);

/// One thing that was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// The recording began; the first record of all.
    Began(Began),
    /// A process, found or described anew.
    Process(Process),
    /// A process ended, or became another program.
    ProcessEnded {
        /// Which.
        process: ProcessKey,
        /// When it was seen to be gone.
        at: Nanos,
    },
    /// A GIL, found or described anew.
    Gil(Gil),
    /// A thread, found or described anew.
    Thread(Thread),
    /// A thread ended.
    ThreadEnded {
        /// Which.
        thread: ThreadKey,
        /// When it was seen to be gone.
        at: Nanos,
    },
    /// What a thread did for a while.
    Span(Span),
    /// Who had a GIL for a while.
    Hold(Hold),
    /// A figure at a moment.
    Count(Count),
    /// A place in Python code.
    Frame(Frame),
    /// The Python calls a thread was in.
    Stack(Stack),
    /// The native calls of a thread that kept the GIL.
    Shot(Shot),
    /// A task of plait's that a thread ran.
    Task(Task),
    /// Nobody looked for a while.
    Gap(Gap),
    /// Something the reader should know of how this was recorded.
    Note(Note),
    /// The recording ended in good order; the last record of all.
    Ended(Ended),
}

/// How the recording began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Began {
    /// Nanoseconds since 1970, UTC.
    pub unix: u64,
    /// `CLOCK_MONOTONIC` at that moment, for programs that keep times of their own.
    pub monotonic: Nanos,
    /// The version of plait that recorded.
    pub plait: String,
    /// What was recorded, as the user wrote it: a command, or `PID 1234`, or `this program`.
    pub what: String,
    /// The process at the root of what was watched.
    pub root: u32,
    /// The time between two looks that was asked for.
    pub period: Nanos,
    /// Processors of the machine that are switched on.
    pub processors: u32,
}

/// How closely the threads of a process can be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sight {
    /// Who has the GIL, who waits for it, and what the kernel says of each thread.
    Gil,
    /// A free-threaded Python: which threads are attached, and what the kernel says of each.
    FreeThreaded,
    /// What the kernel says of each thread.
    #[default]
    Kernel,
    /// Nothing but that it is there.
    Nothing,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Its key in this recording.
    pub key: ProcessKey,
    /// Its number, as the observer sees it.
    pub pid: u32,
    /// The process that started it, if that is recorded, too.
    pub parent: Option<ProcessKey>,
    /// When it was found; 0 for those that were there.
    pub found: Nanos,
    /// Its command line, arguments separated by spaces, cut if very long.
    pub command: String,
    /// The version of CPython it runs, as `3.13.1`.
    pub python: Option<String>,
    /// How closely it can be seen.
    pub sight: Sight,
    /// Why no closer, in one line that says what to do; absent where there is nothing to say.
    pub why: Option<String>,
    /// Processors it may run on, by its affinity.
    pub processors: u32,
    /// Processors' worth of time that its control group may use, where that is limited.
    pub quota: Option<f64>,
    /// What it is in a pool of plait's: `plait worker 3`, `plait nursery`.
    pub role: Option<String>,
}

/// A GIL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gil {
    /// Its key in this recording.
    pub key: GilKey,
    /// Whose.
    pub process: ProcessKey,
    /// The ids of the interpreters that share it; the main interpreter is 0.
    pub interpreters: Vec<i64>,
    /// After how many nanoseconds a thread that wants it asks the holder to let go (`sys.getswitchinterval`).
    pub interval: Nanos,
}

/// A thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Its key in this recording.
    pub key: ThreadKey,
    /// Whose.
    pub process: ProcessKey,
    /// Its number in the kernel, as the observer sees it; the main thread has that of its process.
    pub tid: u32,
    /// Its name in the kernel, which Python sets from 3.14 on; for the main thread the program's.
    pub name: String,
    /// The id of the interpreter it belongs to; absent for threads that no Python knows.
    pub interpreter: Option<i64>,
    /// When it was found; 0 for those that were there.
    pub found: Nanos,
}

/// What a thread did for a while. Spans of one thread follow each other and do not overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Which.
    pub thread: ThreadKey,
    /// The first moment.
    pub from: Nanos,
    /// The first moment after it.
    pub to: Nanos,
    /// What it did.
    pub state: State,
    /// The number of the system call that it slept in, if it slept.
    pub call: Option<u16>,
}

/// Who had a GIL for a while. Between two holds it was free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Which.
    pub gil: GilKey,
    /// The first moment.
    pub from: Nanos,
    /// The first moment after it.
    pub to: Nanos,
    /// Who; absent where it cannot be told.
    pub thread: Option<ThreadKey>,
}

/// What a figure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Subject {
    /// The whole machine.
    Machine,
    /// One process.
    Process(ProcessKey),
    /// One thread.
    Thread(ThreadKey),
    /// One GIL.
    Gil(GilKey),
}

/// What a figure counts. All of them only grow; what matters is the difference of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Times that a GIL went from one thread to another.
    Switches,
    /// Nanoseconds of processor time used.
    CpuTime,
    /// Nanoseconds of waiting for a processor while able to run.
    RunDelay,
    /// Periods of a control group in which it could have been throttled.
    QuotaPeriods,
    /// Periods of a control group in which it was throttled.
    ThrottledPeriods,
    /// Nanoseconds for which a control group was throttled.
    ThrottledTime,
    /// Nanoseconds in which some task of the machine waited for a processor (pressure stall information).
    Pressure,
}

/// A figure at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Of what.
    pub of: Subject,
    /// Which.
    pub kind: Kind,
    /// When it was read.
    pub at: Nanos,
    /// What it was.
    pub value: u64,
}

/// A place in Python code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// Its key in this recording.
    pub key: FrameKey,
    /// The function's qualified name.
    pub function: String,
    /// The file, as Python knows it.
    pub file: String,
    /// The line that was running, counted from 1; 0 where it cannot be told.
    pub line: u32,
}

/// The Python calls a thread was in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// Which.
    pub thread: ThreadKey,
    /// When.
    pub at: Nanos,
    /// The innermost first.
    pub frames: Vec<FrameKey>,
}

/// The native calls of a thread that kept the GIL, taken by stopping that one thread for a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shot {
    /// Which.
    pub thread: ThreadKey,
    /// When.
    pub at: Nanos,
    /// The C function that Python called and that did not let go; absent where no symbol names it.
    pub function: Option<String>,
    /// The native calls, the innermost first, down to the interpreter's own.
    pub natives: Vec<String>,
    /// The Python calls, the innermost first.
    pub frames: Vec<FrameKey>,
    /// For how long the thread was stopped.
    pub pause: Nanos,
}

/// A task of plait's that a thread ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Which.
    pub thread: ThreadKey,
    /// When it was first seen there, or began, where that is known.
    pub from: Nanos,
    /// When it was last seen there, or ended, where that is known.
    pub to: Nanos,
    /// The function.
    pub name: String,
    /// The number of the task in its pool.
    pub id: u64,
}

/// Nobody looked for a while: the observer got no processor, or was busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The last moment at which somebody looked.
    pub from: Nanos,
    /// The next one.
    pub to: Nanos,
}

/// Something the reader should know of how this was recorded: what is missing and how to get it, which method gave a
/// signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What it is about; absent where it is about all.
    pub process: Option<ProcessKey>,
    /// One line.
    pub text: String,
}

/// What was not recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Stacks that changed while they were read.
    pub stacks: u64,
    /// Looks at a process that failed while it lived.
    pub looks: u64,
    /// Native stacks that could not be taken.
    pub shots: u64,
    /// Threads that could not be watched for want of file descriptors.
    pub threads: u64,
    /// Records that could not be kept, as the disk or the memory for them was full.
    pub records: u64,
}

/// How the recording ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: Nanos,
    /// Looks that count.
    pub looks: u64,
    /// Looks that came too late to count.
    pub late: u64,
    /// By how much half of the looks came late, at most.
    pub lateness_p50: Nanos,
    /// By how much 99 of 100 looks came late, at most.
    pub lateness_p99: Nanos,
    /// Processor time of the observer.
    pub cost: Nanos,
    /// What is missing.
    pub dropped: Dropped,
}
