//! Depth-first search for an order that explains one partition. The rules are those of `porcupine.search`:
//!
//! 1. *Close* a configuration: place every enabled operation that never changes any state, and move the
//!    frontier over what is placed.
//! 2. Past the last operation the order is found.
//! 3. A closed configuration that was met before, with no more unknown operations used, is given up.
//! 4. Branch on the enabled operations, first end first; of interchangeable ones only that.
//! 5. Then on unknown operations, only where using one makes a difference now.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::budget::{Meter, Watch};
use crate::layout::{Layout, Reductions, NO_BEFORE};
use crate::step::{State, Stepper, REJECTED, SEVERAL};
use crate::tokens::Rules;

const STUCK_KEPT: usize = 8;
const CHECK_EVERY: u64 = 512;
/// The rules about tokens need some preparation: only searches longer than this are worth it.
const TOKENS_AFTER: u64 = 100;

/// Multiplies and rotates: keys are a few small integers, and nobody chooses them to collide.
#[derive(Default, Clone, Copy)]
pub struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

pub type Quick<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mask<const W: usize>([u64; W]);

impl<const W: usize> Hash for Mask<W> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for word in self.0 {
            state.write_u64(word);
        }
    }
}

impl<const W: usize> Mask<W> {
    const EMPTY: Self = Mask([0; W]);

    #[inline(always)]
    fn has(&self, bit: u32) -> bool {
        if W == 1 {
            return self.0[0] >> bit & 1 != 0;
        }
        self.0[bit as usize / 64] >> (bit % 64) & 1 != 0
    }
    #[inline(always)]
    fn flip(&mut self, bit: u32) {
        if W == 1 {
            self.0[0] ^= 1 << bit;
        } else {
            self.0[bit as usize / 64] ^= 1 << (bit % 64);
        }
    }
}

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

/// Why an unknown operation is worth using.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    ForRequired,
    ForUnknown,
}

struct Frame<const W: usize> {
    mask: Mask<W>,
    frontier: u32,
    used: u32,
    length: u32,
    state: State,
    start: u32,
    next: u32,
    /// Where its writes that go along begin.
    along: u32,
    pool_pending: bool,
}

/// Sets of unknown operations that were used, each stored once.
struct Used {
    words: usize,
    table: Vec<u64>,
    ids: Quick<Vec<u64>, u32>,
}

