//! The functions that a worker keeps loaded.
//!
//! Promise: they are few enough to bound a loop of lambdas, and what they captured of shared memory is not kept for ever:
//! a function that is given up here is loaded again when it is called again.

use std::collections::{HashMap, VecDeque};

use pyo3::prelude::*;

/// More than any program has at a time.
const MANY: usize = 4096;

/// So many bytes of shared memory may be kept by functions, beside those of the last.
const HEAVY: u64 = 256 << 20;

/// See the file's head. By their numbers.
#[derive(Default)]
pub struct Functions {
    loaded: HashMap<u64, Py<PyAny>>,
    /// Those that keep shared memory, and how much, oldest first.
    heavy: VecDeque<(u64, u64)>,
    weight: u64,
}

impl Functions {
    pub fn get(&self, py: Python<'_>, number: u64) -> Option<Py<PyAny>> {
        self.loaded.get(&number).map(|function| function.clone_ref(py))
    }

    /// Keeps a function, which keeps so many bytes of shared memory.
    pub fn keep(&mut self, number: u64, function: Py<PyAny>, bytes: u64) {
        if self.loaded.len() >= MANY {
            *self = Self::default();
        }
        if bytes > 0 {
            while self.weight > HEAVY
                && let Some((oldest, weight)) = self.heavy.pop_front()
            {
                self.weight -= weight;
                self.loaded.remove(&oldest);
            }
            self.heavy.push_back((number, bytes));
            self.weight += bytes;
        }
        self.loaded.insert(number, function);
    }
}
