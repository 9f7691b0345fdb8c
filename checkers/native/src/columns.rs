//! A history in columns: what Python's operations say, read once, values replaced by small integers.
//!
//! Two values have one number exactly when Python calls them equal. Operations with equal call, response and
//! outcome are of one kind.

use std::collections::HashMap;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyString, PyTuple};

use crate::intervals::NEVER;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    Ok,
    Failed,
    Unknown,
}

/// As much of a value as the models need to know beyond which values are equal.
#[derive(Debug)]
pub enum Value {
    Number(i64),
    Text(Box<str>),
    /// A frozenset: the numbers of its elements, ascending.
    Set(Box<[u32]>),
    Other,
}

/// `None` is always value 0.
pub const NIL: u32 = 0;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    Read,
    Write,
    Cas,
    Get,
    Put,
    Append,
    Add,
    Remove,
    Contains,
    Enqueue,
    Dequeue,
    Acquire,
    Release,
    Other,
}

/// A call that is a tuple of a name and up to two arguments.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub name: Name,
    pub arguments: u8,
    pub first: u32,
    pub second: u32,
}

#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub call: Call,
    pub response: u32,
    pub outcome: Outcome,
}

#[pyclass(frozen, module = "porcupine_native")]
pub struct Columns {
    pub operations: Py<PyList>,
    pub calls: Vec<i64>,
    pub returns: Vec<i64>,
    pub outcome: Vec<Outcome>,
    pub client: Vec<u32>,
    pub kind: Vec<u32>,
    pub kinds: Vec<Kind>,
    pub values: Vec<Value>,
    pub truthy: Vec<bool>,
    pub objects: Vec<Py<PyAny>>,
    /// Some number is a float: models that ask for integers are left to Python then.
    pub floats: bool,
    numbers: Py<PyDict>,
}

struct Reader<'py> {
    numbers: Bound<'py, PyDict>,
    values: Vec<Value>,
    truthy: Vec<bool>,
    objects: Vec<Py<PyAny>>,
    calls: HashMap<u32, Call>,
    floats: bool,
}

impl<'py> Reader<'py> {
    fn number(&mut self, value: &Bound<'py, PyAny>) -> PyResult<u32> {
        if value.is_none() {
            return Ok(NIL);
        }
        if let Some(known) = self.numbers.get_item(value)? {
            return known.extract();
        }
        let what = self.look_at(value)?;
        let number = self.values.len() as u32;
        self.numbers.set_item(value, number)?;
        self.values.push(what);
        self.truthy.push(value.is_truthy()?);
        self.objects.push(value.clone().unbind());
        Ok(number)
    }

    fn look_at(&mut self, value: &Bound<'py, PyAny>) -> PyResult<Value> {
        if let Ok(text) = value.cast::<PyString>() {
            // A lone surrogate is no text for Rust; such a value is only compared.
            return Ok(text.to_cow().map_or(Value::Other, |text| Value::Text(text.into())));
        }
        if value.is_instance_of::<PyInt>() || value.is_instance_of::<PyBool>() {
            return Ok(value.extract::<i64>().map_or(Value::Other, Value::Number));
        }
        if value.is_instance_of::<PyFloat>() {
            self.floats = true;
        }
        if let Ok(set) = value.cast::<PyFrozenSet>() {
            let mut elements = Vec::with_capacity(set.len());
            for element in set.iter() {
                elements.push(self.number(&element)?);
            }
            elements.sort_unstable();
            return Ok(Value::Set(elements.into()));
        }
        Ok(Value::Other)
    }

    fn call(&mut self, value: &Bound<'py, PyAny>) -> PyResult<(u32, Call)> {
        let number = self.number(value)?;
        if let Some(&known) = self.calls.get(&number) {
            return Ok((number, known));
        }
        let mut call = Call { name: Name::Other, arguments: 0, first: NIL, second: NIL };
        if let Ok(parts) = value.cast::<PyTuple>() {
            if let (1..=3, Ok(name)) = (parts.len(), parts.get_item(0)?.cast::<PyString>()) {
                call.name = named(name.to_cow().unwrap_or_default().as_ref());
                call.arguments = parts.len() as u8 - 1;
                if call.arguments > 0 {
                    call.first = self.number(&parts.get_item(1)?)?;
                }
                if call.arguments > 1 {
                    call.second = self.number(&parts.get_item(2)?)?;
                }
            }
        }
        self.calls.insert(number, call);
        Ok((number, call))
    }
}

