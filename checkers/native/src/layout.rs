//! One partition laid out for the search; the native twin of `porcupine.problem.Problem`.
//!
//! Required operations are numbered by the end of their interval. The *frontier* is the first number not yet
//! placed; its *layer* are the operations that can come next, those whose interval began no later than the
//! frontier's ends. Operations that share a layer have different bits, so what is placed beyond the frontier
//! is a mask as wide as the greatest concurrency. Operations of unknown outcome wait in a pool of groups.

use crate::intervals::{Intervals, Tokens, ANYTHING};
use crate::configuration::Quick;

#[derive(Clone, Copy)]
pub struct Reductions {
    pub no_effect: bool,
    pub interchangeable: bool,
    pub pool: bool,
    pub tighten: bool,
    pub tokens: bool,
    /// With more configurations than this remembered, those before a cut are finished and forgotten.
    pub cut_after: Option<usize>,
    /// Before an unknown operation is used, other ways are tried that begin so much before the furthest frontier.
    pub window: usize,
}

pub type Switches = (bool, bool, bool, bool, bool, Option<usize>, usize);

impl From<Switches> for Reductions {
    fn from((no_effect, interchangeable, pool, tighten, tokens, cut_after, window): Switches) -> Self {
        Reductions { no_effect, interchangeable, pool, tighten, tokens, cut_after, window: window.max(1) }
    }
}

/// What a model says of the candidates (operations that are ok or unknown), by position.
pub struct Facts {
    pub kind: Vec<u32>,
    pub kinds: usize,
    pub quiet: Vec<bool>,
    pub place: Option<Vec<Option<i64>>>,
    pub hint: Option<Vec<Option<i64>>>,
    /// None where the state is more than what the last write left.
    pub tokens: Option<Tokens>,
}

pub struct Group {
    pub kind: u32,
    /// Positions of candidates, first called first.
    pub members: Vec<u32>,
    pub calls: Vec<i64>,
    /// The lowest bit of the group in the pool's mask.
    pub shift: usize,
    /// The token that it reads: NOTHING where it is accepted in every state, ANYTHING where no token decides.
    pub needs: u32,
}

pub struct Layout {
    /// Position of each required operation.
    pub position: Vec<u32>,
    pub low: Vec<i64>,
    pub high: Vec<i64>,
    pub kind: Vec<u32>,
    pub kinds: usize,
    pub quiet: Vec<bool>,
    pub hint: Option<Vec<Option<i64>>>,
    /// The operation that took effect just before, where the system itself says so; empty when it never does.
    pub before: Vec<u32>,
    pub bit: Vec<u32>,
    pub width: usize,
    /// The first required operation that cannot be placed for a reason known before any search.
    pub blocked: Option<usize>,
    layer_start: Vec<u32>,
    layer_items: Vec<u32>,
    pub groups: Vec<Group>,
    pub pool_bits: usize,
    pub always: Vec<u32>,
    pub needing: Quick<u32, Vec<u32>>,
    /// The groups that write a token; and what each required operation reads, empty where tokens do not tell
    /// what waits for what.
    pub writing: Quick<u32, Vec<u32>>,
    pub waits: Vec<u32>,
    /// By position, where the rules of `tokens` are asked for.
    pub tokens: Option<Tokens>,
}

pub const NO_BEFORE: u32 = u32::MAX;

impl Layout {
    pub fn new(intervals: &Intervals, facts: Facts, reductions: Reductions) -> Layout {
        let Intervals { low, high, required, .. } = intervals;
        let mut keyed: Vec<(i64, i64, u32)> = (0..low.len())
            .filter(|&index| required[index])
            .map(|index| (high[index], low[index], index as u32))
            .collect();
        keyed.sort_unstable();
        let position: Vec<u32> = keyed.iter().map(|entry| entry.2).collect();
        let starts: Vec<i64> = keyed.iter().map(|entry| entry.1).collect();
        let ends: Vec<i64> = keyed.iter().map(|entry| entry.0).collect();
        let pick = |index: &u32| *index as usize;
        let mut layout = Layout {
            kind: position.iter().map(|index| facts.kind[pick(index)]).collect(),
            kinds: facts.kinds,
            quiet: position.iter().map(|index| reductions.no_effect && facts.quiet[pick(index)]).collect(),
            hint: facts.hint.as_ref().map(|hint| position.iter().map(|index| hint[pick(index)]).collect()),
            before: Vec::new(),
            bit: Vec::new(),
            width: 0,
            blocked: blocked(intervals, &position, &starts, &ends),
            layer_start: Vec::new(),
            layer_items: Vec::new(),
            groups: Vec::new(),
            pool_bits: 0,
            always: Vec::new(),
            needing: Quick::default(),
            writing: Quick::default(),
            waits: Vec::new(),
            tokens: None,
            position,
            low: starts,
            high: ends,
        };
        if let (Some(place), true) = (&facts.place, reductions.tighten) {
            layout.before = order_of_effects(place, &layout.position);
        }
        layout.sweep();
        layout.pool(intervals, &facts, reductions);
        if reductions.tokens && reductions.tighten {
            layout.tokens = facts.tokens;
        }
        layout
    }

