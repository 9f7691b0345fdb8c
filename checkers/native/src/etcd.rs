//! The revision witness of etcd histories, for what most of them consist of: gets, puts and deletes of single
//! keys, and transactions with at most one compare of a mod_revision and one such request in each branch.
//!
//! 1. The answered operations become rows, once: from Python's (`etcd_objects`) or from a file's lines
//!    (`etcd_lines`). What these do not know (leases, ranges, earlier revisions, refusals, serializable reads,
//!    answers without a revision) they leave to Python, as a whole.
//! 2. `arrange` guesses an order by the revisions that the answers show: the write of a revision, then what was
//!    read there, by call. Operations of unknown outcome stay outside: they are explained by never happening.
//! 3. `certify` is the proof. It is given nothing but the rows and an order: every answered operation is in
//!    it once, none stands behind one that was called after its return, and an etcd that begins empty at
//!    revision 1 gives every answer.
//!
//! So it only ever says "valid" or nothing at all: whatever it cannot prove is judged by `gauntlet.checkers.etcd`.

use pyo3::exceptions::{PyNotImplementedError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::etcd_objects;

/// A number or a value that the record does not carry: it agrees with anything.
pub const UNSAID: i64 = i64::MIN;
pub const UNSAID_VALUE: u32 = u32::MAX;
pub const NO_KEY: u32 = u32::MAX;
/// The revision of an etcd where nothing was written yet.
const FIRST: i64 = 1;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A transaction whose branch is empty.
    Nothing,
    /// A get that was answered by the pair, by nothing, or whose answer does not tell.
    Pair,
    Absent,
    Unsaid,
    Put,
    /// A delete that found the key, or did not.
    Delete,
    DeleteNothing,
}

/// One answered operation.
pub struct Row {
    pub call: i64,
    pub returned: i64,
    pub revision: i64,
    /// Of the compare of a transaction: the mod_revision asked for.
    pub expected: i64,
    pub create: i64,
    pub modified: i64,
    pub version: i64,
    /// The key compared, or NO_KEY.
    pub guard: u32,
    pub key: u32,
    pub value: u32,
    pub operation: u32,
    pub what: What,
    pub holds: bool,
}

impl Row {
    pub fn new(call: i64, returned: i64, operation: u32) -> Self {
        Row {
            call,
            returned,
            revision: UNSAID,
            expected: 0,
            create: UNSAID,
            modified: UNSAID,
            version: UNSAID,
            guard: NO_KEY,
            key: NO_KEY,
            value: UNSAID_VALUE,
            operation,
            what: What::Nothing,
            holds: true,
        }
    }

    fn writes(&self) -> bool {
        matches!(self.what, What::Put | What::Delete)
    }
}

/// Not for this kernel.
pub fn left() -> PyErr {
    PyNotImplementedError::new_err("left to Python")
}

/// How many operations were ok, failed, and of unknown outcome.
pub type Outcomes = [usize; 3];

/// Plain operations of an etcd; made once per history.
#[pyclass(frozen, module = "porcupine_native")]
pub struct EtcdColumns {
    /// Python's, where they were made of them.
    operations: Option<Py<PyList>>,
    rows: Vec<Row>,
    keys: usize,
    outcomes: Outcomes,
}

impl EtcdColumns {
    /// Rows in the order of their calls.
    pub fn of_rows(operations: Option<Py<PyList>>, rows: Vec<Row>, keys: usize, outcomes: Outcomes) -> Self {
        EtcdColumns { operations, rows, keys, outcomes }
    }

    fn proven(&self) -> Option<Vec<u32>> {
        arrange(&self.rows).filter(|order| certify(&self.rows, order, self.keys).is_ok())
    }
}

#[pymethods]
impl EtcdColumns {
    /// EtcdColumns(operations, words): operations in the order of their calls, and one plain instance of each
    /// class that they are made of: Range, Put, Delete, Compare, Txn, RangeAnswer, PutAnswer, DeleteAnswer,
    /// TxnAnswer, KV. Raises NotImplementedError for anything that is not plain.
    #[new]
    fn new(operations: &Bound<'_, PyList>, words: Vec<Bound<'_, PyTuple>>) -> PyResult<Self> {
        etcd_objects::read(operations, words)
    }

    /// How many operations were ok, failed, and of unknown outcome.
    #[getter]
    fn outcomes(&self) -> (usize, usize, usize) {
        self.outcomes.into()
    }

    /// How many operations have a proven order, and the last revision; None where the revisions prove nothing.
    fn proof(&self, py: Python<'_>) -> Option<(usize, i64)> {
        py.detach(|| {
            let last = self.rows.iter().map(|row| row.revision).fold(FIRST, i64::max);
            self.proven().map(|order| (order.len(), last))
        })
    }

