//! Plain operations of an etcd from a run's JSON lines, as `gauntlet.checkers.records` and
//! `gauntlet.checkers.etcd.records` read them: the register workload's (get, put, delete, cas) and the
//! whole store's (range, put, delete_range, txn).
//!
//! It knows no errors: at the first line that is broken, or not plain, or that contradicts another, the whole
//! file is left to Python, which knows what to say of which line.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::etcd::{left, EtcdColumns, Row, What, NO_KEY, UNSAID, UNSAID_VALUE};
use crate::json::{Broken, Json, Part, Value};
use crate::numbers::Numbers;

/// Not for this kernel.
struct Left;

impl From<Broken> for Left {
    fn from(_: Broken) -> Self {
        Left
    }
}

type Read<T> = Result<T, Left>;

fn only(holds: bool) -> Read<()> {
    holds.then_some(()).ok_or(Left)
}

/// A field that may be missing: null is the same where the record is an answer's.
fn optional(value: Option<Value<'_>>) -> Read<i64> {
    match value.map(Value::part) {
        None | Some(Part::Null) => Ok(UNSAID),
        Some(Part::Int(number)) if number >= 0 => Ok(number),
        _ => Err(Left),
    }
}

fn text(value: Option<Value<'_>>) -> Read<&[u8]> {
    value.and_then(Value::text).ok_or(Left)
}

fn unsaid(value: Option<Value<'_>>) -> bool {
    value.is_none_or(|value| value.part() == Part::Null)
}

/// The values of an object under these names; as in Python, the last of several under one name.
fn pick<'a, const N: usize>(object: Value<'a>, names: [&str; N]) -> Read<[Option<Value<'a>>; N]> {
    let mut found = [None; N];
    for (name, value) in object.fields().ok_or(Left)? {
        if let Some(at) = names.iter().position(|known| known.as_bytes() == name) {
            found[at] = Some(value);
        }
    }
    Ok(found)
}

/// What a request may say besides its key and value, each as if it had not been said.
fn plain(args: Option<Value<'_>>, numbers: &[&str], flags: &[&str], words: &[(&str, &str)]) -> Read<()> {
    let Some(args) = args.filter(|args| args.part() != Part::Null) else { return Ok(()) };
    for (name, value) in args.fields().ok_or(Left)? {
        let known = |names: &[&str]| names.iter().any(|known| known.as_bytes() == name);
        let wanted = words.iter().find(|(known, _)| known.as_bytes() == name);
        only(!known(numbers) || value.part() == Part::Int(0))?;
        only(!known(flags) || value.part() == Part::Bool(false))?;
        only(wanted.is_none_or(|(_, word)| value.text() == Some(word.as_bytes())))?;
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Get,
    Put,
    Delete,
}

/// One line's row, and where its keys and values are numbered.
struct Reader<'n> {
    row: Row,
    keys: &'n mut Numbers,
    values: &'n mut Numbers,
}

