//! The revision witness of etcd histories, for what most of them consist of: gets, puts and deletes of single
//! keys, and transactions with at most one compare of a mod_revision and one such request in each branch.
//!
//! 1. `EtcdColumns` reads the answered operations once. What it does not know (leases, ranges, earlier revisions,
//!    refusals, serializable reads, answers without a revision) it leaves to Python, as a whole.
//! 2. `arrange` guesses an order by the revisions that the answers show: the write of a revision, then what was
//!    read there, by call. Operations of unknown outcome stay outside: they are explained by never happening.
//! 3. `certify` is the proof. It is given nothing but the rows and an order: every answered operation is in
//!    it once, none stands behind one that was called after its return, and an etcd that begins empty at
//!    revision 1 gives every answer.
//!
//! So it only ever says "valid" or nothing at all: whatever it cannot prove is judged by `gauntlet.checkers.etcd`.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use pyo3::exceptions::{PyNotImplementedError, PyValueError};
use pyo3::prelude::*;
use pyo3::Borrowed;
use pyo3::types::{PyBool, PyBytes, PyDict, PyList, PyString, PyTuple};

use crate::search::Mix;

/// A number or a value that the record does not carry: it agrees with anything.
const UNSAID: i64 = i64::MIN;
const UNSAID_VALUE: u32 = u32::MAX;
const NO_KEY: u32 = u32::MAX;
/// The revision of an etcd where nothing was written yet.
const FIRST: i64 = 1;

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
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
struct Row {
    call: i64,
    returned: i64,
    revision: i64,
    /// Of the compare of a transaction: the mod_revision asked for.
    expected: i64,
    create: i64,
    modified: i64,
    version: i64,
    /// The key compared, or NO_KEY.
    guard: u32,
    key: u32,
    value: u32,
    operation: u32,
    what: What,
    holds: bool,
}

impl Row {
    fn writes(&self) -> bool {
        matches!(self.what, What::Put | What::Delete)
    }
}

/// Plain operations of an etcd in columns; made once per history.
#[pyclass(frozen, module = "porcupine_native")]
pub struct EtcdColumns {
    operations: Py<PyList>,
    rows: Vec<Row>,
    keys: usize,
}

/// An instance of each class of the vocabulary, with the fields that a plain operation has.
struct Words<'py> {
    words: Vec<Bound<'py, PyTuple>>,
    fields: Vec<Vec<Bound<'py, PyAny>>>,
}

#[derive(Clone, Copy)]
enum Word {
    Range,
    Put,
    Delete,
    Compare,
    Txn,
    RangeAnswer,
    PutAnswer,
    DeleteAnswer,
    TxnAnswer,
    Kv,
}
const WORDS: usize = Word::Kv as usize + 1;

impl<'py> Words<'py> {
    fn is(&self, value: &Bound<'py, PyAny>, word: Word) -> bool {
        value.get_type_ptr() == self.words[word as usize].get_type_ptr()
    }

    /// The value as a tuple of that class, if it is one.
    fn cast<'a>(&self, value: &'a Bound<'py, PyAny>, word: Word) -> PyResult<&'a Bound<'py, PyTuple>> {
        if self.is(value, word) {
            Ok(value.cast::<PyTuple>()?)
        } else {
            Err(left())
        }
    }

    /// The fields from `first` to before `end` are those of the word.
    fn plain(&self, value: &Bound<'py, PyTuple>, word: Word, first: usize, end: usize) -> PyResult<()> {
        for (at, wanted) in (first..end).zip(&self.fields[word as usize][first..end]) {
            let field = value.get_borrowed_item(at)?;
            if !field.is(wanted) && !field.eq(wanted)? {
                return Err(left());
            }
        }
        Ok(())
    }

    /// A field of an answer is that of the word, or not told.
    fn agrees(&self, value: &Bound<'py, PyTuple>, word: Word, at: usize) -> PyResult<()> {
        if value.get_borrowed_item(at)?.is_none() {
            return Ok(());
        }
        self.plain(value, word, at, at + 1)
    }
}

/// Not for this kernel.
fn left() -> PyErr {
    PyNotImplementedError::new_err("left to Python")
}

type Numbers = HashMap<Box<[u8]>, u32, BuildHasherDefault<Mix>>;

fn number(numbers: &mut Numbers, bytes: Borrowed<'_, '_, PyAny>) -> PyResult<u32> {
    let bytes = bytes.cast::<PyBytes>().map_err(|_| left())?;
    let bytes = bytes.as_bytes();
    if let Some(&known) = numbers.get(bytes) {
        return Ok(known);
    }
    let new = numbers.len() as u32;
    numbers.insert(bytes.into(), new);
    Ok(new)
}

fn said(value: Borrowed<'_, '_, PyAny>) -> PyResult<i64> {
    if value.is_none() {
        return Ok(UNSAID);
    }
    value.extract::<i64>().ok().filter(|&number| number >= 0).ok_or_else(left)
}

