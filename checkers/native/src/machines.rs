//! The built-in models that intern their states: kv, counter, set, queue, mutex. Each answer for a state and
//! a kind is worked out once.
//!
//! What the operations mean is said in `porcupine.models`.

use std::hash::Hash;

use crate::columns::{Columns, Kind, Name, Outcome, Value, NIL};
use crate::configuration::Quick;
use crate::step::{Move, State, Stepper, REJECTED};

/// A model over states of its own; None is a rejection.
pub trait Machine: Send {
    type State: Clone + Eq + Hash + Send;
    fn initial(&self) -> Self::State;
    fn step(&mut self, state: &Self::State, kind: u32) -> Option<Self::State>;
    /// The answer of an operation that changes nothing, where it is cheaper to work out than to remember.
    fn glance(&self, _state: &Self::State, _kind: u32) -> Option<bool> {
        None
    }
    /// Roughly, what a state takes up.
    fn weight(&self, state: &Self::State) -> usize;
}

pub struct Interned<M: Machine> {
    pub machine: M,
    pub states: Vec<M::State>,
    ids: Quick<M::State, State>,
    rows: Quick<(State, u32), u32>,
    steps: u64,
    weight: usize,
}

impl<M: Machine> Interned<M> {
    pub fn new(machine: M) -> Self {
        let first = machine.initial();
        let mut ids = Quick::default();
        ids.insert(first.clone(), 0);
        Interned { machine, states: vec![first], ids, rows: Quick::default(), steps: 0, weight: 0 }
    }
}

/// Rows are a cache: they are dropped together when they have grown past this many answers.
const ROWS: usize = 4_000_000;

impl<M: Machine> Stepper for Interned<M> {
    #[inline]
    fn step(&mut self, state: State, kind: u32) -> u32 {
        if let Some(accepted) = self.machine.glance(&self.states[state as usize], kind) {
            return if accepted { state } else { REJECTED };
        }
        if let Some(&known) = self.rows.get(&(state, kind)) {
            return known;
        }
        self.steps += 1;
        let answer = match self.machine.step(&self.states[state as usize], kind) {
            None => REJECTED,
            Some(after) => match self.ids.get(&after) {
                Some(&known) => known,
                None => {
                    let new = self.states.len() as State;
                    self.weight += 2 * self.machine.weight(&after) + 16;
                    self.ids.insert(after.clone(), new);
                    self.states.push(after);
                    new
                }
            },
        };
        if self.rows.len() >= ROWS {
            self.rows.clear();
        }
        self.rows.insert((state, kind), answer);
        answer
    }

    fn steps(&self) -> u64 {
        self.steps
    }

    fn bytes(&self) -> usize {
        self.weight + self.rows.capacity() * 13
    }
}

/// Texts as numbers, and what appending gives.
pub struct Texts {
    pub texts: Vec<Box<str>>,
    ids: Quick<Box<str>, u32>,
    joined: Quick<(u32, u32), u32>,
}

impl Texts {
    pub fn new() -> Self {
        let mut texts = Texts { texts: Vec::new(), ids: Quick::default(), joined: Quick::default() };
        texts.number("");
        texts
    }
    pub fn number(&mut self, text: &str) -> u32 {
        if let Some(&known) = self.ids.get(text) {
            return known;
        }
        let new = self.texts.len() as u32;
        self.texts.push(text.into());
        self.ids.insert(text.into(), new);
        new
    }
    fn join(&mut self, before: u32, part: u32) -> u32 {
        if let Some(&known) = self.joined.get(&(before, part)) {
            return known;
        }
        let text = format!("{}{}", self.texts[before as usize], self.texts[part as usize]);
        let number = self.number(&text);
        self.joined.insert((before, part), number);
        number
    }
}

#[derive(Clone, Copy)]
enum Edit {
    Stay,
    Is(u32),
    Put(u32),
    Append(u32),
    Never,
}

/// A map from keys to texts; with one key it is the model of one key.
pub struct Map {
    pub texts: Texts,
    pub keys: Vec<u32>,
    edits: Vec<(usize, Edit)>,
}

