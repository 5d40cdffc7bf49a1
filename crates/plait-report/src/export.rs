//! A recording in the forms that other programs read.
