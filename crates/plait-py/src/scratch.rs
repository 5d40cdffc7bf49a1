//! A message per thread, so that submitting allocates nothing for the bytes on their way out.

use std::cell::Cell;

use crate::codec::Message;

/// A buffer larger than this is not kept.
const KEEP: usize = 1 << 20;

thread_local! {
    static BYTES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `use_it` with an empty message, which takes nothing but bytes. It may come back to here (pickling runs foreign code);
/// then it gets another. What the message refers to is let go at the end.
pub fn with_message<R>(use_it: impl FnOnce(&mut Message) -> R) -> R {
    let mut message = Message { bytes: BYTES.take(), ..Message::default() };
    message.bytes.clear();
    let result = use_it(&mut message);
    let bytes = std::mem::take(&mut message.bytes);
    if bytes.capacity() <= KEEP {
        BYTES.set(bytes);
    }
    result
}
