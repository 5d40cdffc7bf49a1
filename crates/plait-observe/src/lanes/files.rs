//! What the kernel says of one thread, through files of `/proc` that stay open.
//!
//! A read of `syscall` takes about 0.9 µs, of `schedstat` 0.4 µs; to open them for each look would be three times that. The
//! files stand for the thread itself: once it has ended they give errors, never the words of another thread that got
//! its number.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use rustix::fs::{CWD, readlinkat_raw};
use rustix::io::Errno;

use super::calls::{self, RESTART};
use super::seen::{Call, Sched, Target};
use crate::Pid;

/// For how many looks a descriptor is taken to be what it was: it may be closed and its number used again.
const TRUSTED_LOOKS: u32 = 32;
/// Descriptors that are remembered: a thread goes back and forth between a few.
const REMEMBERED: usize = 4;

/// The open files of one thread.
#[derive(Debug)]
pub(crate) struct ThreadFiles {
    pid: Pid,
    tid: Pid,
    syscall: File,
    /// Opened when it is first asked for: of most idle threads it never is.
    schedstat: Option<File>,
    /// The call it slept in last, and its first argument.
    last: (u16, u64),
    known: [Known; REMEMBERED],
    /// Whose place in `known` is taken next.
    next: usize,
}

/// What a descriptor was when last asked.
#[derive(Clone, Copy, Debug)]
struct Known {
    number: u16,
    descriptor: u64,
    target: Target,
    looks_left: u32,
}

/// A line of `syscall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Running,
    Outside,
    /// There is no thread any more, only its remains: a main thread that ended before the others.
    Ended,
    In {
        number: u16,
        first: u64,
    },
}

impl ThreadFiles {
    /// Opens the files of thread `tid` of process `pid`.
    ///
    /// # Errors
    /// When there is no such thread, when it may not be looked at, or when there are no file descriptors left.
    pub fn open(pid: Pid, tid: Pid) -> io::Result<Self> {
        let syscall = File::open(format!("/proc/{pid}/task/{tid}/syscall"))?;
        let known = Known { number: 0, descriptor: 0, target: Target::None, looks_left: 0 };
        let mut files =
            Self { pid, tid, syscall, schedstat: None, last: (RESTART, 0), known: [known; REMEMBERED], next: 0 };
        // Whether we may look is asked at each read, not when the file is opened.
        files.call()?;
        Ok(files)
    }

    /// What the thread does.
    ///
    /// # Errors
    /// When it has ended (`ESRCH`), or may no longer be looked at.
    pub fn call(&mut self) -> io::Result<Call> {
        let mut buffer = [0; 192];
        let length = self.syscall.read_at(&mut buffer, 0)?;
        match line(&buffer[..length]).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))? {
            Line::Running => Ok(Call::Running),
            Line::Outside => Ok(Call::Outside),
            Line::Ended => Err(Errno::SRCH.into()),
            Line::In { mut number, first } => {
                if number == RESTART && first == self.last.1 {
                    number = self.last.0;
                }
                self.last = (number, first);
                let target = if calls::takes_descriptor(number) { self.target(number, first) } else { Target::None };
                Ok(Call::In { number, first, target })
            }
        }
    }

    /// The thread's processor time so far.
    ///
    /// # Errors
    /// When it has ended, or when this kernel keeps no account of it.
    pub fn sched(&mut self) -> io::Result<Sched> {
        let file = match &mut self.schedstat {
            Some(file) => file,
            none => none.insert(File::open(format!("/proc/{}/task/{}/schedstat", self.pid, self.tid))?),
        };
        let mut buffer = [0; 96];
        let length = file.read_at(&mut buffer, 0)?;
        let (sched, turns) = sched(&buffer[..length]).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        // A thread that never ran cannot be; a kernel that does not count says so.
        if sched.run == 0 && turns == 0 { Err(io::ErrorKind::Unsupported.into()) } else { Ok(sched) }
    }

    fn target(&mut self, number: u16, descriptor: u64) -> Target {
        let is_it = |known: &&mut Known| (known.number, known.descriptor) == (number, descriptor);
        if let Some(known) = self.known.iter_mut().find(is_it) {
            if known.looks_left == 0 {
                known.target = target_of(self.pid, self.tid, descriptor);
                known.looks_left = TRUSTED_LOOKS;
            }
            known.looks_left -= 1;
            return known.target;
        }
        let target = target_of(self.pid, self.tid, descriptor);
        self.known[self.next] = Known { number, descriptor, target, looks_left: TRUSTED_LOOKS };
        self.next = (self.next + 1) % REMEMBERED;
        target
    }
}

/// What a descriptor of a thread is; [`Target::None`] if it has none of that number.
fn target_of(pid: Pid, tid: Pid, descriptor: u64) -> Target {
    let mut path = [0_u8; 96];
    let room = path.len();
    let mut rest = &mut path[..];
    // The kernel takes the lower half for the number.
    if write!(rest, "/proc/{pid}/task/{tid}/fd/{}", descriptor as u32).is_err() {
        return Target::None;
    }
    let length = room - rest.len();
    let mut link = [0_u8; 32];
    let Ok(length) = readlinkat_raw(CWD, &path[..length], &mut link[..]) else {
        return Target::None;
    };
    match &link[..length] {
        [b'/', ..] => Target::File,
        link if link.starts_with(b"socket:") => Target::Socket,
        link if link.starts_with(b"pipe:") => Target::Pipe,
        _ => Target::Other,
    }
}

/// Reads `running`, or `-1 SP PC` of a thread that is blocked in no call, or the number of the call, its six arguments, SP and
/// PC.
fn line(line: &[u8]) -> Option<Line> {
    if line.starts_with(b"running") {
        return Some(Line::Running);
    }
    let mut words = line.trim_ascii_end().split(|&byte| byte == b' ');
    match words.next()? {
        b"-1" => Some(if hexadecimal(words.next()?)? == 0 { Line::Ended } else { Line::Outside }),
        number => {
            let number = u16::try_from(decimal(number)?).unwrap_or(u16::MAX);
            Some(Line::In { number, first: hexadecimal(words.next()?)? })
        }
    }
}

/// Reads the time a thread ran, the time it waited for a processor, and how often it got one.
fn sched(line: &[u8]) -> Option<(Sched, u64)> {
    let mut words = line.trim_ascii_end().split(|&byte| byte == b' ');
    let run = decimal(words.next()?)?;
    let delay = decimal(words.next()?)?;
    Some((Sched { run, delay }, decimal(words.next()?)?))
}

fn decimal(word: &[u8]) -> Option<u64> {
    number(word, 10)
}

fn hexadecimal(word: &[u8]) -> Option<u64> {
    number(word.strip_prefix(b"0x")?, 16)
}

fn number(digits: &[u8], base: u32) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, &digit| {
        sum.checked_mul(base.into())?.checked_add((digit as char).to_digit(base)?.into())
    })
}

#[cfg(test)]
mod tests;