impl Map {
    /// None where the calls are not those of a map.
    pub fn new(columns: &Columns, kinds: &[Kind], whole: bool) -> Option<Self> {
        let mut map = Map { texts: Texts::new(), keys: Vec::new(), edits: Vec::new() };
        for kind in kinds {
            let key = if whole { kind.call.first } else { NIL };
            let place = map.keys.iter().position(|&known| known == key).unwrap_or_else(|| {
                map.keys.push(key);
                map.keys.len() - 1
            });
            let edit = match (kind.call.name, kind.call.arguments) {
                (Name::Get, 1) if kind.outcome == Outcome::Unknown => Edit::Stay,
                (Name::Get, 1) => match columns.text(kind.response) {
                    Some(text) => Edit::Is(map.texts.number(text)),
                    None => Edit::Never,
                },
                (Name::Put, 2) => Edit::Put(map.texts.number(columns.text(kind.call.second)?)),
                (Name::Append, 2) => Edit::Append(map.texts.number(columns.text(kind.call.second)?)),
                _ => return None,
            };
            map.edits.push((place, edit));
        }
        Some(map)
    }
}

impl Machine for Map {
    type State = Box<[u32]>;
    fn initial(&self) -> Self::State {
        vec![0; self.keys.len()].into()
    }
    fn step(&mut self, state: &Self::State, kind: u32) -> Option<Self::State> {
        let (place, edit) = self.edits[kind as usize];
        let here = state[place];
        let after = match edit {
            Edit::Stay => here,
            Edit::Is(text) if here == text => here,
            Edit::Put(text) => text,
            Edit::Append(part) => self.texts.join(here, part),
            _ => return None,
        };
        let mut following = state.clone();
        following[place] = after;
        Some(following)
    }
    #[inline]
    fn glance(&self, state: &Self::State, kind: u32) -> Option<bool> {
        match self.edits[kind as usize] {
            (_, Edit::Stay) => Some(true),
            (place, Edit::Is(text)) => Some(state[place] == text),
            (_, Edit::Never) => Some(false),
            _ => None,
        }
    }
    fn weight(&self, state: &Self::State) -> usize {
        state.len() * 4 + 16
    }
}

/// A key of a whole map: what its own operations teach (`seen`), or its texts as they are.
pub enum Key {
    Learned { extended: std::collections::HashMap<(u32, u32), u32>, unseen: u32, nodes: Vec<(u32, usize)> },
    Plain(Map),
}

/// A map as one state, of which each key is stepped by its own rules.
pub struct Whole {
    pub keys: Vec<(u32, Key)>,
    /// By kind: the key's place, and what it does there; for a plain key the kind among its own.
    pub moves: Vec<(u32, Result<Move, u32>)>,
}

impl Machine for Whole {
    type State = Box<[u32]>;
    fn initial(&self) -> Self::State {
        vec![0; self.keys.len()].into()
    }
    fn glance(&self, state: &Self::State, kind: u32) -> Option<bool> {
        let (place, what) = self.moves[kind as usize];
        let here = state[place as usize];
        match what {
            Ok(Move::Stay) => Some(true),
            Ok(Move::Read(value)) => Some(here == value),
            Ok(Move::Swap(expected, _)) if here != expected => Some(false),
            Ok(Move::Never) => Some(false),
            _ => None,
        }
    }
    fn step(&mut self, state: &Self::State, kind: u32) -> Option<Self::State> {
        let (place, what) = self.moves[kind as usize];
        let here = state[place as usize];
        let after = match (what, &mut self.keys[place as usize].1) {
            (Ok(Move::Stay), _) => here,
            (Ok(Move::Write(value)), _) => value,
            (Ok(Move::Read(value)), _) if here == value => here,
            (Ok(Move::Swap(expected, value)), _) if here == expected => value,
            (Ok(Move::Append(part)), Key::Learned { extended, unseen, .. }) => {
                extended.get(&(here, part)).copied().unwrap_or(*unseen)
            }
            (Err(own), Key::Plain(map)) => map.step(&vec![here].into(), own)?[0],
            _ => return None,
        };
        let mut following = state.clone();
        following[place as usize] = after;
        Some(following)
    }
    fn weight(&self, state: &Self::State) -> usize {
        state.len() * 4 + 16
    }
}

