//! `check`: every partition of a history, in threads, and the answer in Python's words.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyAssertionError, PyNotImplementedError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PyList, PyTuple};

use crate::budget::Meter;
use crate::columns::Columns;
use crate::layout::{Reductions, Switches};
use crate::models::{Answer, Local, ModelName, Refusal, Task, View};
use crate::search::Verdict;
use crate::verify::verify;

/// What is judged within this time is not worth the threads, which take turns with everything else that runs.
const ALONE_FOR: Duration = Duration::from_millis(3);
const SIGNALS_EVERY: Duration = Duration::from_millis(50);

pub fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid => "invalid",
        Verdict::Unknown => "unknown",
    }
}

/// What was found, partition by partition.
#[pyclass(frozen, module = "porcupine_native")]
pub struct Judged {
    columns: Py<Columns>,
    answers: Vec<Answer>,
    unjudged: Vec<Option<u32>>,
}

#[pymethods]
impl Judged {
    /// "valid", "invalid" or "unknown": invalid outranks unknown outranks valid.
    #[getter]
    fn verdict(&self) -> &'static str {
        let is = |verdict| self.answers.iter().any(|answer| answer.verdict == verdict);
        match () {
            () if is(Verdict::Invalid) => "invalid",
            () if is(Verdict::Unknown) => "unknown",
            () => "valid",
        }
    }

    fn __len__(&self) -> usize {
        self.answers.len()
    }

    /// The keys of partitions that were left out because another one had failed.
    fn unjudged(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.unjudged.iter().map(|&key| self.key(py, key)).collect()
    }

    /// (key, verdict, operations, order) of a partition.
    fn part<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyTuple>> {
        let columns = self.columns.get();
        let answer = &self.answers[index];
        let key = self.key(py, answer.key);
        let operations = match answer.key {
            None => columns.operations.bind(py).clone(),
            Some(_) => self.operations(py, &answer.operations)?,
        };
        let order = self.operations(py, &answer.order)?;
        (key, word(answer.verdict), operations, order).into_pyobject(py)
    }

    /// (configurations, steps, peak configurations, width, operations, bytes) of a partition.
    fn stats(&self, index: usize) -> (u64, u64, usize, usize, usize, usize) {
        let answer = &self.answers[index];
        (answer.configurations, answer.steps, answer.peak, answer.width, answer.searched, answer.bytes)
    }

    /// (dead ends, frontier, reason, contradiction, crowded): why a partition is not valid.
    fn stuck<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyTuple>> {
        let columns = self.columns.get();
        let answer = &self.answers[index];
        let dead_ends = PyList::empty(py);
        for (state, pending) in &answer.dead_ends {
            dead_ends.append((self.state(py, state)?, self.operations(py, pending)?))?;
        }
        let frontier = match answer.frontier {
            Some(operation) => Some(columns.operations.bind(py).get_item(operation as usize)?),
            None => None,
        };
        let contradiction = self.operations(py, &answer.contradiction)?;
        let crowded = self.operations(py, &answer.crowded)?;
        (dead_ends, frontier, answer.reason.as_str(), contradiction, crowded).into_pyobject(py)
    }
}

impl Judged {
    fn key(&self, py: Python<'_>, key: Option<u32>) -> Py<PyAny> {
        key.map_or_else(|| py.None(), |key| self.columns.get().objects[key as usize].clone_ref(py))
    }

