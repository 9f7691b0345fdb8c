//! Depth-first search for an order that explains one partition. The rules are those of `porcupine.search`:
//!
//! 1. *Close* a configuration: place every enabled operation that never changes any state, and move the
//!    frontier over what is placed.
//! 2. Past the last operation the order is found.
//! 3. A closed configuration that was met before, with no more unknown operations used, is given up.
//! 4. Branch on the enabled operations, first end first; of interchangeable ones only that.
//! 5. Then on unknown operations, only where using one makes a difference now, and not before every other way was
//!    tried that begins at most a window in front of the furthest frontier.

mod cuts;
mod found;
mod pooled;

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::budget::Meter;
use crate::configuration::{Mask, Quick, Used};
use crate::layout::{Layout, Reductions, NO_BEFORE};
use crate::step::{State, Stepper, REJECTED, SEVERAL};
use crate::tokens::Rules;
use cuts::Cuts;
pub use found::{Found, Located, Verdict};

pub const STUCK_KEPT: usize = 8;
const CHECK_EVERY: u64 = 512;
/// The rules about tokens need some preparation: only searches longer than this are worth it.
const TOKENS_AFTER: u64 = 100;

struct Frame<const W: usize> {
    mask: Mask<W>,
    frontier: u32,
    used: u32,
    order: u32,
    state: State,
    start: u32,
    next: u32,
    /// Where its writes that go along begin.
    along: u32,
    pool_pending: bool,
}

/// A configuration that has only unknown operations left to try: the furthest first, the latest first.
struct Deferred<const W: usize>((u32, u64), Frame<W>);

impl<const W: usize> PartialEq for Deferred<W> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<const W: usize> Eq for Deferred<W> {}

