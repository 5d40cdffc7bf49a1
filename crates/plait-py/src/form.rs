//! What a worker does with a payload.

/// Calls the function of the message with the encoded arguments.
pub const CALL: u8 = 0;
/// The first encoded argument is the function.
pub const DIRECT: u8 = 1;
/// Calls the function once per item of the encoded chunk.
pub const CHUNK: u8 = 2;
/// The same, with the function first in the encoded chunk's own list.
pub const STAR_CHUNK: u8 = 3;
/// A bit of any of them: the payload begins with what goes of the submitter's context; see [`crate::context`].
pub const IN_CONTEXT: u8 = 0x80;
