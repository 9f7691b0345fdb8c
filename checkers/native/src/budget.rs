//! Where to give up: one meter for all partitions of a history, whatever thread they run in.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// The caller's clock is asked at most this often: it may have to wait for the interpreter.
const ASK_EVERY: Duration = Duration::from_millis(2);

pub struct Meter {
    configurations: Option<u64>,
    memory: Option<usize>,
    /// The caller's clock, and the time on it when to give up.
    clock: Option<(Py<PyAny>, f64)>,
    visited: AtomicU64,
    bytes: AtomicUsize,
    stopped: AtomicBool,
    /// A signal's exception, or what the caller's clock raised.
    error: Mutex<Option<PyErr>>,
}

/// When a thread last asked the clock.
pub struct Watch(Option<Instant>);

impl Meter {
    pub fn new(configurations: Option<u64>, memory: Option<usize>, clock: Option<(Py<PyAny>, f64)>) -> Self {
        Meter {
            configurations,
            memory,
            clock,
            visited: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            error: Mutex::new(None),
        }
    }

    pub fn watch(&self) -> Watch {
        Watch(None)
    }

    /// All threads end, and the caller gets the error.
    pub fn fail(&self, error: PyErr) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stopped.store(true, Relaxed);
    }

    /// The verdict is known: all threads end.
    pub fn halt(&self) {
        self.stopped.store(true, Relaxed);
    }

    pub fn halted(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    pub fn take_error(&self) -> Option<PyErr> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Add what was spent since the last time; the reason to give up, if there is one.
    pub fn check(&self, visited: u64, bytes: usize, watch: &mut Watch) -> Option<String> {
        let visited = self.visited.fetch_add(visited, Relaxed) + visited;
        let bytes = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        if self.stopped.load(Relaxed) {
            return Some("interrupted".into());
        }
        if self.configurations.is_some_and(|limit| visited >= limit) {
            return Some(format!("gave up after {visited} configurations"));
        }
        if self.memory.is_some_and(|limit| bytes >= limit) {
            return Some(format!("gave up: {bytes} bytes of configurations fill the memory allowed"));
        }
        if watch.0.is_some_and(|asked| asked.elapsed() < ASK_EVERY) {
            return None;
        }
        watch.0 = Some(Instant::now());
        let late = Python::attach(|py| {
            py.check_signals()?;
            let Some((clock, deadline)) = &self.clock else { return Ok(false) };
            Ok::<bool, PyErr>(clock.call0(py)?.extract::<f64>(py)? >= *deadline)
        });
        match late {
            Ok(false) => None,
            Ok(true) => Some(format!("gave up: out of time after {visited} configurations")),
            Err(error) => {
                self.fail(error);
                Some("interrupted".into())
            }
        }
    }
}