    pub fn count(&self) -> usize {
        self.position.len()
    }

    pub fn layer(&self, frontier: usize) -> &[u32] {
        &self.layer_items[self.layer_start[frontier] as usize..self.layer_start[frontier + 1] as usize]
    }

    pub fn bytes(&self) -> usize {
        self.layer_items.len() * 4 + self.count() * 48 + self.pool_bits * 24
    }

    /// Bits and layers in one pass over the ends.
    fn sweep(&mut self) {
        let count = self.low.len();
        let mut arrivals: Vec<(i64, u32)> = self.low.iter().copied().zip(0u32..).collect();
        arrivals.sort_unstable();
        let mut pending: Vec<u32> = Vec::new();
        let mut free: Vec<u32> = Vec::new();
        let mut arrived = 0;
        self.bit = vec![u32::MAX; count];
        self.layer_start.reserve(count + 1);
        self.layer_items.reserve(count * 4);
        for number in 0..count {
            while arrived < count && arrivals[arrived].0 <= self.high[number] {
                let index = arrivals[arrived].1;
                arrived += 1;
                if (index as usize) < number {
                    continue; // an empty interval: it can never be placed
                }
                self.bit[index as usize] = free.pop().unwrap_or_else(|| {
                    self.width += 1;
                    self.width as u32 - 1
                });
                let at = pending.iter().rposition(|&other| other < index).map_or(0, |before| before + 1);
                pending.insert(at, index);
            }
            self.layer_start.push(self.layer_items.len() as u32);
            self.layer_items.extend_from_slice(&pending);
            if pending.first() == Some(&(number as u32)) {
                pending.remove(0);
                free.push(self.bit[number]);
            }
        }
        self.layer_start.push(self.layer_items.len() as u32);
        let nobody = self.width as u32;
        for bit in self.bit.iter_mut().filter(|bit| **bit == u32::MAX) {
            *bit = nobody; // never placed: a bit that is never set
            self.width = nobody as usize + 1;
        }
    }

    fn pool(&mut self, intervals: &Intervals, facts: &Facts, reductions: Reductions) {
        let mut optional: Vec<(i64, u32)> = (0..intervals.low.len())
            .filter(|&index| {
                !intervals.required[index]
                    && !intervals.dropped[index]
                    && !(reductions.pool && facts.quiet[index])
            })
            .map(|index| (intervals.low[index], index as u32))
            .collect();
        if optional.is_empty() {
            return;
        }
        optional.sort_unstable();
        let mut by_kind: Quick<u32, usize> = Quick::default();
        for (call, position) in optional {
            let kind = facts.kind[position as usize];
            let known = by_kind.get(&kind).copied().filter(|_| reductions.pool);
            let number = known.unwrap_or_else(|| {
                let number = self.groups.len();
                let needs = facts.tokens.as_ref().map_or(ANYTHING, |tokens| tokens.reads[position as usize]);
                if needs < ANYTHING {
                    self.needing.entry(needs).or_default().push(number as u32);
                } else {
                    self.always.push(number as u32);
                }
                if let Some(tokens) = &facts.tokens {
                    self.writing.entry(tokens.writes[position as usize]).or_default().push(number as u32);
                }
                by_kind.insert(kind, number);
                self.groups.push(Group { kind, members: Vec::new(), calls: Vec::new(), shift: 0, needs });
                number
            });
            self.groups[number].members.push(position);
            self.groups[number].calls.push(call);
        }
        for group in &mut self.groups {
            group.shift = self.pool_bits;
            self.pool_bits += group.members.len();
        }
        if let (Some(tokens), true) = (&facts.tokens, reductions.pool) {
            if self.groups.iter().all(|group| group.needs != ANYTHING) {
                self.waits = self.position.iter().map(|&position| tokens.reads[position as usize]).collect();
            }
        }
    }
}

/// The first required operation whose interval is empty, or that ends a known contradiction.
fn blocked(intervals: &Intervals, position: &[u32], starts: &[i64], ends: &[i64]) -> Option<usize> {
    let culprit = intervals.contradiction.last();
    (0..position.len()).find(|&index| starts[index] > ends[index] || Some(&position[index]) == culprit)
}

fn order_of_effects(place: &[Option<i64>], position: &[u32]) -> Vec<u32> {
    let mut numbered: Vec<(i64, u32)> = position
        .iter()
        .zip(0u32..)
        .filter_map(|(&index, number)| place[index as usize].map(|place| (place, number)))
        .collect();
    if numbered.len() < 2 {
        return Vec::new();
    }
    numbered.sort_unstable();
    let mut before = vec![NO_BEFORE; position.len()];
    for pair in numbered.windows(2) {
        if pair[0].0 < pair[1].0 {
            before[pair[1].1 as usize] = pair[0].1;
        }
    }
    before
}