impl Reader<'_> {
    fn key(&mut self, key: Option<Value<'_>>) -> Read<u32> {
        let key = text(key)?;
        only(!key.is_empty())?; // refused by etcd
        Ok(self.keys.number(key))
    }

    /// The line's call, and its answer where it has one.
    fn operation(
        &mut self,
        op: &[u8],
        key: Option<Value<'_>>,
        args: Option<Value<'_>>,
        answer: Option<Value<'_>>,
    ) -> Read<()> {
        if op == b"txn" {
            return self.txn(args.ok_or(Left)?, answer);
        }
        let said = args.filter(|args| args.part() != Part::Null);
        let valued = said.is_none_or(|args| args.fields().is_some_and(|mut all| all.all(|(name, _)| name == b"value")));
        if matches!(op, b"get" | b"delete" | b"cas") || (op == b"put" && valued) {
            return self.of_register(op, key, args, answer);
        }
        let asked = self.request(op, key, args)?;
        if let Some(answer) = answer {
            self.row.revision = self.answered(asked, key, answer)?;
        }
        Ok(())
    }

    fn of_register(
        &mut self,
        op: &[u8],
        key: Option<Value<'_>>,
        args: Option<Value<'_>>,
        answer: Option<Value<'_>>,
    ) -> Read<()> {
        plain(args, &[], &["serializable"], &[])?;
        self.row.key = self.key(key)?;
        let [asked, expected] = match args.filter(|args| args.part() != Part::Null) {
            Some(args) => pick(args, ["value", "expected"])?,
            None => [None; 2],
        };
        if op == b"cas" {
            self.row.guard = self.row.key;
            let Some(Part::Int(expected)) = expected.map(Value::part) else { return Err(Left) };
            self.row.expected = expected;
        }
        let asked = if matches!(op, b"put" | b"cas") { Some(text(asked)?) } else { None };
        let Some(answer) = answer else { return Ok(()) };
        let names = ["revision", "mod_revision", "version", "create_revision", "deleted", "value", "succeeded"];
        let [revision, modified, version, create, deleted, value, succeeded] = pick(answer, names)?;
        let row = &mut self.row;
        row.revision = optional(revision)?;
        (row.modified, row.version, row.create) = (optional(modified)?, optional(version)?, optional(create)?);
        let deleted = optional(deleted)?;
        let value = if unsaid(value) { None } else { Some(text(value)?) };
        row.holds = match succeeded.map(Value::part) {
            None | Some(Part::Null) => op != b"cas",
            Some(Part::Bool(holds)) => holds || op != b"cas",
            _ => return Err(Left),
        };
        row.what = match (op, deleted, row.modified) {
            (b"delete", 1, _) => What::Delete,
            (b"delete", UNSAID | 0, _) => What::DeleteNothing,
            (b"delete", _, _) => return Err(Left),
            (b"put", _, _) => What::Put,
            (b"cas", _, _) if row.holds => What::Put,
            (_, _, UNSAID) => What::Unsaid,
            (_, _, 0) => What::Absent,
            _ => What::Pair,
        };
        let value = if row.what == What::Put { asked } else { value };
        row.value = value.map_or(UNSAID_VALUE, |value| self.values.number(value));
        Ok(())
    }

    /// A request for one key, alone or in a transaction.
    fn request(&mut self, op: &[u8], key: Option<Value<'_>>, args: Option<Value<'_>>) -> Read<Asked> {
        self.row.key = self.key(key)?;
        match op {
            b"range" => {
                let revisions = [
                    "limit",
                    "revision",
                    "min_mod_revision",
                    "max_mod_revision",
                    "min_create_revision",
                    "max_create_revision",
                ];
                let flags = ["keys_only", "count_only", "serializable"];
                let words = [("end", ""), ("sort_order", "none"), ("sort_target", "key")];
                plain(args, &revisions, &flags, &words)?;
                Ok(Asked::Get)
            }
            b"put" => {
                plain(args, &["lease"], &["prev_kv", "ignore_value", "ignore_lease"], &[])?;
                let value = match args {
                    Some(args) if args.part() != Part::Null => pick(args, ["value"])?[0],
                    _ => None,
                };
                let value = if value.is_none() { b"" } else { text(value)? };
                self.row.value = self.values.number(value);
                Ok(Asked::Put)
            }
            b"delete_range" => {
                plain(args, &[], &["prev_kv"], &[("end", "")])?;
                Ok(Asked::Delete)
            }
            _ => Err(Left),
        }
    }

    /// What it was answered; gives the revision.
    fn answered(&mut self, asked: Asked, key: Option<Value<'_>>, answer: Value<'_>) -> Read<i64> {
        let names = ["revision", "kvs", "count", "more", "prev_kv", "deleted", "prev_kvs"];
        let [revision, kvs, count, more, prev_kv, deleted, prev_kvs] = pick(answer, names)?;
        match asked {
            Asked::Get => {
                only(unsaid(more) || more.is_some_and(|more| more.part() == Part::Bool(false)))?;
                self.found(text(key)?, kvs, optional(count)?)?;
            }
            Asked::Put => {
                only(unsaid(prev_kv))?;
                self.row.what = What::Put;
            }
            Asked::Delete => {
                let none = |kvs: Value<'_>| kvs.items().is_some_and(|mut kvs| kvs.next().is_none());
                only(unsaid(prev_kvs) || prev_kvs.is_some_and(none))?;
                self.row.what = match optional(deleted)? {
                    0 => What::DeleteNothing,
                    1 => What::Delete,
                    _ => return Err(Left),
                };
            }
        }
        optional(revision)
    }

    /// What a get was answered.
    fn found(&mut self, key: &[u8], kvs: Option<Value<'_>>, count: i64) -> Read<()> {
        let Some(kvs) = kvs.filter(|kvs| kvs.part() != Part::Null) else {
            self.row.what = What::Unsaid;
            return only(count == UNSAID);
        };
        let mut kvs = kvs.items().ok_or(Left)?;
        let (first, second) = (kvs.next(), kvs.next());
        only(second.is_none() && (count == UNSAID || count == i64::from(first.is_some())))?;
        let Some(pair) = first else {
            self.row.what = What::Absent;
            return Ok(());
        };
        let names = ["key", "value", "create_revision", "mod_revision", "version", "lease"];
        let [held, value, create, modified, version, lease] = pick(pair, names)?;
        only(text(held)? == key && optional(lease)? <= 0)?;
        let row = &mut self.row;
        row.what = What::Pair;
        row.value = if unsaid(value) { UNSAID_VALUE } else { self.values.number(text(value)?) };
        (row.create, row.modified, row.version) = (optional(create)?, optional(modified)?, optional(version)?);
        Ok(())
    }

    fn txn(&mut self, args: Value<'_>, answer: Option<Value<'_>>) -> Read<()> {
        let [compares, success, failure] = pick(args, ["compare", "success", "failure"])?;
        let guarded = match one(compares)? {
            Some(compare) => self.compare(compare)?,
            None => (NO_KEY, 0),
        };
        let mut taken = None;
        let mut answers = None;
        if let Some(answer) = answer {
            let [revision, succeeded, given] = pick(answer, ["revision", "succeeded", "responses"])?;
            let Some(Part::Bool(holds)) = succeeded.map(Value::part) else { return Err(Left) };
            only(holds || guarded.0 != NO_KEY)?;
            self.row.holds = holds;
            self.row.revision = optional(revision)?;
            answers = one(Some(given.ok_or(Left)?))?;
            taken = Some(holds);
        }
        // The branch that was taken comes last: it is the row.
        let branches = [(failure, false), (success, true)];
        let last = taken.unwrap_or(true);
        for (branch, which) in if last { branches } else { [branches[1], branches[0]] } {
            let request = one(branch)?;
            let mut asked = None;
            self.row.value = UNSAID_VALUE;
            if let Some(request) = request {
                let [op, key, args] = pick(request, ["op", "key", "args"])?;
                asked = Some((self.request(text(op)?, key, args)?, key));
            }
            if taken != Some(which) {
                continue;
            }
            match (asked, answers) {
                (None, None) => (self.row.key, self.row.what) = (NO_KEY, What::Nothing),
                (Some((asked, key)), Some(answer)) => {
                    self.answered(asked, key, answer)?;
                }
                _ => return Err(Left),
            }
        }
        (self.row.guard, self.row.expected) = guarded;
        Ok(())
    }

    fn compare(&mut self, compare: Value<'_>) -> Read<(u32, i64)> {
        let [key, target, result, value, end] = pick(compare, ["key", "target", "result", "value", "end"])?;
        only(text(target)? == b"mod")?;
        only(result.is_none() || text(result)? == b"=")?;
        only(end.is_none() || text(end)?.is_empty())?;
        let Some(Part::Int(expected)) = value.map(Value::part) else { return Err(Left) };
        Ok((self.key(key)?, expected))
    }
}

