//! Where a search ended, and what it cost.

use super::{Deferred, Frame, Key, Search, CHECK_EVERY};
use crate::budget::Watch;
use crate::configuration::Quick;
use crate::layout::Layout;
use crate::step::{State, Stepper};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Valid,
    Invalid,
    Unknown,
}

/// Where the search ended. Numbers of required operations are as in the layout; `-1 - p` is the candidate at
/// position p, taken from the pool.
pub struct Found {
    pub verdict: Verdict,
    pub order: Vec<i32>,
    pub frontier: Option<usize>,
    /// States at the furthest frontier, with the operations that could have come next.
    pub dead_ends: Vec<(State, Vec<u32>)>,
    pub reason: String,
    /// Of a search that gave up: the layer where most of what it remembers lies.
    pub crowded: Vec<u32>,
    pub configurations: u64,
    pub steps: u64,
    pub peak: usize,
    pub bytes: usize,
}

/// The same in positions of candidates.
pub struct Located {
    pub verdict: Verdict,
    pub order: Vec<u32>,
    pub frontier: Option<u32>,
    pub dead_ends: Vec<(State, Vec<u32>)>,
    pub reason: String,
    pub crowded: Vec<u32>,
    pub configurations: u64,
    pub steps: u64,
    pub peak: usize,
    pub width: usize,
    pub searched: usize,
    pub bytes: usize,
}

impl Found {
    pub fn located(self, layout: &Layout) -> Located {
        let placed = |number: u32| layout.position[number as usize];
        let all = |numbers: Vec<u32>| -> Vec<u32> { numbers.into_iter().map(placed).collect() };
        let order = self.order.iter();
        Located {
            verdict: self.verdict,
            order: order
                .map(|&number| if number >= 0 { placed(number as u32) } else { (-1 - number) as u32 })
                .collect(),
            frontier: self.frontier.filter(|&number| number < layout.count()).map(|number| placed(number as u32)),
            dead_ends: self.dead_ends.into_iter().map(|(state, pending)| (state, all(pending))).collect(),
            reason: self.reason,
            crowded: all(self.crowded),
            configurations: self.configurations,
            steps: self.steps,
            peak: self.peak,
            width: layout.width,
            searched: layout.count() + layout.pool_bits,
            bytes: self.bytes,
        }
    }
}

impl<S: Stepper + ?Sized, const W: usize> Search<'_, S, W> {
    pub fn note_memory(&mut self) {
        self.peak = self.peak.max(self.remembered);
        let entry = std::mem::size_of::<Key<W>>() + 5;
        let now = self.seen.capacity() * entry
            + self.entries.capacity() * 8
            + self.stack.capacity() * std::mem::size_of::<Frame<W>>()
            + self.branches.capacity() * 8
            + self.placed.capacity() * 8
            + self.deferred.capacity() * std::mem::size_of::<Deferred<W>>()
            + self.used.bytes()
            + self.stepper.bytes()
            + self.layout.bytes();
        self.bytes = self.bytes.max(now);
    }

    fn unrolled(&self, mut node: u32) -> Vec<i32> {
        let mut order = Vec::with_capacity(self.layout.count());
        while let Some(&(number, before)) = self.placed.get(node as usize) {
            order.push(number);
            node = before;
        }
        order.reverse();
        order
    }

    pub fn exhausted(&mut self, visited: u64, watch: &mut Watch) -> Option<String> {
        if self.limit.is_some_and(|limit| visited >= limit) {
            return Some(format!("gave up after {visited} configurations"));
        }
        let before = self.bytes;
        self.note_memory();
        self.meter.check(CHECK_EVERY, self.bytes - before, watch)
    }

    pub fn finish(mut self, verdict: Verdict, visited: u64, reason: String) -> Found {
        self.note_memory();
        let layout = self.layout;
        let mut found = Found {
            verdict,
            order: Vec::new(),
            frontier: None,
            dead_ends: Vec::new(),
            reason,
            crowded: Vec::new(),
            configurations: visited,
            steps: self.stepper.steps(),
            peak: self.peak,
            bytes: self.bytes,
        };
        if verdict == Verdict::Valid {
            found.order = self.unrolled(self.order);
            return found;
        }
        if layout.blocked.is_some() && !self.stepper.broken() {
            found.verdict = Verdict::Invalid;
            found.reason.clear();
        }
        if found.verdict == Verdict::Unknown {
            let mut at: Quick<u32, u32> = Quick::default();
            let visited = self.seen.keys().map(|key| key.0).filter(|&frontier| frontier >> 31 == 0);
            visited.for_each(|frontier| *at.entry(frontier).or_default() += 1);
            // Every order of a crowd ends behind it: a layer of one operation holds them all and explains nothing.
            let choices = |frontier: u32| layout.layer(frontier as usize).len().saturating_sub(1);
            let most = at.into_iter().max_by_key(|&(frontier, count)| {
                (count as usize * choices(frontier), count, frontier)
            });
            found.crowded = most.map_or(Vec::new(), |(frontier, _)| layout.layer(frontier as usize).to_vec());
        }
        found.order = self.unrolled(self.best_order);
        if let Some(best) = self.best {
            found.frontier = Some(best);
            for (mask, state) in &self.best_ends {
                let layer = layout.layer(best).iter().copied();
                let pending = layer.filter(|&index| !mask.has(layout.bit[index as usize])).collect();
                found.dead_ends.push((*state, pending));
            }
        }
        found
    }
}
