//! The native calls of one thread, which is stopped for a moment.
