//! The search for models written in Python: Python lays the problem out and says what a state and a kind of
//! operation give, once for each pair; the search runs here, without the GIL in between.

use std::collections::HashMap;

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::budget::Meter;
use crate::check::word;
use crate::intervals::{Intervals, Tokens, ANYTHING};
use crate::layout::{Facts, Layout, Reductions, Switches};
use crate::configuration::Quick;
use crate::search::search as run;
use crate::step::{State, Stepper, REJECTED, SEVERAL};

struct Foreign {
    /// (state, kind) -> the state that follows, a tuple of several, or -1.
    step: Py<PyAny>,
    /// state -> the number of its token.
    token: Option<Py<PyAny>>,
    rows: Quick<(State, u32), u32>,
    tokens: Quick<State, u32>,
    lists: Vec<Vec<State>>,
    names: HashMap<Vec<State>, u32>,
    states: usize,
    steps: u64,
    error: Option<PyErr>,
}

impl Foreign {
    fn ask(&mut self, state: State, kind: u32) -> PyResult<u32> {
        Python::attach(|py| {
            let answer = self.step.bind(py).call1((state, kind))?;
            let Ok(several) = answer.cast::<PyTuple>() else {
                let following: i64 = answer.extract()?;
                return Ok(u32::try_from(following).unwrap_or(REJECTED));
            };
            let states: Vec<State> = several.extract()?;
            let new = SEVERAL + self.lists.len() as u32;
            let name = *self.names.entry(states.clone()).or_insert(new);
            if name == new {
                self.lists.push(states);
            }
            Ok(name)
        })
    }
}

impl Stepper for Foreign {
    fn step(&mut self, state: State, kind: u32) -> u32 {
        if let Some(&known) = self.rows.get(&(state, kind)) {
            return known;
        }
        if self.error.is_some() {
            return REJECTED;
        }
        self.steps += 1;
        match self.ask(state, kind) {
            Ok(answer) => {
                self.rows.insert((state, kind), answer);
                if answer < SEVERAL {
                    self.states = self.states.max(answer as usize + 1);
                }
                answer
            }
            Err(error) => {
                self.error = Some(error);
                REJECTED
            }
        }
    }

    fn several(&self, name: u32) -> &[State] {
        &self.lists[(name - SEVERAL) as usize]
    }

    fn token(&mut self, state: State) -> u32 {
        if let Some(&known) = self.tokens.get(&state) {
            return known;
        }
        let Some(token) = &self.token else { return u32::MAX };
        match Python::attach(|py| token.bind(py).call1((state,))?.extract::<u32>()) {
            Ok(number) => {
                self.tokens.insert(state, number);
                number
            }
            Err(error) => {
                self.error.get_or_insert(error);
                u32::MAX
            }
        }
    }

    fn broken(&self) -> bool {
        self.error.is_some()
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn bytes(&self) -> usize {
        self.rows.capacity() * 13 + self.states * 200 // a guess at the state in Python
    }
}

/// One candidate: (earliest, latest, required, dropped, kind, changes nothing, place, hint, reads,
/// writes).
type Row = (i64, i64, bool, bool, u32, bool, Option<i64>, Option<i64>, u32, u32);

/// (verdict, order, frontier, dead ends, reason, crowded, (configurations, steps, peak, width, operations, bytes)).
type Reply = (
    &'static str,
    Vec<u32>,
    Option<u32>,
    Vec<(State, Vec<u32>)>,
    String,
    Vec<u32>,
    (u64, u64, usize, usize, usize, usize),
);

/// Search a partition that Python laid out; operations are named by their position in `rows`.
///
/// `reads` of a row is a token's number as `token` gives it for states, 2**32 - 1 for an operation accepted
/// everywhere, 2**32 - 2 for one that no token decides. `contradiction` is the last operation of one that is
/// known. Raises NotImplementedError where more than 4096 operations run at one time, and whatever the
/// model raises.
#[pyfunction]
#[pyo3(signature = (rows, kinds, step, token, *, contradiction=None, reductions=(true, true, true, true, true, None, 32),
    configurations=None, memory=None, clock=None, deadline=0.0))]
#[allow(clippy::too_many_arguments)] // they are Python's keywords
pub fn search(
    py: Python<'_>,
    rows: Vec<Row>,
    kinds: usize,
    step: Py<PyAny>,
    token: Option<Py<PyAny>>,
    contradiction: Option<u32>,
    reductions: Switches,
    configurations: Option<u64>,
    memory: Option<usize>,
    clock: Option<Py<PyAny>>,
    deadline: f64,
) -> PyResult<Reply> {
    let reductions = Reductions::from(reductions);
    let intervals = Intervals {
        low: rows.iter().map(|row| row.0).collect(),
        high: rows.iter().map(|row| row.1).collect(),
        required: rows.iter().map(|row| row.2).collect(),
        dropped: rows.iter().map(|row| row.3).collect(),
        contradiction: contradiction.into_iter().collect(),
    };
    let known = |column: fn(&Row) -> Option<i64>| -> Option<Vec<Option<i64>>> {
        let values: Vec<Option<i64>> = rows.iter().map(column).collect();
        values.iter().any(Option::is_some).then_some(values)
    };
    let facts = Facts {
        kind: rows.iter().map(|row| row.4).collect(),
        kinds,
        quiet: rows.iter().map(|row| row.5).collect(),
        place: known(|row| row.6),
        hint: known(|row| row.7),
        tokens: token.is_some().then(|| {
            let reads: Vec<u32> = rows.iter().map(|row| row.8).collect();
            let writes: Vec<u32> = rows.iter().map(|row| row.9).collect();
            let named = reads.iter().chain(&writes).filter(|&&token| token < ANYTHING);
            let count = named.max().map_or(0, |&token| token as usize + 1);
            Tokens { reads, writes, initial: 0, count }
        }),
    };
    let meter = Meter::new(configurations, memory, clock.map(|clock| (clock, deadline)));
    let mut stepper = Foreign {
        step,
        token,
        rows: Quick::default(),
        tokens: Quick::default(),
        lists: Vec::new(),
        names: HashMap::new(),
        states: 1,
        steps: 0,
        error: None,
    };
    let (layout, found) = py.detach(|| {
        let layout = Layout::new(&intervals, facts, reductions);
        let found = run(&layout, &mut stepper as &mut dyn Stepper, reductions, &meter);
        (layout, found)
    });
    if let Some(error) = stepper.error.take().or_else(|| meter.take_error()) {
        return Err(error);
    }
    let Some(found) = found else {
        return Err(PyNotImplementedError::new_err("more concurrency than the native kernel takes"));
    };
    let found = found.located(&layout);
    let stats = (found.configurations, found.steps, found.peak, found.width, found.searched, found.bytes);
    Ok((word(found.verdict), found.order, found.frontier, found.dead_ends, found.reason, found.crowded, stats))
}
