//! The observer that looks at a process tree and writes down what it sees.
