//! The native kernel of `porcupine`: the same search as its Python one, with the GIL released.
//!
//! - `Columns` reads a history once; `check` judges it with a built-in model, its partitions in threads.
//! - `EtcdColumns` is a history of plain etcd operations, made of Python's operations or, by `EtcdLines`, of a
//!   file's lines; it proves the order that its revisions suggest.
//! - `search` takes a problem that Python laid out, and asks Python's model once per state and kind.

mod budget;
mod check;
mod columns;
mod configuration;
mod contradiction;
mod etcd;
mod etcd_lines;
mod etcd_objects;
mod foreign;
mod intervals;
mod json;
mod layout;
mod machines;
mod models;
mod numbers;
mod quick;
mod search;
mod seen;
mod step;
mod tokens;
mod verify;

use pyo3::prelude::*;

#[pymodule]
fn porcupine_native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<columns::Columns>()?;
    module.add_class::<check::Judged>()?;
    module.add_class::<etcd::EtcdColumns>()?;
    module.add_class::<etcd_lines::EtcdLines>()?;
    module.add_function(wrap_pyfunction!(check::check, module)?)?;
    module.add_function(wrap_pyfunction!(check::certify, module)?)?;
    module.add_function(wrap_pyfunction!(foreign::search, module)?)?;
    Ok(())
}