pub struct Counter {
    /// (added, the answer): None where nothing has to be right.
    edits: Vec<(i64, Option<Option<i64>>)>,
}

impl Counter {
    pub fn new(columns: &Columns, kinds: &[Kind]) -> Option<Self> {
        let mut edits = Vec::new();
        for kind in kinds {
            let ok = kind.outcome == Outcome::Ok;
            edits.push(match (kind.call.name, kind.call.arguments) {
                (Name::Add, 1) => {
                    let checked = ok && kind.response != NIL;
                    (columns.integer(kind.call.first)?, checked.then(|| columns.integer(kind.response)))
                }
                (Name::Get, 0) => (0, ok.then(|| columns.integer(kind.response))),
                _ => return None,
            });
        }
        Some(Counter { edits })
    }
}

impl Machine for Counter {
    type State = i128;
    fn initial(&self) -> i128 {
        0
    }
    fn step(&mut self, state: &i128, kind: u32) -> Option<i128> {
        let (amount, answer) = self.edits[kind as usize];
        let after = state + i128::from(amount);
        match answer {
            Some(answer) if answer.map(i128::from) != Some(after) => None,
            _ => Some(after),
        }
    }
    fn weight(&self, _: &i128) -> usize {
        16
    }
}

#[derive(Clone)]
enum Change {
    Add(u32),
    /// The element, and whether it must have been there.
    Remove(u32, Option<bool>),
    Contains(u32, bool),
    Is(Box<[u32]>),
    Stay,
    Never,
}

pub struct Elements {
    changes: Vec<Change>,
}

impl Elements {
    pub fn new(columns: &Columns, kinds: &[Kind]) -> Option<Self> {
        let mut changes = Vec::new();
        for kind in kinds {
            let ok = kind.outcome == Outcome::Ok;
            let element = kind.call.first;
            let told = match columns.integer(kind.response) {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            };
            changes.push(match (kind.call.name, kind.call.arguments) {
                (Name::Add, 1) => Change::Add(element),
                (Name::Remove, 1) if !ok || kind.response == NIL => Change::Remove(element, None),
                (Name::Remove, 1) => told.map_or(Change::Never, |told| Change::Remove(element, Some(told))),
                (Name::Contains, 1) | (Name::Read, 0) if !ok => Change::Stay,
                (Name::Contains, 1) => told.map_or(Change::Never, |told| Change::Contains(element, told)),
                (Name::Read, 0) => match &columns.values[kind.response as usize] {
                    Value::Set(elements) => Change::Is(elements.clone()),
                    _ => Change::Never,
                },
                _ => return None,
            });
        }
        Some(Elements { changes })
    }
}

impl Machine for Elements {
    type State = Box<[u32]>;
    fn initial(&self) -> Self::State {
        Box::new([])
    }
    fn step(&mut self, state: &Self::State, kind: u32) -> Option<Self::State> {
        let there = |element: &u32| state.binary_search(element);
        match &self.changes[kind as usize] {
            Change::Add(element) => Some(match there(element) {
                Ok(_) => state.clone(),
                Err(at) => [&state[..at], &[*element], &state[at..]].concat().into(),
            }),
            Change::Remove(element, told) => {
                let found = there(element);
                if told.is_some_and(|told| told != found.is_ok()) {
                    return None;
                }
                Some(match found {
                    Ok(at) => [&state[..at], &state[at + 1..]].concat().into(),
                    Err(_) => state.clone(),
                })
            }
            Change::Contains(element, told) => (there(element).is_ok() == *told).then(|| state.clone()),
            Change::Is(elements) => (elements == state).then(|| state.clone()),
            Change::Stay => Some(state.clone()),
            Change::Never => None,
        }
    }
    fn glance(&self, state: &Self::State, kind: u32) -> Option<bool> {
        match &self.changes[kind as usize] {
            Change::Contains(element, told) => Some(state.binary_search(element).is_ok() == *told),
            Change::Is(elements) => Some(elements == state),
            Change::Stay => Some(true),
            Change::Never => Some(false),
            _ => None,
        }
    }
    fn weight(&self, state: &Self::State) -> usize {
        state.len() * 4 + 16
    }
}