    /// How many operations were answered.
    fn __len__(&self) -> usize {
        self.rows.len()
    }

    /// A proven order of the answered operations, and the writes by their revision; None where the revisions
    /// prove nothing. Of columns that were made of operations.
    fn witness<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyList>, Bound<'py, PyDict>)>> {
        let Some(operations) = &self.operations else {
            return Err(PyValueError::new_err("made of lines: there are no operations to put in order"));
        };
        let operations = operations.bind(py);
        let Some(order) = py.detach(|| self.proven()) else { return Ok(None) };
        let writes = PyDict::new(py);
        let mut placed = Vec::with_capacity(order.len());
        for at in order {
            let row = &self.rows[at as usize];
            let operation = operations.get_item(row.operation as usize)?;
            if row.writes() {
                writes.set_item(row.revision, &operation)?;
            }
            placed.push(operation);
        }
        Ok(Some((PyList::new(py, placed)?, writes)))
    }

    /// Why an order, given by positions among the answered operations, proves nothing; None when it does.
    fn certify(&self, py: Python<'_>, order: Vec<u32>) -> Option<String> {
        py.detach(|| certify(&self.rows, &order, self.keys).err())
    }
}

/// Rule 2, by counting: rows are in the order of their calls, and so stay those of one place.
fn arrange(rows: &[Row]) -> Option<Vec<u32>> {
    let most = rows.len() as i64; // of the writes, if each took a revision
    let mut starts = vec![0u32; 2 * rows.len() + 3];
    let place = |row: &Row| 2 * (row.revision - FIRST) as usize + usize::from(!row.writes());
    for row in rows {
        if row.revision < FIRST || row.revision - FIRST > most {
            return None;
        }
        starts[place(row) + 1] += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut order = vec![0; rows.len()];
    for (row, number) in rows.iter().zip(0u32..) {
        let next = &mut starts[place(row)];
        order[*next as usize] = number;
        *next += 1;
    }
    Some(order)
}

/// What a key holds; a version of 0 is nothing.
#[derive(Clone, Copy)]
struct Held {
    value: u32,
    create: i64,
    modified: i64,
    version: i64,
}

const EMPTY: Held = Held { value: UNSAID_VALUE, create: 0, modified: 0, version: 0 };

/// Rule 3.
fn certify(rows: &[Row], order: &[u32], keys: usize) -> Result<(), String> {
    let mut placed = vec![false; rows.len()];
    for &at in order {
        match placed.get_mut(at as usize) {
            Some(placed) if !*placed => *placed = true,
            Some(_) => return Err("an operation is placed twice".into()),
            None => return Err("an operation is placed that does not exist".into()),
        }
    }
    if order.len() != rows.len() {
        return Err("an operation is not placed".into());
    }
    let mut earliest = i64::MAX;
    for &at in order.iter().rev() {
        let row = &rows[at as usize];
        if row.call > earliest {
            return Err(format!("operation {} was called after a later one had returned", row.operation));
        }
        earliest = earliest.min(row.returned);
    }
    let mut store = vec![EMPTY; keys];
    let mut revision = FIRST;
    for &at in order {
        let row = &rows[at as usize];
        if !answers(row, &mut store, &mut revision) {
            return Err(format!("operation {}: another answer was due", row.operation));
        }
    }
    Ok(())
}

/// Carries out an operation; false when the answer due is another.
fn answers(row: &Row, store: &mut [Held], revision: &mut i64) -> bool {
    if row.guard != NO_KEY && (store[row.guard as usize].modified == row.expected) != row.holds {
        return false;
    }
    let agrees = |told: i64, held: i64| told == UNSAID || told == held;
    if row.what != What::Nothing {
        let held = &mut store[row.key as usize];
        let there = held.version > 0;
        match row.what {
            What::Put => {
                *revision += 1;
                held.create = if there { held.create } else { *revision };
                held.modified = *revision;
                held.version += 1;
                held.value = row.value;
            }
            What::Delete if there => {
                *revision += 1;
                *held = EMPTY;
            }
            What::DeleteNothing | What::Absent if !there => {}
            What::Pair if there => {
                let same = row.value == UNSAID_VALUE || row.value == held.value;
                let created = agrees(row.create, held.create) && agrees(row.modified, held.modified);
                if !(same && created && agrees(row.version, held.version)) {
                    return false;
                }
            }
            What::Unsaid => {}
            _ => return false,
        }
    }
    row.revision == *revision
}
