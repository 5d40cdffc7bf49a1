//! Lanes drawn in text: what looks saw above, what becomes of it below.

mod cost;
mod edges;
mod holders;
mod others;
mod properties;
mod stage;
