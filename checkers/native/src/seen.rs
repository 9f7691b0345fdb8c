//! One key of a map of which no written value is the beginning of another: what was read comes apart in only
//! one way, and tells where each append stood. The native twin of `porcupine.models.kv.KvSeen`.
//!
//! States are nodes: node 0 is the empty value, every other node is a beginning of a value that was read, cut
//! between its parts. One more state stands for all values that nobody read.

use std::collections::HashMap;

use crate::columns::{Columns, Name, Outcome};
use crate::intervals::{Tokens, ANYTHING, NOTHING};
use crate::step::{LastWriter, Move};

const NONE: u32 = u32::MAX;

pub struct Seen {
    /// The value of each node: the number of a text that begins with it, and its length.
    pub nodes: Vec<(u32, usize)>,
    pub tokens: Tokens,
    /// What each candidate's kind does; kinds of writes that nobody saw are one kind.
    pub kind: Vec<u32>,
    pub stepper: LastWriter,
}

struct Part {
    writers: u32,
    appended: bool,
    /// The node before it, where only one operation wrote it and it was read.
    place: u32,
}

struct Trie<'a> {
    columns: &'a Columns,
    values: Vec<&'a str>,
    parts: Vec<Part>,
    nodes: Vec<(u32, usize)>,
    last: Vec<u32>,
    children: HashMap<(u32, u32), u32>,
    /// The text taken apart last, and its cuts: (length, node).
    before: &'a str,
    cuts: Vec<(usize, u32)>,
}

/// None when some written value is the beginning of another (or is no text). `all` are the operations of the
/// key, `candidates` those that did not fail, with their kinds.
pub fn learn(columns: &Columns, all: &[u32], candidates: &[u32], kind: &[u32], kinds: usize) -> Option<Seen> {
    let mut trie = Trie::new(columns, all)?;
    let mut node_of: HashMap<u32, u32> = HashMap::new(); // by response; NONE: not all of it is known
    for &operation in candidates {
        let what = columns.of(operation);
        if what.outcome == Outcome::Ok && what.call.name == Name::Get && !node_of.contains_key(&what.response) {
            let node = columns.text(what.response).map_or(NONE, |text| trie.take_apart(what.response, text));
            node_of.insert(what.response, node);
        }
    }
    // A text that a later read completed may be known by now.
    for (&response, node) in &mut node_of {
        if let (NONE, Some(text)) = (*node, columns.text(response)) {
            *node = trie.find(text);
        }
    }
    Some(trie.finish(candidates, kind, kinds, &node_of))
}

impl<'a> Trie<'a> {
    fn new(columns: &'a Columns, all: &[u32]) -> Option<Self> {
        let mut written: Vec<(&str, bool)> = Vec::new();
        for &operation in all {
            let what = columns.of(operation);
            match (what.call.name, what.call.arguments) {
                (Name::Put | Name::Append, 2) if what.outcome != Outcome::Failed => {
                    written.push((columns.text(what.call.second)?, what.call.name == Name::Append));
                }
                _ => {}
            }
        }
        written.sort_unstable();
        let mut values: Vec<&str> = Vec::with_capacity(written.len());
        let mut parts: Vec<Part> = Vec::with_capacity(written.len());
        for (value, appended) in written {
            if let (Some(&before), Some(part)) = (values.last(), parts.last_mut()) {
                if before == value {
                    part.writers += 1;
                    part.appended |= appended;
                    continue;
                }
                if value.starts_with(before) {
                    return None;
                }
            }
            if value.is_empty() {
                return None;
            }
            values.push(value);
            parts.push(Part { writers: 1, appended, place: NONE });
        }
        Some(Trie {
            columns,
            values,
            parts,
            nodes: vec![(0, 0)],
            last: vec![NONE],
            children: HashMap::new(),
            before: "",
            cuts: vec![(0, 0)],
        })
    }

    fn part_at(&self, rest: &str) -> Option<u32> {
        let index = self.values.partition_point(|&value| value <= rest).checked_sub(1)?;
        rest.starts_with(self.values[index]).then_some(index as u32)
    }

    fn part(&self, value: &str) -> Option<u32> {
        self.values.binary_search(&value).ok().map(|index| index as u32)
    }

