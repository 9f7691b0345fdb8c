//! From a model's name to a search of one partition, and back to what Python understands.

mod answer;

use std::collections::HashMap;

use crate::budget::Meter;
use crate::columns::{Columns, Kind, Name, Outcome, NIL};
use crate::intervals::{Intervals, Tokens, ANYTHING, NOTHING};
use crate::layout::{Facts, Layout, Reductions};
use crate::machines::{Counter, Elements, Fifo, Interned, Key, Machine, Map, Mutex, Whole};
use crate::search::Verdict;
use crate::seen;
use crate::step::{LastWriter, Move, Stepper};
pub use answer::Answer;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ModelName {
    Register,
    CasRegister,
    Kv,
    KvWhole,
    Counter,
    Set,
    Queue,
    Mutex,
    FencedMutex,
}

impl ModelName {
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "register" => ModelName::Register,
            "cas-register" => ModelName::CasRegister,
            "kv" => ModelName::Kv,
            "kv-whole" => ModelName::KvWhole,
            "counter" => ModelName::Counter,
            "set" => ModelName::Set,
            "queue" => ModelName::Queue,
            "mutex" => ModelName::Mutex,
            "fenced-mutex" => ModelName::FencedMutex,
            _ => return None,
        })
    }
}

/// The state of a model, in the columns' numbers.
pub enum View {
    Value(u32),
    Text(String),
    /// A value of a key that nobody read.
    Unseen,
    /// Key and value; None is one that nobody read.
    Entries(Vec<(u32, Option<String>)>),
    Number(i128),
    Elements(Vec<u32>),
    Line(Vec<u32>),
    Holder(Option<u32>),
    Fenced(Option<u32>, i64, i64),
}

/// Why a history is left to Python.
pub enum Refusal {
    /// Calls that are none of the model's, numbers that are floats, or more concurrency than masks hold.
    Unsupported,
    /// The verifier refused the order: a bug of this kernel.
    Certificate(String),
}

pub struct Task<'a> {
    pub columns: &'a Columns,
    pub model: ModelName,
    pub initial: u32,
    pub learn: bool,
    pub reductions: Reductions,
    pub meter: &'a Meter,
    /// A partition that fails ends all others.
    pub first_failure: bool,
    /// Only the verdict counts: what is known before a search is not searched for how far an order gets.
    pub hasty: bool,
    /// A short history may be tried as it was recorded; then no contradiction is looked for.
    pub quick: bool,
}

/// Kinds of operations, numbered for one partition at a time.
pub struct Local {
    number: Vec<u32>,
}

impl Local {
    pub fn new(columns: &Columns) -> Self {
        Local { number: vec![u32::MAX; columns.kinds.len()] }
    }

    fn kinds(&mut self, columns: &Columns, candidates: &[u32]) -> (Vec<u32>, Vec<Kind>) {
        let mut kinds = Vec::new();
        let mut kind = Vec::with_capacity(candidates.len());
        for &operation in candidates {
            let number = &mut self.number[columns.kind[operation as usize] as usize];
            if *number == u32::MAX {
                *number = kinds.len() as u32;
                kinds.push(*columns.of(operation));
            }
            kind.push(*number);
        }
        for &operation in candidates {
            self.number[columns.kind[operation as usize] as usize] = u32::MAX;
        }
        (kind, kinds)
    }
}

