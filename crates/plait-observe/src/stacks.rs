//! The Python calls of a thread, read from outside.