impl<const W: usize> PartialOrd for Deferred<W> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const W: usize> Ord for Deferred<W> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
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
    deferred: BinaryHeap<Deferred<W>>,
    times_deferred: u64,
    window: usize,
    /// What was placed last, a node of `placed`: (operation, the node before).
    order: u32,
    placed: Vec<(i32, u32)>,
    seen: Quick<Key<W>, u32>,
    /// Where there is a pool: (used, next entry) of each remembered configuration.
    entries: Vec<(u32, u32)>,
    free: Vec<u32>,
    used: Used,
    remembered: usize,
    peak: usize,
    bytes: usize,
    best: Option<usize>,
    best_order: u32,
    best_ends: Vec<(Mask<W>, State)>,
    waiting: Option<i64>,
    tried: Vec<u32>,
    round: u32,
    follows: Vec<bool>,
    scratch: Vec<u32>,
    rules: Option<Rules>,
    along: Vec<u32>,
    cuts: Cuts,
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
            deferred: BinaryHeap::new(),
            times_deferred: 0,
            window: reductions.window,
            order: END,
            placed: Vec::with_capacity(layout.count()),
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
            best_order: END,
            best_ends: Vec::new(),
            waiting: None,
            round: 0,
            follows,
            scratch: Vec::new(),
            rules: None,
            along: Vec::new(),
            cuts: Cuts::new(reductions.cut_after),
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
            let collected;
            (frontier, collected) = self.close(frontier, &mut mask, state, start);
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
            let forced = self.stack.is_empty() && !pool && self.branches.len() == start + 1 && !collected;
            if forced || self.is_new(frontier, mask, state, used, collected) {
                if self.best.is_none_or(|best| frontier >= best) {
                    self.dead_end(frontier, mask, state);
                }
                if collected {
                    self.collect(frontier, state, used, visited);
                }
                let mut pool_pending = pool && !collected;
                if pool_pending && self.waits_for_unknown(start) {
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
                        order: self.order,
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
            self.look_for_a_cut(visited);
            match self.next() {
                None if self.stepper.broken() => {
                    return self.finish(Verdict::Unknown, visited, "the model raised an error".into())
                }
                None => return self.finish(Verdict::Invalid, visited, String::new()),
                Some(following) => (frontier, mask, state, used) = following,
            }
        }
    }

    /// Rule 1: the frontier afterwards, and whether it is the cut where states are collected; otherwise the
    /// branches that remain are pushed behind `start`.
    fn close(&mut self, mut frontier: usize, mask: &mut Mask<W>, state: State, start: usize) -> (usize, bool) {
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
                    self.put(index as i32);
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
                if self.cuts.is_at(layout, frontier) && frontier < count {
                    self.branches.truncate(start);
                    return (frontier, true);
                }
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
                return (frontier, false);
            }
        }
        self.branches.truncate(start);
        (frontier, false)
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

    /// Rule 3.
    fn is_new(&mut self, frontier: usize, mask: Mask<W>, state: State, used: u32, collected: bool) -> bool {
        let key = (frontier as u32 | u32::from(collected) << 31, state, mask);
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

    fn put(&mut self, number: i32) {
        self.placed.push((number, self.order));
        self.order = self.placed.len() as u32 - 1;
    }

    /// The next untried branch, deepest first.
    fn next(&mut self) -> Option<(usize, Mask<W>, State, u32)> {
        let layout = self.layout;
        let best = self.best.unwrap_or(0);
        loop {
            let window = self.window;
            let far = |frame: &Frame<W>| frame.frontier as usize + window < best;
            if self.stack.last().is_none_or(far) {
                if let Some(Deferred(_, frame)) = self.deferred.pop() {
                    self.try_unknown(frame);
                    continue;
                }
            }
            let Some(top) = self.stack.last_mut() else {
                return self.resume();
            };
            if top.pool_pending && far(top) {
                self.window *= 2;
            }
            if top.next as usize == self.branches.len() {
                if let Some(frame) = self.pop().filter(|frame| frame.pool_pending) {
                    self.times_deferred += 1;
                    self.deferred.push(Deferred((frame.frontier, self.times_deferred), frame));
                }
                continue;
            }
            let (number, state) = self.branches[top.next as usize];
            top.next += 1;
            let (frontier, mut mask, mut used) = (top.frontier as usize, top.mask, top.used);
            let along = top.along as usize;
            let done = top.next as usize == self.branches.len() && !top.pool_pending;
            self.order = top.order;
            if number >= 0 {
                if self.rules.as_ref().is_some_and(|rules| rules.is_plain(number as u32)) {
                    for at in along..self.along.len() {
                        let other = self.along[at];
                        if other != number as u32 {
                            mask.flip(layout.bit[other as usize]);
                            self.put(other as i32);
                        }
                    }
                }
                mask.flip(layout.bit[number as usize]);
                self.put(number);
            } else {
                let group = &layout.groups[(-1 - number) as usize];
                let member = self.used.count(used, group.shift, group.members.len());
                used = self.used.with(used, group.shift + member);
                self.put(-1 - group.members[member] as i32);
            }
            if done {
                self.pop();
                let alone = self.stack.is_empty() && self.deferred.is_empty() && self.cuts.nothing_is_left();
                if alone && best <= frontier && self.remembered > 0 {
                    // Nothing earlier is left to try, so nothing remembered can be met again.
                    self.clear_seen();
                }
            }
            return Some((frontier, mask, state, used));
        }
    }

    /// What was left for last.
    fn try_unknown(&mut self, mut frame: Frame<W>) {
        let start = self.branches.len();
        self.pool_branches(frame.frontier as usize, frame.mask, frame.state, frame.used);
        if self.branches.len() > start {
            (frame.start, frame.next, frame.along) = (start as u32, start as u32, self.along.len() as u32);
            frame.pool_pending = false;
            self.stack.push(frame);
        }
    }

    fn pop(&mut self) -> Option<Frame<W>> {
        let top = self.stack.pop()?;
        self.branches.truncate(top.start as usize);
        self.along.truncate(top.along as usize);
        Some(top)
    }

    fn clear_seen(&mut self) {
        self.note_memory();
        self.remembered = 0;
        self.seen.clear();
        self.entries.clear();
        self.free.clear();
    }

    fn forget(&mut self) {
        self.stack.clear();
        self.deferred.clear();
        self.branches.clear();
        self.placed.clear();
        self.order = END;
        self.seen.clear();
        self.entries.clear();
        self.free.clear();
        self.remembered = 0;
        self.best = None;
        self.best_ends.clear();
        self.cuts = Cuts::new(self.reductions.cut_after);
    }

    fn dead_end(&mut self, frontier: usize, mask: Mask<W>, state: State) {
        if self.best.is_none_or(|best| frontier > best) {
            self.best = Some(frontier);
            self.best_ends.clear();
            self.best_order = self.order;
            self.window = self.reductions.window;
        }
        if self.best_ends.len() < STUCK_KEPT {
            self.best_ends.push((mask, state));
        }
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