    fn operations<'py>(&self, py: Python<'py>, numbers: &[u32]) -> PyResult<Bound<'py, PyList>> {
        let operations = self.columns.get().operations.bind(py);
        let picked: PyResult<Vec<_>> = numbers.iter().map(|&number| operations.get_item(number as usize)).collect();
        PyList::new(py, picked?)
    }

    /// A state as the Python model of that name has it, but for two things that the caller puts right: the
    /// entries of a map are in no order, and a value that no operation read or named is an ellipsis.
    fn state<'py>(&self, py: Python<'py>, state: &View) -> PyResult<Bound<'py, PyAny>> {
        let columns = self.columns.get();
        let object = |number: &u32| match columns.objects.get(*number as usize) {
            Some(object) => object.bind(py).clone(),
            None => py.Ellipsis().into_bound(py),
        };
        let client = |holder: &Option<u32>| -> PyResult<Bound<'py, PyTuple>> {
            let Some(number) = holder else { return Ok(PyTuple::empty(py)) };
            let at = columns.client.iter().position(|client| client == number).unwrap_or(0);
            let operation = columns.operations.bind(py).get_item(at)?;
            PyTuple::new(py, [operation.getattr("client")?])
        };
        Ok(match state {
            View::Value(number) => object(number),
            View::Text(text) => text.into_pyobject(py)?.into_any(),
            View::Unseen => py.Ellipsis().into_bound(py),
            View::Entries(entries) => {
                let mut pairs = Vec::with_capacity(entries.len());
                for (key, text) in entries {
                    let text = match text {
                        Some(text) => text.into_pyobject(py)?.into_any(),
                        None => py.Ellipsis().into_bound(py),
                    };
                    pairs.push((object(key), text).into_pyobject(py)?);
                }
                PyTuple::new(py, pairs)?.into_any()
            }
            View::Number(number) => number.into_pyobject(py)?.into_any(),
            View::Elements(elements) => {
                let elements: Vec<_> = elements.iter().map(object).collect();
                PyFrozenSet::new(py, elements)?.into_any()
            }
            View::Line(elements) => {
                let elements: Vec<_> = elements.iter().map(object).collect();
                PyTuple::new(py, elements)?.into_any()
            }
            View::Holder(holder) => client(holder)?.into_any(),
            View::Fenced(holder, greatest, unseen) => {
                (client(holder)?, greatest, unseen).into_pyobject(py)?.into_any()
            }
        })
    }
}

/// Judge a history with a built-in model, in `threads` threads (0: one for each processor, once it takes long).
///
/// `learn` is what `Model.partition` and `Model.for_part` do: one partition for each key of a `kv`, and what
/// was read tells where it was written. With `hasty` only the verdict counts: a contradiction ends a
/// partition before any search, an invalid partition ends all others, and those not reached are left out; with
/// `first_failure` an invalid partition only ends all others. `quick`: short histories may be tried as they
/// were recorded. `clock` is asked now and then whether it has reached `deadline`.
/// Raises NotImplementedError where the history is left to Python's kernel: calls that are none of the
/// model's, more than 4096 operations at one time.
#[pyfunction]
#[pyo3(signature = (columns, model, *, initial=None, learn=true, reductions=(true, true, true, true, true, None, 32),
    configurations=None, memory=None, clock=None, deadline=0.0, threads=1, first_failure=false,
    hasty=false, quick=true))]
#[allow(clippy::too_many_arguments)] // they are Python's keywords
pub fn check(
    py: Python<'_>,
    columns: Py<Columns>,
    model: &str,
    initial: Option<Bound<'_, PyAny>>,
    learn: bool,
    reductions: Switches,
    configurations: Option<u64>,
    memory: Option<usize>,
    clock: Option<Py<PyAny>>,
    deadline: f64,
    threads: usize,
    first_failure: bool,
    hasty: bool,
    quick: bool,
) -> PyResult<Judged> {
    let Some(model) = ModelName::of(model) else {
        return Err(PyValueError::new_err(format!("no native model is called {model:?}")));
    };
    let all = columns.get();
    let initial = initial.map_or(Ok(crate::columns::NIL), |value| all.find(&value))?;
    let meter = Meter::new(configurations, memory, clock.map(|clock| (clock, deadline)));
    let reductions = Reductions::from(reductions);
    let task = Task { columns: all, model, initial, learn, reductions, meter: &meter, first_failure, hasty, quick };
    let answers = py.detach(|| run(&task, threads));
    if let Some(error) = meter.take_error() {
        return Err(error);
    }
    match answers {
        Ok((answers, unjudged)) => Ok(Judged { columns, answers, unjudged }),
        Err(Refusal::Unsupported) => Err(PyNotImplementedError::new_err("left to the Python kernel")),
        Err(Refusal::Certificate(reason)) => Err(PyAssertionError::new_err(reason)),
    }
}

