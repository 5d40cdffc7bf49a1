//! Being woken in time on a busy machine.
//!
//! From Linux 6.12 on a thread may say how long a slice of processor time it wants. Who wants little at a time gets it
//! sooner: an observer that looks for some 50 µs is put before threads that compute, and takes no more of the processor for
//! that. It takes no privilege. Older kernels do not heed it.

/// The shortest slice that Linux grants.
const SLICE: u64 = 100_000;

/// `struct sched_attr` as it first was (`SCHED_ATTR_SIZE_VER0`).
#[repr(C)]
#[derive(Debug, Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Asks for short slices for the thread that calls it, if it is scheduled like most are; whether the kernel has taken it.
pub(crate) fn ask_for_short_slices() -> bool {
    let size = size_of::<Attributes>() as libc::c_uint;
    let mut attributes = Attributes::default();
    // SAFETY: the kernel writes no more than `size` bytes, which the structure has, and they are numbers of any value.
    let told = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) } == 0;
    if !told || attributes.policy != libc::SCHED_OTHER as u32 {
        return false;
    }
    attributes.runtime = SLICE;
    // SAFETY: the kernel reads as many bytes as the structure's first word says, which the call before has set to no more than
    // it has; it is for this thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Attributes {
        let mut attributes = Attributes::default();
        let size = size_of::<Attributes>() as libc::c_uint;
        // SAFETY: as above.
        let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
        attributes
    }

    #[test]
    fn nothing_but_the_slice_changes() {
        let before = now();
        // Of a test run that only has time that nobody wants, or is promised some, nothing is changed.
        assert_eq!(ask_for_short_slices(), before.policy == libc::SCHED_OTHER as u32);
        let after = now();
        assert_eq!((after.policy, after.nice, after.priority), (before.policy, before.nice, before.priority));
        // What kernels tell that know of no slices is 0.
        assert!([SLICE, 0, before.runtime].contains(&after.runtime), "{after:?}");
    }
}