impl Task<'_> {
    /// Is this answer the last one that anybody asks for?
    pub fn ends(&self, answer: &Answer) -> bool {
        (self.hasty || self.first_failure) && answer.verdict == Verdict::Invalid
    }

    /// The partitions: the operations of each key for `kv`, everything otherwise.
    pub fn partitions(&self) -> Result<Vec<(Option<u32>, Vec<u32>)>, Refusal> {
        let columns = self.columns;
        let all = 0..columns.calls.len() as u32;
        if self.model != ModelName::Kv || !self.learn {
            return Ok(vec![(None, all.collect())]);
        }
        let mut place: HashMap<u32, usize> = HashMap::new();
        let mut parts: Vec<(Option<u32>, Vec<u32>)> = Vec::new();
        for operation in all {
            let call = columns.of(operation).call;
            if call.arguments == 0 {
                return Err(Refusal::Unsupported);
            }
            let at = *place.entry(call.first).or_insert_with(|| {
                parts.push((Some(call.first), Vec::new()));
                parts.len() - 1
            });
            parts[at].1.push(operation);
        }
        Ok(parts)
    }

    pub fn run(&self, key: Option<u32>, all: Vec<u32>, local: &mut Local) -> Result<Answer, Refusal> {
        let columns = self.columns;
        let candidates: Vec<u32> =
            all.iter().copied().filter(|&each| columns.outcome[each as usize] != Outcome::Failed).collect();
        let (kind, kinds) = local.kinds(columns, &candidates);
        let part = Part { task: self, key, all, candidates };
        let name = self.model;
        if columns.floats && matches!(name, ModelName::Counter | ModelName::FencedMutex | ModelName::Set) {
            return Err(Refusal::Unsupported);
        }
        match name {
            ModelName::Register | ModelName::CasRegister => {
                let (tokens, moves) = part.registers(&kind, &kinds).ok_or(Refusal::Unsupported)?;
                let stepper = LastWriter {
                    moves,
                    initial: self.initial,
                    extended: HashMap::new(),
                    unseen: 0,
                    steps: 0,
                };
                part.last_writer(kind, kinds.len(), tokens, stepper, |state| View::Value(state))
            }
            ModelName::Kv if self.learn => {
                if kinds.iter().any(|kind| !is_map(columns, kind)) {
                    return Err(Refusal::Unsupported);
                }
                match seen::learn(columns, &part.all, &part.candidates, &kind, kinds.len()) {
                    Some(seen::Seen { nodes, tokens, kind, stepper }) => {
                        part.last_writer(kind, kinds.len() + 4, tokens, stepper, |state| {
                            seen::value(columns, &nodes, state).map_or(View::Unseen, |text| View::Text(text.into()))
                        })
                    }
                    None => part.map(kind, &kinds, false),
                }
            }
            ModelName::Kv => part.map(kind, &kinds, false),
            ModelName::KvWhole if self.learn => part.whole(local),
            ModelName::KvWhole => part.map(kind, &kinds, true),
            ModelName::Counter => {
                let machine = Counter::new(columns, &kinds).ok_or(Refusal::Unsupported)?;
                let quiet = |kind: &Kind| kind.call.name == Name::Get;
                part.machine(kind, &kinds, machine, quiet, None, |_, state| View::Number(*state))
            }
            ModelName::Set => {
                let machine = Elements::new(columns, &kinds).ok_or(Refusal::Unsupported)?;
                let quiet = |kind: &Kind| match kind.call.name {
                    Name::Contains | Name::Read => true,
                    Name::Remove => kind.outcome == Outcome::Ok && columns.integer(kind.response) == Some(0),
                    _ => false,
                };
                part.machine(kind, &kinds, machine, quiet, None, |_, state| View::Elements(state.to_vec()))
            }
            ModelName::Queue => {
                let machine = Fifo::new(&kinds).ok_or(Refusal::Unsupported)?;
                let quiet = |kind: &Kind| {
                    kind.call.name == Name::Dequeue && kind.outcome == Outcome::Ok && kind.response == NIL
                };
                part.machine(kind, &kinds, machine, quiet, None, |_, state| View::Line(state.to_vec()))
            }
            ModelName::Mutex | ModelName::FencedMutex => part.mutex(&kinds, &kind, name == ModelName::FencedMutex),
        }
    }
}

fn is_map(columns: &Columns, kind: &Kind) -> bool {
    match (kind.call.name, kind.call.arguments) {
        (Name::Get, 1) => true,
        (Name::Put | Name::Append, 2) => columns.text(kind.call.second).is_some(),
        _ => false,
    }
}

struct Part<'a> {
    task: &'a Task<'a>,
    key: Option<u32>,
    all: Vec<u32>,
    candidates: Vec<u32>,
}