struct Reader<'py> {
    words: Words<'py>,
    keys: Numbers,
    values: Numbers,
}

impl<'py> Reader<'py> {
    fn key(&mut self, call: &Bound<'py, PyTuple>) -> PyResult<u32> {
        let key = call.get_borrowed_item(0)?;
        let number = number(&mut self.keys, key)?;
        if key.cast::<PyBytes>()?.as_bytes().is_empty() {
            return Err(left()); // refused by etcd
        }
        Ok(number)
    }

    fn read(&mut self, call: &Bound<'py, PyAny>, answer: &Bound<'py, PyAny>, row: &mut Row) -> PyResult<()> {
        if self.words.is(call, Word::Txn) {
            self.txn(call.cast::<PyTuple>()?, answer, row)
        } else {
            row.revision = self.single(call, answer, row)?;
            (row.revision != UNSAID).then_some(()).ok_or_else(left)
        }
    }

    /// A request for one key; gives the revision of its answer.
    fn single(&mut self, call: &Bound<'py, PyAny>, answer: &Bound<'py, PyAny>, row: &mut Row) -> PyResult<i64> {
        let answered;
        if self.words.is(call, Word::Range) {
            let call = call.cast::<PyTuple>()?;
            self.words.plain(call, Word::Range, 1, 13)?;
            row.key = self.key(call)?;
            answered = self.words.cast(answer, Word::RangeAnswer)?;
            self.found(answered, call, row)?;
        } else if self.words.is(call, Word::Put) {
            let call = call.cast::<PyTuple>()?;
            self.words.plain(call, Word::Put, 2, 6)?;
            row.key = self.key(call)?;
            row.value = number(&mut self.values, call.get_borrowed_item(1)?)?;
            row.what = What::Put;
            answered = self.words.cast(answer, Word::PutAnswer)?;
            self.words.plain(answered, Word::PutAnswer, 1, 2)?;
        } else {
            let call = self.words.cast(call, Word::Delete)?;
            self.words.plain(call, Word::Delete, 1, 3)?;
            row.key = self.key(call)?;
            answered = self.words.cast(answer, Word::DeleteAnswer)?;
            row.what = match said(answered.get_borrowed_item(1)?)? {
                0 => What::DeleteNothing,
                1 => What::Delete,
                _ => return Err(left()),
            };
            self.words.agrees(answered, Word::DeleteAnswer, 2)?;
        }
        said(answered.get_borrowed_item(0)?)
    }

    /// What a get was answered.
    fn found(&mut self, answer: &Bound<'py, PyTuple>, call: &Bound<'py, PyTuple>, row: &mut Row) -> PyResult<()> {
        self.words.agrees(answer, Word::RangeAnswer, 2)?;
        let count = said(answer.get_borrowed_item(3)?)?;
        let pairs = answer.get_borrowed_item(1)?;
        if pairs.is_none() {
            row.what = What::Unsaid;
            return (count == UNSAID).then_some(()).ok_or_else(left);
        }
        let pairs = pairs.cast::<PyTuple>()?;
        if count != UNSAID && count != pairs.len() as i64 {
            return Err(left());
        }
        row.what = What::Absent;
        if pairs.is_empty() {
            return Ok(());
        }
        let pair = pairs.get_item(0)?;
        let pair = self.words.cast(&pair, Word::Kv)?;
        let key = pair.get_borrowed_item(0)?;
        let lease = said(pair.get_borrowed_item(5)?)?;
        if pairs.len() > 1 || !key.eq(call.get_borrowed_item(0)?)? || lease > 0 {
            return Err(left());
        }
        let value = pair.get_borrowed_item(1)?;
        row.what = What::Pair;
        row.value = if value.is_none() { UNSAID_VALUE } else { number(&mut self.values, value)? };
        row.create = said(pair.get_borrowed_item(2)?)?;
        row.modified = said(pair.get_borrowed_item(3)?)?;
        row.version = said(pair.get_borrowed_item(4)?)?;
        Ok(())
    }

