//! The last seconds of a program that is watched, drawn in a terminal.
