//! How much shared memory may be in use at one time, and what to do when more is asked for. Pure: figures in, a decision out;
//! `gate` is the place to wait that stands around it.
//!
//! Two accounts fill the budget: what is **in flight** (arguments and results on their way, whose memory comes back by
//! itself when tasks end) and what the program **keeps** (shared arrays, results that it holds). The first can be waited
//! for, the second cannot. So:
//! - What fits into the budget goes.
//! - What does not fit waits for what is in flight.
//! - When nothing is in flight there is nothing to wait for, and it goes alone, also if it is larger than the budget, as
//!   long as the machine has room for it. If not, the answer is an error with figures, never a wait without an end.
//! - A budget that somebody set is kept to: once the program itself fills it, nothing more goes. The default is only a
//!   guess of what is moderate: there, what the program keeps always leaves some of it to what is in flight.

use std::env;
use std::ffi::OsStr;
use std::fmt;

use crate::machine::{Allowance, memory_allowance};

mod gate;

pub use gate::{Gate, NotNow, Permit, Seen, Turn};

/// The environment variable that sets the budget.
pub const VARIABLE: &str = "PLAIT_MEMORY_BUDGET";

/// The default is this part of what the process may use.
const DEFAULT_PART: u64 = 4;

/// This part of what is available stays so: the figures are estimates, and whoever takes the last page is killed.
const SPARE_PART: u64 = 16;

/// However much the program keeps, a default budget leaves this part of itself to what is in flight.
const FLIGHT_PART: u64 = 4;

/// Below this part of what the process may use, memory is short, and no free block is kept.
const SHORT_PART: u64 = 10;

/// How much shared memory may be in use at one time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Budget {
    /// In bytes, at least 1.
    pub limit: u64,
    /// Whether somebody set it.
    pub is_set: bool,
    /// What the process may use.
    pub allowance: Allowance,
}

/// `PLAIT_MEMORY_BUDGET` has a value that is no size.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{VARIABLE} must be a number of bytes or a text such as \"1.5GiB\", not {0:?}")]
pub struct NoSize(pub String);

/// What the program itself keeps of the shared memory.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Kept {
    /// How much it is.
    pub bytes: u64,
    /// Of how many objects.
    pub objects: u64,
}

/// What to do with a wish for memory.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Decision {
    /// There is room.
    Take,
    /// There will be room when what is in flight has come back, or it will be known that there never is.
    Wait,
    /// Waiting does not help.
    Never(Never),
}

/// Why waiting does not help, and what does.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Never {
    /// The machine, or the part of it that this process may use, has no room.
    #[error(
        "no memory for {}: {} can be taken now, and this process may use {}{}; {}send the data in parts, or allow the \
         process more memory", Size(*.asked), Size(*.available), Limit(.allowance), Keeps(*.kept), Remedy(*.kept)
    )]
    NoRoom {
        /// The bytes asked for.
        asked: u64,
        /// The bytes that could be taken, or would come back.
        available: u64,
        /// What the program itself keeps.
        kept: Kept,
        /// What the process may use.
        allowance: Allowance,
    },
    /// The program itself fills the budget that was set.
    #[error(
        "no memory for {}: the budget of {} is filled{}; drop some of them, or raise {VARIABLE}",
        Size(*.asked), Size(*.limit), Keeps(*.kept)
    )]
    Filled {
        /// The bytes asked for.
        asked: u64,
        /// The budget.
        limit: u64,
        /// What the program itself keeps.
        kept: Kept,
    },
}

impl Budget {
    /// Of this process: as `PLAIT_MEMORY_BUDGET` says, or a quarter of what it may use.
    pub fn of_this_process() -> Result<Self, NoSize> {
        Self::new(memory_allowance(), env::var_os(VARIABLE).as_deref())
    }

    /// With this value of the variable; empty is as if it were not set.
    pub fn new(allowance: Allowance, variable: Option<&OsStr>) -> Result<Self, NoSize> {
        let text = variable.unwrap_or_default().to_string_lossy();
        if text.trim().is_empty() {
            return Ok(Self { limit: (allowance.bytes / DEFAULT_PART).max(1), is_set: false, allowance });
        }
        let limit = parse_size(&text).ok_or_else(|| NoSize(text.into_owned()))?;
        Ok(Self { limit, is_set: true, allowance })
    }

