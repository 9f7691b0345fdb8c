//! The judge of the judge: does this order really explain these operations?
//!
//! Shares nothing with the search, its intervals or its models but the columns: it plays the order through on
//! plain values. See `porcupine.verify` for the three rules.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::columns::{Columns, Name, Outcome, Value, NIL};
use crate::models::ModelName;

pub fn verify(columns: &Columns, model: ModelName, initial: u32, all: &[u32], order: &[u32]) -> Result<(), String> {
    let mut placed = vec![false; columns.calls.len()];
    for &operation in order {
        if std::mem::replace(&mut placed[operation as usize], true) {
            return Err("an operation is placed twice".into());
        }
    }
    let mut matched = 0;
    for &operation in all {
        let here = placed[operation as usize];
        matched += usize::from(here);
        match columns.outcome[operation as usize] {
            Outcome::Ok if !here => return Err("an operation is not placed".into()),
            Outcome::Failed if here => return Err("an operation is placed that failed".into()),
            _ => {}
        }
    }
    if matched != order.len() {
        return Err("an operation is placed that is not in the history".into());
    }
    let mut earliest = i64::MAX;
    for &operation in order.iter().rev() {
        let operation = operation as usize;
        if columns.calls[operation] > earliest {
            return Err("an operation that returned before a call is placed after it".into());
        }
        earliest = earliest.min(columns.returns[operation]);
    }
    let mut player = Player::new(model, initial);
    for &operation in order {
        if !player.play(columns, operation) {
            return Err(format!("the model rejects operation {operation} at its place"));
        }
    }
    Ok(())
}

enum Player {
    Register(u32),
    Map(HashMap<u32, String>),
    Counter(i128),
    Elements(HashSet<u32>),
    Queue(VecDeque<u32>),
    Lock { fenced: bool, holder: Option<u32>, above: i64 },
}

impl Player {
    fn new(model: ModelName, initial: u32) -> Self {
        match model {
            ModelName::Register | ModelName::CasRegister => Player::Register(initial),
            ModelName::Kv | ModelName::KvWhole => Player::Map(HashMap::new()),
            ModelName::Counter => Player::Counter(0),
            ModelName::Set => Player::Elements(HashSet::new()),
            ModelName::Queue => Player::Queue(VecDeque::new()),
            ModelName::Mutex => Player::Lock { fenced: false, holder: None, above: 0 },
            ModelName::FencedMutex => Player::Lock { fenced: true, holder: None, above: 0 },
        }
    }

    /// False when the operation cannot be answered as it was.
    fn play(&mut self, columns: &Columns, operation: u32) -> bool {
        let what = columns.of(operation);
        let (call, told) = (what.call, what.response);
        let unknown = what.outcome == Outcome::Unknown;
        let truth = columns.truthy.get(told as usize).copied().unwrap_or(false);
        let said = |answer: bool| columns.integer(told) == Some(i64::from(answer));
        match self {
            Player::Register(value) => match call.name {
                Name::Read => return unknown || *value == told,
                Name::Write => *value = call.first,
                _ => {
                    let there = *value == call.first;
                    if there {
                        *value = call.second;
                    }
                    return there == (unknown || truth);
                }
            },
            Player::Map(values) => {
                let value = values.entry(call.first).or_default();
                match call.name {
                    Name::Get => return unknown || columns.text(told) == Some(value.as_str()),
                    Name::Put => value.clear(),
                    _ => {}
                }
                value.push_str(columns.text(call.second).unwrap_or_default());
            }
            Player::Counter(sum) => {
                if call.name == Name::Add {
                    *sum += i128::from(columns.integer(call.first).unwrap_or(0));
                    if told == NIL {
                        return true;
                    }
                }
                return unknown || columns.integer(told).map(i128::from) == Some(*sum);
            }
            Player::Elements(elements) => match call.name {
                Name::Add => {
                    elements.insert(call.first);
                }
                Name::Remove => {
                    let there = elements.remove(&call.first);
                    return unknown || told == NIL || said(there);
                }
                Name::Contains => return unknown || said(elements.contains(&call.first)),
                _ => {
                    let same = matches!(&columns.values[told as usize], Value::Set(read)
                        if read.len() == elements.len() && read.iter().all(|each| elements.contains(each)));
                    return unknown || same;
                }
            },
            Player::Queue(queue) => {
                if call.name == Name::Enqueue {
                    queue.push_back(call.first);
                } else {
                    let oldest = queue.pop_front().unwrap_or(NIL);
                    return unknown || oldest == told;
                }
            }
            Player::Lock { fenced, holder, above } => {
                let client = columns.client[operation as usize];
                if call.name == Name::Release {
                    return holder.take() == Some(client);
                }
                if holder.replace(client).is_some() {
                    return false;
                }
                if *fenced {
                    // A token that nobody saw was at least one more.
                    let token = if unknown { Some(*above + 1) } else { columns.integer(told) };
                    let grown = token.is_some_and(|token| token > *above);
                    *above = token.unwrap_or(*above);
                    return grown;
                }
            }
        }
        true
    }
}
