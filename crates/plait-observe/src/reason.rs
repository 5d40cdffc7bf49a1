//! Why a process could not be watched. Each reason reads as one line that names the remedy where there is one.

use std::io;

use crate::{Pid, Version};

/// Why the GIL of a process, or of a process tree, cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The process ended, or never was.
    #[error("process {pid} has ended")]
    Gone {
        /// The process.
        pid: Pid,
    },
    /// Neither its executable nor a libpython in it is CPython.
    #[error("process {pid} is not a CPython program: no _PyRuntime in its executable nor in a libpython")]
    NotPython {
        /// The process.
        pid: Pid,
    },
    /// The kernel refuses to let us look.
    #[error(
        "process {pid} may not be looked into: run as its owner, and as its parent where \
         kernel.yama.ptrace_scope is 1, or as root"
    )]
    Denied {
        /// The process.
        pid: Pid,
    },
    /// A CPython from before 3.11, which does not tell its version.
    #[error("process {pid} runs a CPython older than 3.11, and the place of the GIL is known for 3.11 to 3.15 only")]
    TooOld {
        /// The process.
        pid: Pid,
    },
    /// A CPython whose layout is not known.
    #[error("process {pid} runs CPython {version}, and the place of the GIL is known for 3.11 to 3.15 only")]
    Unsupported {
        /// The process.
        pid: Pid,
        /// What it runs.
        version: Version,
    },
    /// A machine or C library on which GIL waits cannot be told from other waits.
    #[error("GIL waits of process {pid} can be told apart on x86-64 with glibc only")]
    Platform {
        /// The process.
        pid: Pid,
    },
    /// A free-threaded build runs without a GIL.
    #[error("process {pid} runs free-threaded CPython {version}: there is no GIL to wait for")]
    NoGil {
        /// The process.
        pid: Pid,
        /// What it runs.
        version: Version,
    },
    /// A free-threaded build that was started with, or fell back to, a GIL; its layout is another one.
    #[error("process {pid} runs free-threaded CPython {version} with its GIL switched on, which is not read yet")]
    GilSwitchedOn {
        /// The process.
        pid: Pid,
        /// What it runs.
        version: Version,
    },
    /// The interpreter is still being set up, or torn down.
    #[error("the interpreter of process {pid} has not finished starting")]
    NotReady {
        /// The process.
        pid: Pid,
    },
    /// What lies where the GIL should be does not look like one.
    #[error("process {pid} says it is CPython {version}, but {what}: refused rather than guessed")]
    Unrecognised {
        /// The process.
        pid: Pid,
        /// What it says it runs.
        version: Version,
        /// What was not as expected.
        what: &'static str,
    },
    /// A file of `/proc` or the program's own file could not be read.
    #[error("{what} of process {pid} cannot be read: {kind}")]
    Unreadable {
        /// The process.
        pid: Pid,
        /// What was being read.
        what: &'static str,
        /// What the kernel answered.
        kind: io::ErrorKind,
    },
    /// Watched for too short a time to state a share.
    #[error("watched for {ticks} samples only: too few to tell; give it more work")]
    TooFewSamples {
        /// How many samples there are.
        ticks: u64,
    },
}

impl Reason {
    /// Sorts what went wrong while reading `what` of `pid`.
    pub(crate) fn of_io(pid: Pid, what: &'static str, error: &io::Error) -> Self {
        const ESRCH: i32 = 3;
        match error.kind() {
            // End of file is what the memory of a process gives after it ended or ran another program.
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => Self::Gone { pid },
            io::ErrorKind::PermissionDenied => Self::Denied { pid },
            _ if error.raw_os_error() == Some(ESRCH) => Self::Gone { pid },
            kind => Self::Unreadable { pid, what, kind },
        }
    }

    /// Whether looking again a little later may succeed.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::NotReady { .. } | Self::Unrecognised { .. } | Self::Unreadable { .. })
    }

    /// How much a reader learns from it: of all reasons found in a tree, the highest is the one to show.
    pub(crate) fn weight(&self) -> u8 {
        match self {
            Self::Gone { .. } => 0,
            Self::NotPython { .. } => 1,
            Self::NotReady { .. } => 2,
            Self::TooFewSamples { .. } => 3,
            Self::Unreadable { .. } => 4,
            Self::NoGil { .. } => 5,
            Self::GilSwitchedOn { .. } => 6,
            Self::Platform { .. } => 7,
            Self::TooOld { .. } | Self::Unsupported { .. } => 8,
            Self::Unrecognised { .. } => 9,
            Self::Denied { .. } => 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_answers_become_reasons() {
        let of = |code| Reason::of_io(7, "memory", &io::Error::from_raw_os_error(code));
        assert_eq!(of(2), Reason::Gone { pid: 7 });
        assert_eq!(of(3), Reason::Gone { pid: 7 });
        assert_eq!(of(1), Reason::Denied { pid: 7 });
        assert_eq!(of(13), Reason::Denied { pid: 7 });
        assert!(matches!(of(5), Reason::Unreadable { pid: 7, what: "memory", .. }));
    }

    #[test]
    fn a_reason_reads_as_one_line() {
        let text = Reason::Unsupported { pid: 7, version: Version { major: 3, minor: 16, micro: 0 } }.to_string();
        assert_eq!(text, "process 7 runs CPython 3.16.0, and the place of the GIL is known for 3.11 to 3.15 only");
        assert!(!Reason::Denied { pid: 7 }.to_string().contains("  "));
    }
}