impl Part<'_> {
    fn registers(&self, kind: &[u32], kinds: &[Kind]) -> Option<(Tokens, Vec<Move>)> {
        let columns = self.task.columns;
        let cas = self.task.model == ModelName::CasRegister;
        let mut what: Vec<(Move, u32, u32)> = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let unknown = kind.outcome == Outcome::Unknown;
            let (first, second) = (kind.call.first, kind.call.second);
            what.push(match (kind.call.name, kind.call.arguments) {
                (Name::Read, 0) if unknown => (Move::Stay, NOTHING, NOTHING),
                (Name::Read, 0) => (Move::Read(kind.response), kind.response, NOTHING),
                (Name::Write, 1) => (Move::Write(first), NOTHING, first),
                (Name::Cas, 2) if cas && (unknown || columns.truthy[kind.response as usize]) => {
                    (Move::Swap(first, second), first, second)
                }
                (Name::Cas, 2) if cas => (Move::Refused(first), ANYTHING, NOTHING),
                _ => return None,
            });
        }
        let tokens = Tokens {
            reads: kind.iter().map(|&kind| what[kind as usize].1).collect(),
            writes: kind.iter().map(|&kind| what[kind as usize].2).collect(),
            initial: self.task.initial,
            count: columns.values.len() + 1, // the initial value may be none of the history's
        };
        Some((tokens, what.into_iter().map(|each| each.0).collect()))
    }

    fn intervals(&self) -> Intervals {
        let columns = self.task.columns;
        let each = || self.candidates.iter().map(|&operation| operation as usize);
        Intervals::plain(
            each().map(|operation| columns.calls[operation]).collect(),
            each().map(|operation| columns.returns[operation]).collect(),
            each().map(|operation| columns.outcome[operation] == Outcome::Ok).collect(),
        )
    }

    fn last_writer(
        self,
        kind: Vec<u32>,
        kinds: usize,
        tokens: Tokens,
        mut stepper: LastWriter,
        view: impl Fn(u32) -> View,
    ) -> Result<Answer, Refusal> {
        if let Some(tried) = self.quick(&kind, &tokens, &mut stepper) {
            return self.answer(&[], tried, view);
        }
        let mut intervals = self.intervals();
        if self.task.reductions.tighten {
            intervals.tighten(Some(&tokens), None, self.task.hasty);
        }
        if self.task.hasty && !intervals.contradiction.is_empty() {
            return Ok(self.contradicted(intervals.contradiction));
        }
        let quiet = tokens.writes.iter().map(|&token| token == NOTHING).collect();
        let facts = Facts { kind, kinds, quiet, place: None, hint: None, tokens: Some(tokens) };
        let layout = Layout::new(&intervals, facts, self.task.reductions);
        let found = self.search(&layout, &mut stepper)?;
        self.answer(&intervals.contradiction, found.located(&layout), view)
    }

    fn map(self, kind: Vec<u32>, kinds: &[Kind], whole: bool) -> Result<Answer, Refusal> {
        let columns = self.task.columns;
        let machine = Map::new(columns, kinds, whole).ok_or(Refusal::Unsupported)?;
        let quiet = |kind: &Kind| kind.call.name == Name::Get;
        self.machine(kind, kinds, machine, quiet, None, |map, state| {
            let text = |number: u32| map.texts.texts[number as usize].to_string();
            if !whole {
                return View::Text(state.first().map_or(String::new(), |&number| text(number)));
            }
            let filled = map.keys.iter().zip(state.iter()).filter(|(_, &number)| number != 0);
            View::Entries(filled.map(|(&key, &number)| (key, Some(text(number)))).collect())
        })
    }

    /// The whole map: every key narrows its own operations, since what it saw is all about it.
    fn whole(self, local: &mut Local) -> Result<Answer, Refusal> {
        let columns = self.task.columns;
        let mut place: HashMap<u32, usize> = HashMap::new();
        let mut of_key: Vec<(u32, Vec<u32>, Vec<usize>)> = Vec::new(); // key, operations, positions of candidates
        let mut position = 0;
        for &operation in &self.all {
            let key = columns.of(operation).call.first;
            let at = *place.entry(key).or_insert_with(|| {
                of_key.push((key, Vec::new(), Vec::new()));
                of_key.len() - 1
            });
            of_key[at].1.push(operation);
            if columns.outcome[operation as usize] != Outcome::Failed {
                of_key[at].2.push(position);
                position += 1;
            }
        }
        let mut intervals = self.intervals();
        let mut machine = Whole { keys: Vec::new(), moves: Vec::new() };
        let mut kind = vec![0; self.candidates.len()];
        let mut quiet = vec![false; self.candidates.len()];
        for (place, (key, all, positions)) in of_key.into_iter().enumerate() {
            let candidates: Vec<u32> = positions.iter().map(|&at| self.candidates[at]).collect();
            let (own, kinds) = local.kinds(columns, &candidates);
            if kinds.iter().any(|kind| !is_map(columns, kind)) {
                return Err(Refusal::Unsupported);
            }
            let base = machine.moves.len() as u32;
            let place = place as u32;
            let own = match seen::learn(columns, &all, &candidates, &own, kinds.len()) {
                Some(seen::Seen { nodes, tokens, kind, stepper }) => {
                    if self.task.reductions.tighten {
                        intervals.tighten_some(&positions, &tokens);
                    }
                    let LastWriter { moves, extended, unseen, .. } = stepper;
                    machine.moves.extend(moves.into_iter().map(|what| (place, Ok(what))));
                    machine.keys.push((key, Key::Learned { extended, unseen, nodes }));
                    kind
                }
                None => {
                    machine.moves.extend((0..kinds.len() as u32).map(|own| (place, Err(own))));
                    let map = Map::new(columns, &kinds, false).ok_or(Refusal::Unsupported)?;
                    machine.keys.push((key, Key::Plain(map)));
                    own
                }
            };
            for (&at, own) in positions.iter().zip(own) {
                kind[at] = base + own;
                quiet[at] = columns.of(self.candidates[at]).call.name == Name::Get;
            }
        }
        let kinds = machine.moves.len();
        let facts = Facts { kind, kinds, quiet, place: None, hint: None, tokens: None };
        let layout = Layout::new(&intervals, facts, self.task.reductions);
        let mut stepper = Interned::new(machine);
        let found = self.search(&layout, &mut stepper)?;
        self.answer(&intervals.contradiction, found.located(&layout), |state| {
            let filled = stepper.machine.keys.iter().zip(&stepper.states[state as usize]).filter(|each| *each.1 != 0);
            let text = |key: &Key, number: u32| match key {
                Key::Learned { nodes, .. } => seen::value(columns, nodes, number).map(str::to_string),
                Key::Plain(map) => Some(map.texts.texts[number as usize].to_string()),
            };
            View::Entries(filled.map(|((name, key), &number)| (*name, text(key, number))).collect())
        })
    }

    fn mutex(self, kinds: &[Kind], kind: &[u32], fenced: bool) -> Result<Answer, Refusal> {
        let columns = self.task.columns;
        let mut numbers: HashMap<(u32, u32), u32> = HashMap::new();
        let mut own: Vec<(Kind, u32)> = Vec::new();
        let mut kind_of = Vec::with_capacity(kind.len());
        let mut place = Vec::with_capacity(kind.len());
        for (&operation, &kind) in self.candidates.iter().zip(kind) {
            let client = columns.client[operation as usize];
            let what = kinds[kind as usize];
            kind_of.push(*numbers.entry((kind, client)).or_insert_with(|| {
                own.push((what, client));
                own.len() as u32 - 1
            }));
            let numbered = what.call.name == Name::Acquire && what.outcome == Outcome::Ok;
            place.push(columns.integer(what.response).filter(|_| numbered));
        }
        let machine = Mutex::new(columns, &own, fenced).ok_or(Refusal::Unsupported)?;
        let kinds: Vec<Kind> = own.iter().map(|each| each.0).collect();
        self.machine(kind_of, &kinds, machine, |_| false, fenced.then_some(place), |_, state| {
            let holder = state.0.checked_sub(1);
            if fenced { View::Fenced(holder, state.1, state.2) } else { View::Holder(holder) }
        })
    }

    fn machine<M: Machine>(
        self,
        kind: Vec<u32>,
        kinds: &[Kind],
        machine: M,
        quiet: impl Fn(&Kind) -> bool,
        place: Option<Vec<Option<i64>>>,
        view: impl Fn(&M, &M::State) -> View,
    ) -> Result<Answer, Refusal> {
        let mut intervals = self.intervals();
        if let (true, Some(place)) = (self.task.reductions.tighten, &place) {
            intervals.tighten(None, Some(place), self.task.hasty);
        }
        let quiet = kind.iter().map(|&kind| quiet(&kinds[kind as usize])).collect();
        let hint = place.clone();
        let facts = Facts { kind, kinds: kinds.len(), quiet, place, hint, tokens: None };
        let layout = Layout::new(&intervals, facts, self.task.reductions);
        let mut stepper = Interned::new(machine);
        let found = self.search(&layout, &mut stepper as &mut dyn Stepper)?;
        self.answer(&intervals.contradiction, found.located(&layout), |state| view(&stepper.machine, &stepper.states[state as usize]))
    }
}
