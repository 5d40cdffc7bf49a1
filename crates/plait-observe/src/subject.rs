//! A live CPython process: its interpreters, its threads, its GILs, and what they say at a look.
