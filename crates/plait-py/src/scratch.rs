//! A buffer per thread for messages on their way out, so that submitting allocates nothing for them.

use std::cell::Cell;

/// A buffer larger than this is not kept.
const KEEP: usize = 1 << 20;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `use_it` with an empty buffer. It may come back to here (pickling runs foreign code); then it gets another.
pub fn with_buffer<R>(use_it: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let mut buffer = BUFFER.take();
    buffer.clear();
    let result = use_it(&mut buffer);
    if buffer.capacity() <= KEEP {
        BUFFER.set(buffer);
    }
    result
}