fn named(name: &str) -> Name {
    match name {
        "read" => Name::Read,
        "write" => Name::Write,
        "cas" => Name::Cas,
        "get" => Name::Get,
        "put" => Name::Put,
        "append" => Name::Append,
        "add" => Name::Add,
        "remove" => Name::Remove,
        "contains" => Name::Contains,
        "enqueue" => Name::Enqueue,
        "dequeue" => Name::Dequeue,
        "acquire" => Name::Acquire,
        "release" => Name::Release,
        _ => Name::Other,
    }
}

#[pymethods]
impl Columns {
    /// Columns(operations): a list of `porcupine.Operation`, read once. Raises TypeError for times that are
    /// no integers and OverflowError for those that do not fit 64 bits.
    #[new]
    fn new(operations: &Bound<'_, PyList>) -> PyResult<Self> {
        let py = operations.py();
        let mut reader = Reader {
            numbers: PyDict::new(py),
            values: vec![Value::Other],
            truthy: vec![false],
            objects: vec![py.None()],
            calls: HashMap::new(),
            floats: false,
        };
        let clients = PyDict::new(py);
        let count = operations.len();
        let mut columns = Columns {
            operations: PyList::new(py, operations.iter())?.unbind(),
            calls: Vec::with_capacity(count),
            returns: Vec::with_capacity(count),
            outcome: Vec::with_capacity(count),
            client: Vec::with_capacity(count),
            kind: Vec::with_capacity(count),
            kinds: Vec::new(),
            values: Vec::new(),
            truthy: Vec::new(),
            objects: Vec::new(),
            floats: false,
            numbers: reader.numbers.clone().unbind(),
        };
        let mut kinds: HashMap<(u32, u32, Outcome), u32> = HashMap::new();
        for operation in operations.iter() {
            let outcome = match operation.getattr(pyo3::intern!(py, "outcome"))?.cast::<PyString>()?.to_cow()?.as_ref() {
                "ok" => Outcome::Ok,
                "failed" => Outcome::Failed,
                _ => Outcome::Unknown,
            };
            let returned = match outcome {
                Outcome::Ok => operation.getattr(pyo3::intern!(py, "return_time_ns"))?.extract()?,
                _ => NEVER,
            };
            let client = operation.getattr(pyo3::intern!(py, "client"))?;
            let client = match clients.get_item(&client)? {
                Some(known) => known.extract()?,
                None => {
                    let new = clients.len() as u32;
                    clients.set_item(&client, new)?;
                    new
                }
            };
            let (call_number, call) = reader.call(&operation.getattr(pyo3::intern!(py, "call"))?)?;
            let response = reader.number(&operation.getattr(pyo3::intern!(py, "response"))?)?;
            let kind = *kinds.entry((call_number, response, outcome)).or_insert_with(|| {
                columns.kinds.push(Kind { call, response, outcome });
                columns.kinds.len() as u32 - 1
            });
            columns.calls.push(operation.getattr(pyo3::intern!(py, "call_time_ns"))?.extract()?);
            columns.returns.push(returned);
            columns.outcome.push(outcome);
            columns.client.push(client);
            columns.kind.push(kind);
        }
        columns.values = reader.values;
        columns.truthy = reader.truthy;
        columns.objects = reader.objects;
        columns.floats = reader.floats;
        Ok(columns)
    }

    fn __len__(&self) -> usize {
        self.calls.len()
    }
}

impl Columns {
    /// The number of a value, or one that no value of the history has.
    pub fn find(&self, value: &Bound<'_, PyAny>) -> PyResult<u32> {
        if value.is_none() {
            return Ok(NIL);
        }
        match self.numbers.bind(value.py()).get_item(value)? {
            Some(known) => known.extract(),
            None => Ok(self.values.len() as u32),
        }
    }

    pub fn text(&self, value: u32) -> Option<&str> {
        match self.values.get(value as usize) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub fn integer(&self, value: u32) -> Option<i64> {
        match self.values.get(value as usize) {
            Some(&Value::Number(number)) => Some(number),
            _ => None,
        }
    }

    pub fn of(&self, operation: u32) -> &Kind {
        &self.kinds[self.kind[operation as usize] as usize]
    }
}