/// Why an order, given by positions in the history, proves nothing; None when it does. It is what `check` asks
/// before it calls a partition valid.
#[pyfunction]
#[pyo3(signature = (columns, model, order, *, initial=None))]
pub fn certify(
    py: Python<'_>,
    columns: Py<Columns>,
    model: &str,
    order: Vec<u32>,
    initial: Option<Bound<'_, PyAny>>,
) -> PyResult<Option<String>> {
    let Some(model) = ModelName::of(model) else {
        return Err(PyValueError::new_err(format!("no native model is called {model:?}")));
    };
    let all = columns.get();
    let initial = initial.map_or(Ok(crate::columns::NIL), |value| all.find(&value))?;
    let every: Vec<u32> = (0..all.calls.len() as u32).collect();
    if order.iter().any(|&at| at as usize >= every.len()) {
        return Err(PyValueError::new_err("a position that is none of the history's"));
    }
    Ok(py.detach(|| verify(all, model, initial, &every, &order).err()))
}

/// The answers, and the keys of those that were left out.
fn run(task: &Task, threads: usize) -> Result<(Vec<Answer>, Vec<Option<u32>>), Refusal> {
    let mut parts = task.partitions()?.into_iter();
    let mut answers = Vec::with_capacity(parts.len());
    let mut local = Local::new(task.columns);
    let begun = Instant::now();
    while threads < 2 {
        if threads == 0 && parts.len() > 1 && begun.elapsed() > ALONE_FOR {
            break;
        }
        let Some((key, operations)) = parts.next() else { return Ok((answers, Vec::new())) };
        let answer = task.run(key, operations, &mut local)?;
        let ends = task.ends(&answer);
        answers.push(answer);
        if ends {
            return Ok((answers, parts.map(|part| part.0).collect()));
        }
    }
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let keys: Vec<Option<u32>> = parts.as_slice().iter().map(|part| part.0).collect();
    let mut unjudged = Vec::new();
    for (answer, key) in together(task, parts.collect(), threads).into_iter().zip(keys) {
        match answer {
            Some(answer) => answers.push(answer?),
            None => unjudged.push(key),
        }
    }
    Ok((answers, unjudged))
}

/// The partitions in threads, which take the next one as soon as they are free.
fn together(task: &Task, parts: Vec<(Option<u32>, Vec<u32>)>, threads: usize) -> Vec<Option<Result<Answer, Refusal>>> {
    let count = parts.len();
    let work: Vec<Mutex<Option<(Option<u32>, Vec<u32>)>>> =
        parts.into_iter().map(|part| Mutex::new(Some(part))).collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut local = Local::new(task.columns);
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Relaxed);
            let Some(slot) = work.get(index) else { return done };
            if let Some((key, operations)) = slot.lock().ok().and_then(|mut slot| slot.take()) {
                let answer = task.run(key, operations, &mut local);
                let known = !answer.as_ref().is_ok_and(|answer| answer.verdict == Verdict::Unknown);
                if answer.as_ref().is_ok_and(|answer| task.ends(answer)) {
                    task.meter.halt();
                }
                let halted = task.meter.halted();
                if known || !halted {
                    done.push((index, answer)); // otherwise it may have been interrupted
                }
                if halted {
                    return done;
                }
            }
        }
    };
    let mut answers: Vec<Option<Result<Answer, Refusal>>> = (0..count).map(|_| None).collect();
    std::thread::scope(|scope| {
        let main = std::thread::current();
        let workers: Vec<_> = (0..threads.min(count))
            .map(|_| {
                let main = main.clone();
                scope.spawn(move || {
                    let done = worker();
                    main.unpark();
                    done
                })
            })
            .collect();
        while !workers.iter().all(|worker| worker.is_finished()) {
            std::thread::park_timeout(SIGNALS_EVERY);
            if let Err(error) = Python::attach(|py| py.check_signals()) {
                task.meter.fail(error);
            }
        }
        for worker in workers {
            match worker.join() {
                Ok(done) => done.into_iter().for_each(|(index, answer)| answers[index] = Some(answer)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    answers
}
