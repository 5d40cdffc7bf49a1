//! Tells the crate which Python it is built for, as PyO3's own `cfg`s (`Py_3_13`, `Py_GIL_DISABLED`).

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