impl Used {
    fn new(bits: usize) -> Self {
        let words = bits.div_ceil(64);
        let mut ids = Quick::default();
        ids.insert(vec![0; words], 0);
        Used { words, table: vec![0; words], ids }
    }
    fn get(&self, id: u32) -> &[u64] {
        &self.table[id as usize * self.words..(id as usize + 1) * self.words]
    }
    fn with(&mut self, id: u32, bit: usize) -> u32 {
        let mut set = self.get(id).to_vec();
        set[bit / 64] |= 1 << (bit % 64);
        if let Some(&known) = self.ids.get(&set) {
            return known;
        }
        let new = self.ids.len() as u32;
        self.table.extend_from_slice(&set);
        self.ids.insert(set, new);
        new
    }
    fn within(&self, small: u32, large: u32) -> bool {
        small == large || self.get(small).iter().zip(self.get(large)).all(|(small, large)| small & !large == 0)
    }
    /// How many members of a group are used: its bits are set from the lowest on.
    fn count(&self, id: u32, shift: usize, size: usize) -> usize {
        let set = self.get(id);
        let bit = |at: usize| set[at / 64] >> (at % 64) & 1 != 0;
        if size < 8 {
            return (0..size).take_while(|&member| bit(shift + member)).count();
        }
        let (mut low, mut high) = (0, size);
        while low < high {
            let middle = (low + high) / 2;
            if bit(shift + middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
    fn bytes(&self) -> usize {
        self.table.len() * 16 + self.ids.len() * 40
    }
}

type Key<const W: usize> = (u32, State, Mask<W>);

pub struct Search<'a, S: Stepper + ?Sized, const W: usize> {
    layout: &'a Layout,
    stepper: &'a mut S,
    reductions: Reductions,
    meter: &'a Meter,
    limit: Option<u64>,
    stack: Vec<Frame<W>>,
    branches: Vec<(i32, State)>,
    order: Vec<i32>,
    seen: Quick<Key<W>, u32>,
    /// Where there is a pool: (used, next entry) of each remembered configuration.
    entries: Vec<(u32, u32)>,
    free: Vec<u32>,
    used: Used,
    remembered: usize,
    peak: usize,
    bytes: usize,
    best: Option<usize>,
    best_length: usize,
    best_tail: Vec<i32>, // backwards
    best_ends: Vec<(Mask<W>, State)>,
    waiting: Option<i64>,
    tried: Vec<u32>,
    round: u32,
    follows: Vec<bool>,
    scratch: Vec<u32>,
    rules: Option<Rules>,
    along: Vec<u32>,
}

const END: u32 = u32::MAX;

impl<'a, S: Stepper + ?Sized, const W: usize> Search<'a, S, W> {
    pub fn new(layout: &'a Layout, stepper: &'a mut S, reductions: Reductions, meter: &'a Meter) -> Self {
        let mut follows = Vec::new();
        if !layout.before.is_empty() {
            follows = vec![false; layout.count()];
            for &before in layout.before.iter().filter(|&&before| before != NO_BEFORE) {
                follows[before as usize] = true;
            }
        }
        // When the verdict is known, the search only says how far an order gets.
        let limit = layout.blocked.map(|_| 10_000 + 4 * layout.count() as u64);
        Search {
            used: Used::new(layout.pool_bits),
            tried: vec![0; layout.kinds],
            order: Vec::with_capacity(layout.count()),
            layout,
            stepper,
            reductions,
            meter,
            limit,
            stack: Vec::new(),
            branches: Vec::new(),
            seen: Quick::default(),
            entries: Vec::new(),
            free: Vec::new(),
            remembered: 0,
            peak: 0,
            bytes: 0,
            best: None,
            best_length: 0,
            best_tail: Vec::new(),
            best_ends: Vec::new(),
            waiting: None,
            round: 0,
            follows,
            scratch: Vec::new(),
            rules: None,
            along: Vec::new(),
        }
    }

    pub fn run(mut self) -> Found {
        let mut watch = self.meter.watch();
        let count = self.layout.count();
        let mut visited = 0u64;
        let (mut frontier, mut mask, mut used) = (0usize, Mask::EMPTY, 0u32);
        let mut state = self.stepper.initial();
        loop {
            visited += 1;
            if visited % CHECK_EVERY == 0 {
                if let Some(reason) = self.exhausted(visited, &mut watch) {
                    return self.finish(Verdict::Unknown, visited, reason);
                }
            }
            if let (TOKENS_AFTER, Some(tokens)) = (visited, &self.layout.tokens) {
                // Begin again: what was chosen without the rules may be far from any order.
                self.rules = Some(Rules::new(self.layout, tokens));
                self.forget();
                (frontier, mask, state, used) = (0, Mask::EMPTY, self.stepper.initial(), 0);
            }
            let start = self.branches.len();
            let along = self.along.len();
            frontier = self.close(frontier, &mut mask, state, start);
            if frontier == count {
                return self.finish(Verdict::Valid, visited, String::new());
            }
            if self.layout.blocked == Some(frontier) {
                self.dead_end(frontier, mask, state);
                return self.finish(Verdict::Invalid, visited, String::new());
            }
            if self.stepper.broken() {
                return self.finish(Verdict::Unknown, visited, "the model raised an error".into());
            }
            let pool = !self.layout.groups.is_empty();
            let forced = self.stack.is_empty() && !pool && self.branches.len() == start + 1;
            if forced || self.is_new(frontier, mask, state, used) {
                if self.best.is_none_or(|best| frontier >= best) {
                    self.dead_end(frontier, mask, state);
                }
                let mut pool_pending = pool;
                if pool && self.waits_for_unknown(start) {
                    let enabled = self.branches.split_off(start);
                    self.pool_branches(frontier, mask, state, used);
                    self.branches.extend(enabled);
                    pool_pending = false;
                }
                if self.branches.len() > start || pool_pending {
                    self.stack.push(Frame {
                        mask,
                        frontier: frontier as u32,
                        used,
                        length: self.order.len() as u32,
                        state,
                        start: start as u32,
                        next: start as u32,
                        along: along as u32,
                        pool_pending,
                    });
                }
            } else {
                self.branches.truncate(start);
                self.along.truncate(along);
            }
            match self.next() {
                None if self.stepper.broken() => {
                    return self.finish(Verdict::Unknown, visited, "the model raised an error".into())
                }
                None => return self.finish(Verdict::Invalid, visited, String::new()),
                Some(following) => (frontier, mask, state, used) = following,
            }
        }
    }

    /// Rule 1: the frontier afterwards; the branches that remain are pushed behind `start`.
    fn close(&mut self, mut frontier: usize, mask: &mut Mask<W>, state: State, start: usize) -> usize {
        let layout = self.layout;
        let count = layout.count();
        while frontier < count {
            self.branches.truncate(start);
            self.waiting = None;
            self.round += 1;
            let mut again = false;
            for &index in layout.layer(frontier) {
                let number = index as usize;
                let bit = layout.bit[number];
                if mask.has(bit) {
                    continue;
                }
                if let Some(&last) = layout.before.get(number) {
                    let waits = last != NO_BEFORE && last as usize >= frontier;
                    if waits && !mask.has(layout.bit[last as usize]) {
                        continue;
                    }
                }
                let kind = layout.kind[number];
                if self.reductions.interchangeable && self.tried[kind as usize] == self.round {
                    continue;
                }
                let step = self.stepper.step(state, kind);
                if step == REJECTED {
                    if let Some(Some(guess)) = layout.hint.as_ref().map(|hint| hint[number]) {
                        self.waiting = Some(self.waiting.map_or(guess, |waiting| waiting.min(guess)));
                    }
                } else if layout.quiet[number] {
                    mask.flip(bit);
                    self.order.push(index as i32);
                    again |= self.follows.get(number).copied().unwrap_or(false);
                } else {
                    self.tried[kind as usize] = self.round;
                    self.push(index as i32, step);
                }
            }
            let before = frontier;
            while frontier < count && mask.has(layout.bit[frontier]) {
                mask.flip(layout.bit[frontier]);
                frontier += 1;
            }
            if frontier == before && !again {
                if let (Some(hint), true) = (&layout.hint, self.branches.len() > start + 1) {
                    // Unhinted ones first, then by the hint, then by the number.
                    self.branches[start..].sort_by_key(|branch| (hint[branch.0 as usize], branch.0));
                }
                if let (Some(rules), true) = (&self.rules, self.branches.len() > start) {
                    let token = self.stepper.token(state);
                    let placed = |bit: u32| mask.has(bit);
                    let (branches, along) = (&mut self.branches, &mut self.along);
                    rules.prune(layout, token, frontier, placed, branches, start, along);
                }
                return frontier;
            }
        }
        self.branches.truncate(start);
        frontier
    }

    #[inline]
    fn push(&mut self, number: i32, step: u32) {
        if step < SEVERAL {
            self.branches.push((number, step));
        } else {
            let states = self.stepper.several(step);
            self.branches.extend(states.iter().map(|&state| (number, state)));
        }
    }

    /// By the hints, a rejected operation comes before all that could come now: something unknown did.
    fn waits_for_unknown(&self, start: usize) -> bool {
        let (Some(waiting), Some(hint)) = (self.waiting, &self.layout.hint) else { return false };
        let first = self.branches.get(start).and_then(|branch| hint[branch.0 as usize]);
        first.is_some_and(|first| waiting < first)
    }

    /// Rule 3.
    fn is_new(&mut self, frontier: usize, mask: Mask<W>, state: State, used: u32) -> bool {
        let key = (frontier as u32, state, mask);
        if self.layout.groups.is_empty() {
            let new = self.seen.insert(key, END).is_none();
            self.remembered += usize::from(new);
            return new;
        }
        let head = *self.seen.get(&key).unwrap_or(&END);
        let mut at = head;
        while at != END {
            let (other, next) = self.entries[at as usize];
            let covered = if self.reductions.pool { self.used.within(other, used) } else { other == used };
            if covered {
                return false;
            }
            at = next;
        }
        let mut kept = END;
        at = head;
        while at != END {
            let (other, next) = self.entries[at as usize];
            if self.reductions.pool && self.used.within(used, other) {
                self.free.push(at);
                self.remembered -= 1;
            } else {
                self.entries[at as usize].1 = kept;
                kept = at;
            }
            at = next;
        }
        let entry = (used, kept);
        let new = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                slot
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.seen.insert(key, new);
        self.remembered += 1;
        true
    }

    /// The groups that may be accepted in a state and were called by then, earliest first call first.
    fn groups_at(&mut self, state: State, end: i64) -> Vec<u32> {
        let layout = self.layout;
        let called = |&&number: &&u32| layout.groups[number as usize].calls[0] <= end;
        let mut groups = std::mem::take(&mut self.scratch);
        groups.clear();
        groups.extend(layout.always.iter().take_while(called));
        if !layout.needing.is_empty() {
            let token = self.stepper.token(state);
            if let Some(needing) = layout.needing.get(&token) {
                groups.extend(needing.iter().take_while(called));
                groups.sort_unstable();
            }
        }
        groups
    }

    fn pool_branches(&mut self, frontier: usize, mask: Mask<W>, state: State, used: u32) {
        let layout = self.layout;
        if let Some(rules) = &self.rules {
            let token = self.stepper.token(state);
            if rules.still_needed(layout, token, frontier, |bit| mask.has(bit)).is_some() {
                return;
            }
        }
        let end = layout.high[frontier];
        let numbers = self.groups_at(state, end);
        let start = self.branches.len();
        let mut ranks: Vec<(Rank, bool, (i32, State))> = Vec::new();
        for &number in &numbers {
            let group = &layout.groups[number as usize];
            let member = self.used.count(used, group.shift, group.members.len());
            if member == group.members.len() || group.calls[member] > end {
                continue;
            }
            let step = self.stepper.step(state, group.kind);
            if step == REJECTED || step == state {
                continue;
            }
            let branch = -1 - number as i32;
            self.push(branch, step);
            if self.reductions.pool {
                for (_, following) in self.branches.split_off(start) {
                    if let Some(rank) = self.matters(frontier, mask, state, group.kind, following) {
                        ranks.push((rank, group.blind, (branch, following)));
                    }
                }
            }
        }
        self.scratch = numbers;
        ranks.sort_by_key(|&(rank, blind, _)| (rank, blind));
        self.branches.extend(ranks.into_iter().map(|ranked| ranked.2));
    }

    /// Rule 5: is there an operation that may come next and that tells `state` from `after`?
    /// The better reasons are tried first, and of those the operations that can be used in fewer places.
    fn matters(
        &mut self,
        frontier: usize,
        mask: Mask<W>,
        state: State,
        kind: u32,
        after: State,
    ) -> Option<Rank> {
        let layout = self.layout;
        for &index in layout.layer(frontier) {
            let number = index as usize;
            if mask.has(layout.bit[number]) {
                continue;
            }
            let with_it = self.stepper.step(after, layout.kind[number]);
            if with_it == REJECTED {
                continue;
            }
            let without = self.stepper.step(state, layout.kind[number]);
            if with_it == without {
                continue;
            }
            if without >= SEVERAL || self.stepper.step(without, kind) != with_it {
                return Some(Rank::ForRequired);
            }
        }
        let end = layout.high[frontier];
        let needing = match layout.needing.is_empty() {
            true => None,
            false => layout.needing.get(&self.stepper.token(after)),
        };
        for numbers in [Some(&layout.always), needing].into_iter().flatten() {
            for &number in numbers {
                let other = &layout.groups[number as usize];
                if other.calls[0] > end {
                    break;
                }
                if other.blind {
                    continue;
                }
                let with_it = self.stepper.step(after, other.kind);
                if with_it != REJECTED && with_it != self.stepper.step(state, other.kind) {
                    return Some(Rank::ForUnknown);
                }
            }
        }
        None
    }

    /// The next untried branch, deepest first.
    fn next(&mut self) -> Option<(usize, Mask<W>, State, u32)> {
        let layout = self.layout;
        loop {
            let top = self.stack.last_mut()?;
            if top.next as usize == self.branches.len() {
                if top.pool_pending {
                    top.pool_pending = false;
                    top.next = top.start;
                    let (frontier, mask, state, used) = (top.frontier as usize, top.mask, top.state, top.used);
                    self.branches.truncate(top.start as usize);
                    self.pool_branches(frontier, mask, state, used);
                    if self.branches.len() > self.stack.last()?.start as usize {
                        continue;
                    }
                }
                self.pop();
                continue;
            }
            let (number, state) = self.branches[top.next as usize];
            top.next += 1;
            let (frontier, mut mask, mut used, length) = (top.frontier, top.mask, top.used, top.length);
            let along = top.along as usize;
            let done = top.next as usize == self.branches.len() && !top.pool_pending;
            self.cut(length as usize);
            if number >= 0 {
                if self.rules.as_ref().is_some_and(|rules| rules.is_plain(number as u32)) {
                    for &other in self.along[along..].iter().filter(|&&other| other != number as u32) {
                        mask.flip(layout.bit[other as usize]);
                        self.order.push(other as i32);
                    }
                }
                mask.flip(layout.bit[number as usize]);
                self.order.push(number);
            } else {
                let group = &layout.groups[(-1 - number) as usize];
                let member = self.used.count(used, group.shift, group.members.len());
                used = self.used.with(used, group.shift + member);
                self.order.push(-1 - group.members[member] as i32);
            }
            if done {
                self.pop();
            }
            return Some((frontier as usize, mask, state, used));
        }
    }

    fn pop(&mut self) {
        if let Some(top) = self.stack.pop() {
            self.branches.truncate(top.start as usize);
            self.along.truncate(top.along as usize);
        }
        if self.stack.is_empty() && self.remembered > 0 {
            // Nothing earlier is left to try, so no earlier configuration can be met again.
            self.note_memory();
            self.remembered = 0;
            self.seen.clear();
            self.entries.clear();
            self.free.clear();
        }
    }

    fn forget(&mut self) {
        self.stack.clear();
        self.branches.clear();
        self.order.clear();
        self.seen.clear();
        self.entries.clear();
        self.free.clear();
        self.remembered = 0;
        self.best = None;
        self.best_length = 0;
        self.best_tail.clear();
        self.best_ends.clear();
    }

    fn note_memory(&mut self) {
        self.peak = self.peak.max(self.remembered);
        let entry = std::mem::size_of::<Key<W>>() + 5;
        let now = self.seen.capacity() * entry
            + self.entries.capacity() * 8
            + self.stack.capacity() * std::mem::size_of::<Frame<W>>()
            + self.branches.capacity() * 8
            + (self.order.capacity() + self.best_tail.capacity()) * 4
            + self.used.bytes()
            + self.stepper.bytes()
            + self.layout.bytes();
        self.bytes = self.bytes.max(now);
    }

    /// Shorten the order; keep what the longest prefix would lose.
    fn cut(&mut self, length: usize) {
        if length < self.best_length {
            self.best_tail.extend(self.order[length..self.best_length].iter().rev());
            self.best_length = length;
        }
        self.order.truncate(length);
    }

    fn dead_end(&mut self, frontier: usize, mask: Mask<W>, state: State) {
        if self.best.is_none_or(|best| frontier > best) {
            self.best = Some(frontier);
            self.best_ends.clear();
            self.best_length = self.order.len();
            self.best_tail.clear();
        }
        if self.best_ends.len() < STUCK_KEPT {
            self.best_ends.push((mask, state));
        }
    }

    fn exhausted(&mut self, visited: u64, watch: &mut Watch) -> Option<String> {
        if self.limit.is_some_and(|limit| visited >= limit) {
            return Some(format!("gave up after {visited} configurations"));
        }
        let before = self.bytes;
        self.note_memory();
        self.meter.check(CHECK_EVERY, self.bytes - before, watch)
    }

    fn finish(mut self, verdict: Verdict, visited: u64, reason: String) -> Found {
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
            found.order = self.order;
            return found;
        }
        if layout.blocked.is_some() && !self.stepper.broken() {
            found.verdict = Verdict::Invalid;
            found.reason.clear();
        }
        if found.verdict == Verdict::Unknown {
            let mut at: Quick<u32, u32> = Quick::default();
            self.seen.keys().for_each(|key| *at.entry(key.0).or_default() += 1);
            // Every order of a crowd ends behind it: a layer of one operation holds them all and explains nothing.
            let choices = |frontier: u32| layout.layer(frontier as usize).len().saturating_sub(1);
            let most = at.into_iter().max_by_key(|&(frontier, count)| {
                (count as usize * choices(frontier), count, frontier)
            });
            found.crowded = most.map_or(Vec::new(), |(frontier, _)| layout.layer(frontier as usize).to_vec());
        }
        found.order = self.order;
        found.order.truncate(self.best_length);
        found.order.extend(self.best_tail.iter().rev());
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

/// Search with a mask as wide as the layout needs; None when it would need more than 4096 bits.
pub fn search<S: Stepper + ?Sized>(
    layout: &Layout,
    stepper: &mut S,
    reductions: Reductions,
    meter: &Meter,
) -> Option<Found> {
    Some(match layout.width {
        0..=64 => Search::<S, 1>::new(layout, stepper, reductions, meter).run(),
        65..=256 => Search::<S, 4>::new(layout, stepper, reductions, meter).run(),
        257..=1024 => Search::<S, 16>::new(layout, stepper, reductions, meter).run(),
        1025..=4096 => Search::<S, 64>::new(layout, stepper, reductions, meter).run(),
        _ => return None,
    })
}
