//! Figures of the kernel: processor time, waiting for a processor, throttling, pressure.