pub struct Fifo {
    /// Enqueue of an element, or dequeue with its answer (None: nobody knows).
    edits: Vec<Result<u32, Option<u32>>>,
}

impl Fifo {
    pub fn new(kinds: &[Kind]) -> Option<Self> {
        let mut edits = Vec::new();
        for kind in kinds {
            let ok = kind.outcome == Outcome::Ok;
            edits.push(match (kind.call.name, kind.call.arguments) {
                (Name::Enqueue, 1) => Ok(kind.call.first),
                (Name::Dequeue, 0) => Err(ok.then_some(kind.response)),
                _ => return None,
            });
        }
        Some(Fifo { edits })
    }
}

impl Machine for Fifo {
    type State = Box<[u32]>;
    fn initial(&self) -> Self::State {
        Box::new([])
    }
    fn step(&mut self, state: &Self::State, kind: u32) -> Option<Self::State> {
        match self.edits[kind as usize] {
            Ok(element) => Some([&state[..], &[element]].concat().into()),
            Err(answer) => {
                let oldest = state.first().copied().unwrap_or(NIL);
                if answer.is_some_and(|answer| answer != oldest) {
                    return None;
                }
                Some(state.get(1..).unwrap_or(&[]).into())
            }
        }
    }
    fn weight(&self, state: &Self::State) -> usize {
        state.len() * 4 + 16
    }
}

/// Holder (client + 1, or 0), greatest token, acquires of unknown token since.
pub type Lock = (u32, i64, i64);

#[derive(Clone, Copy)]
enum Turn {
    Acquire,
    /// Answered by this token; None is no token at all.
    Fenced(Option<i64>),
    AcquireUnseen,
    Release,
}

pub struct Mutex {
    turns: Vec<(u32, Turn)>,
}

impl Mutex {
    /// `kinds` with the client that does it.
    pub fn new(columns: &Columns, kinds: &[(Kind, u32)], fenced: bool) -> Option<Self> {
        let mut turns = Vec::new();
        for (kind, client) in kinds {
            let turn = match (kind.call.name, kind.call.arguments) {
                (Name::Acquire, 0) if !fenced => Turn::Acquire,
                (Name::Acquire, 0) if kind.outcome == Outcome::Unknown => Turn::AcquireUnseen,
                (Name::Acquire, 0) => Turn::Fenced(columns.integer(kind.response)),
                (Name::Release, 0) => Turn::Release,
                _ => return None,
            };
            turns.push((client + 1, turn));
        }
        Some(Mutex { turns })
    }
}

impl Machine for Mutex {
    type State = Lock;
    fn initial(&self) -> Lock {
        (0, 0, 0)
    }
    fn glance(&self, state: &Lock, kind: u32) -> Option<bool> {
        let (client, turn) = self.turns[kind as usize];
        let refused = match turn {
            Turn::Release => state.0 != client,
            _ => state.0 != 0,
        };
        refused.then_some(false)
    }
    fn step(&mut self, &(holder, greatest, unseen): &Lock, kind: u32) -> Option<Lock> {
        let (client, turn) = self.turns[kind as usize];
        match turn {
            Turn::Release => (holder == client).then_some((0, greatest, unseen)),
            _ if holder != 0 => None,
            Turn::Acquire => Some((client, 0, 0)),
            Turn::AcquireUnseen => Some((client, greatest, unseen + 1)),
            Turn::Fenced(token) => {
                token.filter(|&token| token > greatest + unseen).map(|token| (client, token, 0))
            }
        }
    }
    fn weight(&self, _: &Lock) -> usize {
        24
    }
}
