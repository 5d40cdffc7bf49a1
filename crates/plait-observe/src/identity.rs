//! Which program of which process: a process number is used again after a process ended, and a process keeps its number
//! when it runs another program.
//!
//! Read from `/proc/PID/stat`, which also tells parent, state and the CPU time of reaped children.

use std::fs;

use crate::Pid;

/// Bytes of a command line that are kept.
const LONGEST_COMMAND: usize = 500;

/// What `/proc/PID/stat` says, as far as it is needed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// `R`, `S`, `D`, `Z` and so on.
    pub state: u8,
    /// The parent.
    pub parent: Pid,
    /// CPU time of children that were waited for, and of theirs, in clock ticks.
    pub reaped_ticks: u64,
    /// Tells this program from any other that had, has or will have this process number.
    pub identity: Identity,
}

/// Tells one program in one process from all others on this machine.
///
/// The moment the process began, and the places of its code and stack, which the kernel draws anew for each program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub started: u64,
    code: u64,
    stack: u64,
}

impl Identity {
    /// Whether the program is there: in the midst of an `exec` its memory is, but nothing in it.
    pub fn is_there(&self) -> bool {
        self.code != 0
    }

    /// Whether the places are kept from us: those of another user's program, and for a moment those of a child of one that
    /// has changed its user.
    pub fn is_hidden(&self) -> bool {
        self.code == 1 && self.stack == 0
    }

    /// Whether both may be of the same program.
    pub fn may_be(&self, other: &Self) -> bool {
        self == other || self.started == other.started && (self.is_hidden() || other.is_hidden())
    }
}

impl Stat {
    /// Of the process `pid`; `None` when there is none.
    pub fn of(pid: Pid) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Of one thread of `pid`.
    pub fn of_thread(pid: Pid, tid: Pid) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        // The program's name stands in parentheses, may hold any byte, and so ends at the last of them.
        let after_name = text.iter().rposition(|&byte| byte == b')')? + 1;
        let rest = std::str::from_utf8(text.get(after_name..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // proc(5) counts from 1, with the number and the name before these.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |at: usize| field(at)?.parse::<u64>().ok();
        Some(Self {
            state: *field(3)?.as_bytes().first()?,
            parent: field(4)?.parse().ok()?,
            reaped_ticks: number(16)? + number(17)?,
            identity: Identity { started: number(22)?, code: number(26)?, stack: number(28)? },
        })
    }
}

/// The command line, or the program's name where there is none.
pub(crate) fn command_of(pid: Pid) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<String> = line
        .split(|&byte| byte == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .filter(|word| !word.is_empty())
        .collect();
    let mut command = if words.is_empty() {
        fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
    } else {
        words.join(" ")
    };
    if command.len() > LONGEST_COMMAND {
        let end = (0..=LONGEST_COMMAND).rev().find(|&end| command.is_char_boundary(end)).unwrap_or(0);
        command.truncate(end);
        command.push('…');
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let text =
            b"7 (a) R 1 (b) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 5555 100 200 300 4096 8192 12288 0";
        let stat = Stat::parse(text).expect("parses");
        assert_eq!((stat.state, stat.parent, stat.reaped_ticks), (b'S', 3, 70));
        assert_eq!(stat.identity, Identity { started: 5555, code: 4096, stack: 12288 });
        assert_eq!(Stat::parse(b"7 (cut"), None);
        assert_eq!(Stat::parse(b"7 (cut) S 3 7"), None);
    }

    #[test]
    fn a_program_whose_places_are_hidden_may_be_any_that_began_then() {
        let of = |started, code, stack| Identity { started, code, stack };
        let (hidden, shown) = (of(5, 1, 0), of(5, 4096, 12288));
        assert!(hidden.may_be(&shown) && shown.may_be(&hidden) && shown.may_be(&shown));
        assert!(!shown.may_be(&of(5, 4096, 8192)), "another program in the same process");
        assert!(!hidden.may_be(&of(6, 4096, 12288)), "another process");
        assert!(shown.is_there() && hidden.is_there() && !of(5, 0, 12288).is_there());
    }

    #[test]
    fn this_process_is_found_and_a_dead_number_is_not() {
        let own = Stat::of(std::process::id()).expect("this process lives");
        assert_eq!(Some(own.parent), rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get() as Pid));
        assert_eq!(Stat::of(Pid::MAX), None);
    }
}
