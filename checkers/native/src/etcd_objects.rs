//! Plain operations of an etcd from Python's objects, in the vocabulary of `gauntlet.checkers.etcd.calls`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyList, PyString, PyTuple};
use pyo3::Borrowed;

use crate::etcd::{left, EtcdColumns, Row, What, UNSAID, UNSAID_VALUE};
use crate::numbers::Numbers;

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

fn number(numbers: &mut Numbers, bytes: Borrowed<'_, '_, PyAny>) -> PyResult<u32> {
    Ok(numbers.number(bytes.cast::<PyBytes>().map_err(|_| left())?.as_bytes()))
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

/// See `EtcdColumns::new`.
pub fn read(operations: &Bound<'_, PyList>, words: Vec<Bound<'_, PyTuple>>) -> PyResult<EtcdColumns> {
    let py = operations.py();
    if words.len() != WORDS {
        return Err(PyValueError::new_err("another vocabulary was expected"));
    }
    let operations = operations.get_slice(0, operations.len());
    let fields = words.iter().map(|word| word.iter().collect()).collect();
    let words = Words { words, fields };
    let mut reader = Reader { words, keys: Numbers::default(), values: Numbers::default() };
    let mut rows: Vec<Row> = Vec::with_capacity(operations.len());
    let mut outcomes = [0; 3];
    let mut latest = UNSAID;
    let mut ok: Option<Bound<'_, PyAny>> = None;
    for (operation, at) in operations.iter().zip(0u32..) {
        let call: i64 = operation.getattr(pyo3::intern!(py, "call_time_ns"))?.extract().map_err(|_| left())?;
        if call < latest {
            return Err(left());
        }
        latest = call;
        let outcome = operation.getattr(pyo3::intern!(py, "outcome"))?;
        if !ok.as_ref().is_some_and(|ok| ok.is(&outcome)) {
            let name = outcome.cast::<PyString>()?;
            let known = ["ok", "failed", "unknown"];
            let which = known.iter().position(|known| name == known).ok_or_else(left)?;
            if which > 0 {
                outcomes[which] += 1;
                continue;
            }
            ok = Some(outcome);
        }
        outcomes[0] += 1;
        let returned: i64 = operation.getattr(pyo3::intern!(py, "return_time_ns"))?.extract().map_err(|_| left())?;
        let mut row = Row::new(call, returned, at);
        let asked = operation.getattr(pyo3::intern!(py, "call"))?;
        let answer = operation.getattr(pyo3::intern!(py, "response"))?;
        reader.read(&asked, &answer, &mut row)?;
        rows.push(row);
    }
    Ok(EtcdColumns::of_rows(Some(operations.unbind()), rows, reader.keys.len(), outcomes))
}