    /// What to do if `asked` bytes are to go while so much is in flight and kept, and so much could be taken from the system.
    /// Never `Wait` if nothing is in flight.
    pub fn decide(&self, asked: u64, in_flight: u64, kept: Kept, available: u64) -> Decision {
        let takeable = takeable(available);
        let mut room = self.limit.saturating_sub(kept.bytes);
        if !self.is_set {
            room = room.max((self.limit / FLIGHT_PART).min(takeable / 2));
        }
        let fits = in_flight.saturating_add(asked) <= room;
        if fits && asked <= takeable {
            return Decision::Take;
        }
        let will_fit = takeable.saturating_add(in_flight);
        if asked > will_fit {
            return Decision::Never(self.no_room(asked, will_fit, kept));
        }
        if in_flight > 0 {
            return Decision::Wait;
        }
        if self.is_set && kept.bytes >= self.limit {
            return Decision::Never(Never::Filled { asked, limit: self.limit, kept });
        }
        Decision::Take
    }

    /// Whether the program can have `asked` bytes to keep. No budget forbids it: the program asked for that very memory.
    pub fn decide_kept(&self, asked: u64, kept: Kept, available: u64) -> Result<(), Never> {
        let takeable = takeable(available);
        if asked > takeable { Err(self.no_room(asked, takeable, kept)) } else { Ok(()) }
    }

    /// How many bytes of free blocks may stay as they are, for the next ones to be fast, while `used` are in use (in flight and
    /// kept).
    pub fn keep_warm(&self, used: u64, available: u64) -> u64 {
        if available < self.allowance.bytes / SHORT_PART {
            return 0;
        }
        self.limit.saturating_sub(used).min(self.limit / 2)
    }

    fn no_room(&self, asked: u64, available: u64, kept: Kept) -> Never {
        Never::NoRoom { asked, available, kept, allowance: self.allowance.clone() }
    }
}

fn takeable(available: u64) -> u64 {
    available - available / SPARE_PART
}

/// A size such as `500 MB`, `1.5GiB`, `4096`: a decimal number and a unit, powers of 1000 or (with an `i`) of 1024, in upper
/// or lower case. As the sizes that Python callers give.
fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim().to_lowercase();
    let digits = text.trim_end_matches(|letter| "kmgtib \t".contains(letter));
    let unit: u64 = match text[digits.len()..].trim() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000_u64.pow(2),
        "g" | "gb" => 1000_u64.pow(3),
        "t" | "tb" => 1000_u64.pow(4),
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    };
    // An underscore may stand between two digits.
    let is_digit = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_digit());
    let mut parts = digits.split('_').peekable();
    let mut number = String::with_capacity(digits.len());
    while let Some(part) = parts.next() {
        let ends_well = parts.peek().is_none_or(|next| is_digit(part.chars().last()) && is_digit(next.chars().next()));
        if !ends_well {
            return None;
        }
        number.push_str(part);
    }
    let bytes = number.parse::<f64>().ok()? * unit as f64;
    // The cast drops the fraction. A power would be of no certain precision.
    (1.0..(1_u64 << 63) as f64).contains(&bytes).then_some(bytes as u64)
}

/// A size as people read it.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 {
            return write!(f, "{} bytes", self.0);
        }
        let (mut value, mut unit) = (self.0 as f64 / 1024.0, "KiB");
        for next in ["MiB", "GiB", "TiB"] {
            // What would be written as 1024.0 is one of the next unit.
            if value < 1023.95 {
                break;
            }
            (value, unit) = (value / 1024.0, next);
        }
        write!(f, "{value:.1} {unit}")
    }
}

/// Reads after "may use".
struct Limit<'a>(&'a Allowance);

impl fmt::Display for Limit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (the limit is {})", Size(self.0.bytes), self.0.why)
    }
}

struct Keeps(Kept);

impl fmt::Display for Keeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kept { bytes, objects } = self.0;
        match objects {
            0 => Ok(()),
            1 => write!(f, ", the program itself keeps {} in 1 object (a shared array or a result)", Size(bytes)),
            _ => write!(f, ", the program itself keeps {} in {objects} objects (shared arrays, results)", Size(bytes)),
        }
    }
}

/// The remedy, if the program keeps something.
struct Remedy(Kept);

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.objects == 0 { Ok(()) } else { f.write_str("drop some of what it keeps, ") }
    }
}

#[cfg(test)]
mod tests;
