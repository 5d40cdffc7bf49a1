//! What the chooser is told: figures of measured calls, limits of the machine, and what the user has settled. They come
//! from Python as JSON with these names; what is absent or null is not known.

use serde::{Deserialize, Deserializer, Serialize};

use super::answer::Backend;

/// A number that may be null, which is kept as "not a number".
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(f64::NAN))
}

const fn unknown() -> f64 {
    f64::NAN
}

const fn yes() -> bool {
    true
}

/// A count that Python may have as a float, and that may be null.
fn count<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    // A cast saturates, and of no number it makes none.
    Ok(Option::<f64>::deserialize(from)?.unwrap_or(0.0) as u64)
}

/// What measured calls were like. All times are seconds, means of one call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Calls that were measured to their end.
    #[serde(default, deserialize_with = "count")]
    pub calls: u64,
    /// Whether the figures include a call that still runs.
    #[serde(default)]
    pub unfinished: bool,
    /// Items yet to be called.
    #[serde(default)]
    pub remaining: Option<u64>,
    /// From begin to end.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub wall: f64,
    /// The longest call.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub longest: f64,
    /// On a processor, of the calling thread.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub cpu: f64,
    /// Ready to run, without a processor: other programs had them.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub delay: f64,
    /// Holding the GIL.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub held: f64,
    /// Waiting for the GIL.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub wanted: f64,
    /// How often it gave the processor away by itself: once at least for everything it waited for.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub switches: f64,
    /// Processors that other threads of this process used meanwhile.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub native: f64,
    /// Bytes by which the process grew over all measured calls.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub memory: f64,
    /// Whether this build of Python has a GIL in use.
    #[serde(default = "yes")]
    pub gil: bool,
    /// Whether function and arguments can be sent to another process.
    #[serde(default)]
    pub sendable: Option<bool>,
    /// If not, why.
    #[serde(default)]
    pub why_not: Option<String>,
    /// Bytes of arguments and result in their pickles.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub sent_bytes: f64,
    /// Bytes beside the pickles.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub buffer_bytes: f64,
    /// To pickle arguments and result; unpickling them is thought to take as long.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub pickle: f64,
    /// What state the calls were seen to share with the program.
    #[serde(default)]
    pub shares_state: Option<String>,
    /// What the user said about that.
    #[serde(default)]
    pub task: Option<bool>,
    /// Threads that an earlier run of the same function came to.
    #[serde(default)]
    pub width: Option<u64>,
    /// The backend that an earlier run of the same function was moved to.
    #[serde(default)]
    pub settled: Option<Backend>,
    /// What threads reached in this run.
    #[serde(default)]
    pub threads_tried: Option<Tried>,
    /// What processes reached in this run.
    #[serde(default)]
    pub processes_tried: Option<Tried>,
    /// What interpreters reached in this run.
    #[serde(default)]
    pub interpreters_tried: Option<Tried>,
    /// Why the calls cannot be made in interpreters of their own, as far as that was looked at.
    #[serde(default)]
    pub unloadable: Option<String>,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            calls: 0,
            unfinished: false,
            remaining: None,
            wall: f64::NAN,
            longest: f64::NAN,
            cpu: f64::NAN,
            delay: f64::NAN,
            held: f64::NAN,
            wanted: f64::NAN,
            switches: f64::NAN,
            native: f64::NAN,
            memory: f64::NAN,
            gil: true,
            sendable: None,
            why_not: None,
            sent_bytes: f64::NAN,
            buffer_bytes: f64::NAN,
            pickle: f64::NAN,
            shares_state: None,
            task: None,
            width: None,
            settled: None,
            threads_tried: None,
            processes_tried: None,
            interpreters_tried: None,
            unloadable: None,
        }
    }
}

/// What a backend reached while all its workers were busy.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Tried {
    /// How many workers it had.
    pub workers: usize,
    /// Calls finished in a second.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub rate: f64,
    /// The share of its time that a worker was on a processor, a mean.
    #[serde(default = "unknown", deserialize_with = "number")]
    pub cpu_share: f64,
}

/// Whether a pool is at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// Nothing has been started yet.
    #[default]
    Cold,
    /// There is one from before.
    Warm,
}

/// The limits of the machine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Processors that this process may really use.
    pub cpus: usize,
    /// Physical cores among them; `None`: each processor is one.
    #[serde(default)]
    pub physical: Option<usize>,
    /// Bytes of memory that are free to be used; `None`: enough.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Threads to call on.
    #[serde(default)]
    pub thread_pool: Pool,
    /// Worker processes.
    #[serde(default)]
    pub process_pool: Pool,
    /// Interpreters within this process; `None`: this Python has none, or they may not have these calls.
    #[serde(default)]
    pub interpreters: Option<Pool>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            cpus: 1,
            physical: None,
            memory: None,
            thread_pool: Pool::Cold,
            process_pool: Pool::Cold,
            interpreters: None,
        }
    }
}

/// What the user has settled.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Bounds {
    /// The backends there may be; `None` or none at all: any.
    #[serde(default)]
    pub backends: Option<Vec<Backend>>,
    /// Why the others may not be, for the reasons.
    #[serde(default)]
    pub why: Option<String>,
    /// Workers of threads and processes alike.
    #[serde(default)]
    pub workers: Option<usize>,
    /// Items to a chunk.
    #[serde(default)]
    pub chunksize: Option<u64>,
}

impl Bounds {
    /// Whether the user left this backend open.
    pub fn allows(&self, backend: Backend) -> bool {
        self.backends.as_ref().is_none_or(|open| open.is_empty() || open.contains(&backend))
    }
}