    fn txn(&mut self, call: &Bound<'py, PyTuple>, answer: &Bound<'py, PyAny>, row: &mut Row) -> PyResult<()> {
        let answer = self.words.cast(answer, Word::TxnAnswer)?;
        row.holds = answer.get_borrowed_item(1)?.cast::<PyBool>().map_err(|_| left())?.is_true();
        let compares = call.get_borrowed_item(0)?;
        let compares = compares.cast::<PyTuple>()?;
        if compares.len() > 1 || (compares.is_empty() && !row.holds) {
            return Err(left());
        }
        if !compares.is_empty() {
            let compare = compares.get_item(0)?;
            let compare = self.words.cast(&compare, Word::Compare)?;
            self.words.plain(compare, Word::Compare, 1, 3)?;
            self.words.plain(compare, Word::Compare, 4, 5)?;
            row.guard = self.key(compare)?;
            row.expected = compare.get_borrowed_item(3)?.extract().map_err(|_| left())?;
        }
        let mut taken = None;
        for (at, is_taken) in [(1, row.holds), (2, !row.holds)] {
            let branch = call.get_borrowed_item(at)?;
            let branch = branch.cast::<PyTuple>()?;
            match branch.len() {
                0 => {}
                1 if is_taken => taken = Some(branch.get_item(0)?),
                1 => self.well_formed(&branch.get_item(0)?)?,
                _ => return Err(left()),
            }
        }
        let answers = answer.get_borrowed_item(2)?;
        let answers = answers.cast::<PyTuple>().map_err(|_| left())?;
        match (taken, answers.len()) {
            (None, 0) => row.what = What::Nothing,
            (Some(request), 1) => {
                self.single(&request, &answers.get_item(0)?, row)?;
            }
            _ => return Err(left()),
        }
        row.revision = said(answer.get_borrowed_item(0)?)?;
        (row.revision != UNSAID).then_some(()).ok_or_else(left)
    }

    /// The branch that was not taken: etcd refuses it when it is malformed.
    fn well_formed(&mut self, request: &Bound<'py, PyAny>) -> PyResult<()> {
        for (word, first, end) in [(Word::Range, 1, 13), (Word::Put, 2, 6), (Word::Delete, 1, 3)] {
            if self.words.is(request, word) {
                let request = request.cast::<PyTuple>()?;
                self.words.plain(request, word, first, end)?;
                return self.key(request).map(drop);
            }
        }
        Err(left())
    }
}

#[pymethods]
impl EtcdColumns {
    /// EtcdColumns(operations, words): operations in the order of their calls, and one plain instance of each
    /// class that they are made of: Range, Put, Delete, Compare, Txn, RangeAnswer, PutAnswer, DeleteAnswer,
    /// TxnAnswer, KV. Raises NotImplementedError for anything that is not plain.
    #[new]
    fn new(operations: &Bound<'_, PyList>, words: Vec<Bound<'_, PyTuple>>) -> PyResult<Self> {
        let py = operations.py();
        if words.len() != WORDS {
            return Err(PyValueError::new_err("another vocabulary was expected"));
        }
        let operations = PyList::new(py, operations.iter())?;
        let fields = words.iter().map(|word| word.iter().collect()).collect();
        let words = Words { words, fields };
        let mut reader = Reader { words, keys: Numbers::default(), values: Numbers::default() };
        let mut rows: Vec<Row> = Vec::with_capacity(operations.len());
        let mut latest = UNSAID;
        let mut ok: Option<Bound<'_, PyAny>> = None;
        for (at, operation) in operations.iter().enumerate() {
            let call: i64 = operation.getattr(pyo3::intern!(py, "call_time_ns"))?.extract().map_err(|_| left())?;
            if call < latest {
                return Err(left());
            }
            latest = call;
            let outcome = operation.getattr(pyo3::intern!(py, "outcome"))?;
            if !ok.as_ref().is_some_and(|ok| ok.is(&outcome)) {
                if outcome.cast::<PyString>()?.to_cow()?.as_ref() != "ok" {
                    continue;
                }
                ok = Some(outcome);
            }
            let mut row = Row {
                call,
                returned: operation.getattr(pyo3::intern!(py, "return_time_ns"))?.extract().map_err(|_| left())?,
                revision: UNSAID,
                expected: 0,
                create: UNSAID,
                modified: UNSAID,
                version: UNSAID,
                guard: NO_KEY,
                key: NO_KEY,
                value: UNSAID_VALUE,
                operation: at as u32,
                what: What::Nothing,
                holds: true,
            };
            let asked = operation.getattr(pyo3::intern!(py, "call"))?;
            let answer = operation.getattr(pyo3::intern!(py, "response"))?;
            reader.read(&asked, &answer, &mut row)?;
            rows.push(row);
        }
        Ok(EtcdColumns { operations: operations.unbind(), rows, keys: reader.keys.len() })
    }

    /// How many operations were answered.
    fn __len__(&self) -> usize {
        self.rows.len()
    }

    /// A proven order of the answered operations, and the writes by their revision; None where the revisions
    /// prove nothing.
    fn witness<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyList>, Bound<'py, PyDict>)>> {
        let order = py.detach(|| arrange(&self.rows).filter(|order| certify(&self.rows, order, self.keys).is_ok()));
        let Some(order) = order else { return Ok(None) };
        let operations = self.operations.bind(py);
        let writes = PyDict::new(py);
        let placed = PyList::empty(py);
        for at in order {
            let row = &self.rows[at as usize];
            let operation = operations.get_item(row.operation as usize)?;
            if row.writes() {
                writes.set_item(row.revision, &operation)?;
            }
            placed.append(operation)?;
        }
        Ok(Some((placed, writes)))
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