    /// Note what stood before each part; the text's node, or NONE at a part that cannot stand where it does.
    fn take_apart(&mut self, number: u32, text: &'a str) -> u32 {
        let shared = common(self.before, text);
        while self.cuts.last().is_some_and(|cut| cut.0 > shared) {
            self.cuts.pop();
        }
        self.before = text;
        let (mut position, mut node) = self.cuts.last().copied().unwrap_or((0, 0));
        while position < text.len() {
            let Some(index) = text.get(position..).and_then(|rest| self.part_at(rest)) else { return NONE };
            let part = &mut self.parts[index as usize];
            if position > 0 && !part.appended {
                return NONE;
            }
            if part.writers == 1 {
                if part.place == NONE {
                    part.place = node;
                } else if part.place != node {
                    return NONE;
                }
            }
            position += self.values[index as usize].len();
            node = *self.children.entry((node, index)).or_insert_with(|| {
                self.nodes.push((number, position));
                self.last.push(index);
                self.nodes.len() as u32 - 1
            });
            self.cuts.push((position, node));
        }
        node
    }

    fn find(&self, text: &str) -> u32 {
        let (mut position, mut node) = (0, 0);
        while position < text.len() {
            let part = text.get(position..).and_then(|rest| self.part_at(rest));
            let Some(&next) = part.and_then(|part| self.children.get(&(node, part))) else { return NONE };
            position += self.values[part.unwrap_or(0) as usize].len();
            node = next;
        }
        node
    }

    fn finish(self, candidates: &[u32], kind: &[u32], kinds: usize, node_of: &HashMap<u32, u32>) -> Seen {
        let unseen = self.nodes.len() as u32;
        let several = unseen + 1; // + part: the token of a value that several operations wrote
        let mut fresh = several + self.parts.len() as u32; // tokens of texts that nobody wrote
        let mut strange: HashMap<u32, u32> = HashMap::new();
        let named = |node: u32| {
            let last = self.last[node as usize];
            if last != NONE && self.parts[last as usize].writers > 1 { ANYTHING } else { node }
        };
        let mut reads = Vec::with_capacity(candidates.len());
        let mut writes = Vec::with_capacity(candidates.len());
        let mut moves = vec![Move::Never; kinds + 4];
        let mut own = kind.to_vec();
        for (position, &operation) in candidates.iter().enumerate() {
            let what = self.columns.of(operation);
            if what.call.name == Name::Get {
                let ok = what.outcome == Outcome::Ok;
                let node = if ok { node_of[&what.response] } else { NONE };
                moves[kind[position] as usize] = match node {
                    _ if !ok => Move::Stay,
                    NONE => Move::Never,
                    node => Move::Read(node),
                };
                reads.push(match node {
                    _ if !ok => NOTHING,
                    NONE => *strange.entry(what.response).or_insert_with(|| {
                        fresh += 1;
                        fresh - 1
                    }),
                    node => named(node),
                });
                writes.push(NOTHING);
                continue;
            }
            let append = what.call.name == Name::Append;
            let value = self.columns.text(what.call.second).unwrap_or("");
            let index = self.part(value).unwrap_or(0);
            let Part { writers, place, .. } = self.parts[index as usize];
            let after = |node: u32| self.children.get(&(node, index)).copied().unwrap_or(unseen);
            if writers == 1 && place == NONE {
                // Nobody saw it: all such writes are alike.
                let unknown = what.outcome == Outcome::Unknown;
                own[position] = (kinds + 2 * usize::from(append) + usize::from(unknown)) as u32;
                moves[own[position] as usize] = Move::Write(unseen);
                reads.push(NOTHING);
                writes.push(unseen);
                continue;
            }
            moves[kind[position] as usize] = match append {
                false => Move::Write(after(0)),
                true if place != NONE => Move::Swap(place, after(place)),
                true => Move::Append(index),
            };
            reads.push(match append {
                false => NOTHING,
                true if place != NONE => named(place),
                true => ANYTHING,
            });
            writes.push(if writers > 1 { several + index } else { after(place) });
        }
        let tokens = Tokens { reads, writes, initial: 0, count: fresh as usize };
        let stepper = LastWriter { moves, initial: 0, extended: self.children, unseen, steps: 0 };
        Seen { nodes: self.nodes, tokens, kind: own, stepper }
    }
}

/// The value of a state; None is the one that nobody read.
pub fn value<'a>(columns: &'a Columns, nodes: &[(u32, usize)], state: u32) -> Option<&'a str> {
    let &(number, length) = nodes.get(state as usize)?;
    Some(columns.text(number).map_or("", |text| &text[..length]))
}

/// How many bytes two texts begin with alike.
fn common(one: &str, other: &str) -> usize {
    const STEP: usize = 32;
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let chunks = one.chunks_exact(STEP).zip(other.chunks_exact(STEP));
    let equal = chunks.take_while(|(one, other)| one == other).count() * STEP;
    equal + one[equal..].iter().zip(&other[equal..]).take_while(|(one, other)| one == other).count()
}