/// The only item of a list that has at most one; a list that is missing has none.
fn one(list: Option<Value<'_>>) -> Read<Option<Value<'_>>> {
    let Some(list) = list else { return Ok(None) };
    let mut items = list.items().ok_or(Left)?;
    let first = items.next();
    only(items.next().is_none())?;
    Ok(first)
}

/// Any operation: what tells whether its client could have made it.
struct Span {
    call: i64,
    /// i64::MIN: nobody knows when the client went on.
    returned: i64,
    client: u32,
}

/// A file of lines, read in pieces of any size.
#[pyclass(module = "porcupine_native")]
pub struct EtcdLines {
    refusals: Vec<Vec<u8>>,
    json: Json,
    rest: Vec<u8>,
    spans: Vec<Span>,
    rows: Vec<Row>,
    keys: Numbers,
    values: Numbers,
    clients: Numbers,
    outcomes: [usize; 3],
}

#[pymethods]
impl EtcdLines {
    /// EtcdLines(refusals): the messages by which an etcd says something about its store.
    #[new]
    fn new(refusals: Vec<Vec<u8>>) -> Self {
        EtcdLines {
            refusals,
            json: Json::default(),
            rest: Vec::new(),
            spans: Vec::new(),
            rows: Vec::new(),
            keys: Numbers::default(),
            values: Numbers::default(),
            clients: Numbers::default(),
            outcomes: [0; 3],
        }
    }

    /// The next bytes of the file. NotImplementedError: this file is for Python.
    fn feed(&mut self, piece: &Bound<'_, PyBytes>) -> PyResult<()> {
        let bytes = piece.as_bytes();
        piece.py().detach(|| self.take(bytes)).map_err(|_| left())
    }

    /// All of it. NotImplementedError: this file is for Python.
    fn columns(&mut self, py: Python<'_>) -> PyResult<EtcdColumns> {
        py.detach(|| self.end()).map_err(|_| left())
    }
}

impl EtcdLines {
    fn take(&mut self, mut bytes: &[u8]) -> Read<()> {
        let length = |bytes: &[u8]| bytes.iter().position(|&byte| byte == b'\n');
        if !self.rest.is_empty() {
            let Some(end) = length(bytes) else {
                self.rest.extend_from_slice(bytes);
                return Ok(());
            };
            self.rest.extend_from_slice(&bytes[..end]);
            let line = std::mem::take(&mut self.rest);
            self.line(&line)?;
            bytes = &bytes[end + 1..];
        }
        while let Some(end) = length(bytes) {
            self.line(&bytes[..end])?;
            bytes = &bytes[end + 1..];
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self) -> Read<EtcdColumns> {
        let line = std::mem::take(&mut self.rest);
        self.line(&line)?;
        let (mut spans, mut rows) = (std::mem::take(&mut self.spans), std::mem::take(&mut self.rows));
        spans.sort_by_key(|span| span.call);
        rows.sort_by_key(|row| row.call);
        let mut busy = vec![i64::MIN; self.clients.len()];
        for span in spans {
            let busy = &mut busy[span.client as usize];
            only(*busy <= span.call)?;
            *busy = span.returned;
        }
        Ok(EtcdColumns::of_rows(None, rows, self.keys.len(), self.outcomes))
    }

    fn line(&mut self, line: &[u8]) -> Read<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        std::str::from_utf8(line).map_err(|_| Left)?;
        let names = [
            "id", "client", "call_ns", "return_ns", "outcome", "op", "key", "args", "response", "error",
        ];
        let record = self.json.read(line)?;
        let [id, client, call, returned, outcome, op, key, args, response, error] = pick(record, names)?;
        only(id.is_none_or(|id| matches!(id.part(), Part::Int(_))))?;
        let Some(Part::Int(call)) = call.map(Value::part) else { return Err(Left) };
        let returned = match returned.map(Value::part) {
            Some(Part::Int(returned)) if returned >= call => returned,
            None | Some(Part::Null) => i64::MIN,
            _ => return Err(Left),
        };
        let client = match client.ok_or(Left)?.part() {
            Part::Int(number) => self.clients.number(&number.to_be_bytes()),
            Part::Text { .. } => self.clients.number(&[b"text of it: ", text(client)?].concat()),
            _ => return Err(Left),
        };
        let outcome = text(outcome)?;
        let at = ["ok", "failed", "unknown"].iter().position(|known| known.as_bytes() == outcome).ok_or(Left)?;
        let ok = at == 0;
        only(!ok || returned != i64::MIN)?;
        if let Some(error) = error.filter(|error| !ok && error.part() != Part::Null) {
            let [message] = pick(error, ["message"])?;
            let message = text(message)?;
            only(!self.refusals.iter().any(|refusal| refusal == message))?;
        }
        let answer = response.filter(|response| response.part() != Part::Null);
        only(ok == answer.is_some())?;
        let number = self.spans.len() as u32;
        let row = Row::new(call, returned, number);
        let mut reader = Reader { row, keys: &mut self.keys, values: &mut self.values };
        reader.operation(text(op)?, key, args, answer)?;
        let row = reader.row;
        only(!ok || row.revision != UNSAID)?;
        self.spans.push(Span { call, returned, client });
        self.outcomes[at] += 1;
        if ok {
            self.rows.push(row);
        }
        Ok(())
    }
}
