//! The native form: plain values without pickle, a few tens of nanoseconds for a small call.
//!
//! A value is a tag and its payload, numbers little-endian, lengths `u32`:
//!
//! | tag | value | payload |
//! |---|---|---|
//! | `N` `T` `F` | `None`, `True`, `False` | |
//! | `i` | int that fits `i64` | 8 bytes |
//! | `L` | other int, to 512 bits | length (`u8`), two's complement |
//! | `d` | float | its 8 bytes |
//! | `s` `b` | str (UTF-8), bytes | length, bytes |
//! | `(` `[` `{` | tuple, list, dict | count, values (a dict's as key, value) |
//! | `1` `2` `4` `8` | list of ints, each in so many bytes | count, ints |
//! | `D` | list of floats | count, floats |
//!
//! No tag is `p`, `q`, `P` or `!`: what holds several values marks with them what is none.
//!
//! A call is the number of its arguments (`u8`), their values, then keyword and value in turn up to the end.
//!
//! Only values of exactly these types are written. Refused, and so left to pickle: what is nested deeper than [`DEPTH`], long
//! (strings and mixed containers, see [`LIMIT`]), a list or dict that is met twice (pickle would keep it one object), a
//! str with lone surrogates. On free-threaded builds lists and dicts are refused too: another thread may change
//! them while they are read.

mod read;
mod write;

pub(super) use read::{read_call, read_front, read_value};
pub(super) use write::{write_call, write_chunk, write_value};

/// Containers within containers, the outermost counted.
const DEPTH: u32 = 4;
/// Bytes of one message; past it pickle is as fast, and its memo makes repeated strings small. Lists of numbers are exempt.
const LIMIT: usize = 64 << 10;
/// The same for a chunk, which holds many messages.
const CHUNK_LIMIT: usize = 1 << 20;

mod tag {
    pub const NONE: u8 = b'N';
    pub const TRUE: u8 = b'T';
    pub const FALSE: u8 = b'F';
    pub const INT: u8 = b'i';
    pub const BIG_INT: u8 = b'L';
    pub const FLOAT: u8 = b'd';
    pub const STR: u8 = b's';
    pub const BYTES: u8 = b'b';
    pub const TUPLE: u8 = b'(';
    pub const LIST: u8 = b'[';
    pub const DICT: u8 = b'{';
    pub const INTS_1: u8 = b'1';
    pub const INTS_2: u8 = b'2';
    pub const INTS_4: u8 = b'4';
    pub const INTS_8: u8 = b'8';
    pub const FLOATS: u8 = b'D';
}
