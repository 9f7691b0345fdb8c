//! A short history of a model of the last writer, tried as it was recorded: most need less than it costs to lay
//! them out for the search. The native twin of `porcupine.quick`, which gives the rules.
//!
//! Required operations are numbered by their calls. A configuration is (first not placed, mask of what is placed
//! behind it, state, unknown operations used). What may come next is found in one pass from the first not placed
//! on, which ends at the first operation that was called after another of them had returned.

use std::cell::RefCell;

use crate::intervals::{ANYTHING, NEVER, NOTHING};
use crate::search::{Verdict, STUCK_KEPT};
use crate::step::{LastWriter, State, Stepper, REJECTED};

/// Longer histories, and those that take more, are laid out.
pub const OPERATIONS: usize = 128;
const CONFIGURATIONS: u64 = 256;
const HEADS: usize = 512;
const END: u32 = u32::MAX;

/// An operation that is ok or unknown; `position` is its place among the candidates.
#[derive(Clone, Copy)]
pub struct Entry {
    pub call: i64,
    pub end: i64,
    pub kind: u32,
    pub reads: u32,
    pub writes: u32,
    pub position: u32,
}

/// Where it ended; operations by their positions.
pub struct Tried {
    pub verdict: Verdict,
    pub order: Vec<u32>,
    /// States at the furthest frontier, with the operations that could have come next, the first to return first.
    pub dead_ends: Vec<(State, Vec<u32>)>,
    pub configurations: u64,
    pub remembered: usize,
    pub width: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Configuration {
    mask: u64,
    base: u32,
    state: State,
}

#[derive(Clone, Copy)]
struct Frame {
    here: Configuration,
    used: u64,
    order: u32,
    start: u32,
    next: u32,
    first: i64,
    pool_pending: bool,
}

/// What is to be tried: a required operation, or -1 - p from the pool, and the state that follows.
type Branch = (i64, i32, State);

/// Everything that grows, kept from one history to the next.
#[derive(Default)]
struct Quick {
    required: Vec<Entry>,
    pool: Vec<Entry>,
    /// Of each in the pool: the one before it that is of the same kind.
    alike: Vec<u32>,
    stack: Vec<Frame>,
    branches: Vec<Branch>,
    /// What was placed last, and where the one before it stands.
    order: Vec<(i32, u32)>,
    heads: Vec<u32>,
    seen: Vec<(Configuration, u64, u32)>,
    ends: Vec<Configuration>,
    waited: Vec<u32>,
}

thread_local! {
    static KEPT: RefCell<Quick> = RefCell::default();
}

/// None where it takes too long, or needs more than the short masks hold.
pub fn quick(entries: impl Iterator<Item = Entry>, stepper: &mut LastWriter) -> Option<Tried> {
    KEPT.with(|kept| kept.try_borrow_mut().ok()?.judge(entries, stepper))
}

impl Quick {
    fn judge(&mut self, entries: impl Iterator<Item = Entry>, stepper: &mut LastWriter) -> Option<Tried> {
        self.required.clear();
        self.pool.clear();
        self.alike.clear();
        let mut before = i64::MIN;
        for entry in entries {
            if entry.call < before {
                return None;
            }
            before = entry.call;
            if entry.end != NEVER {
                self.required.push(entry);
            } else if entry.writes != NOTHING {
                if entry.reads == ANYTHING || self.pool.len() == 64 {
                    return None;
                }
                let alike = self.pool.iter().rposition(|other| other.kind == entry.kind);
                self.alike.push(alike.map_or(END, |place| place as u32));
                self.pool.push(entry);
            }
        }
        self.stack.clear();
        self.branches.clear();
        self.order.clear();
        self.seen.clear();
        self.ends.clear();
        self.heads.clear();
        self.heads.resize(HEADS, END);
        self.run(stepper)
    }

    fn run(&mut self, stepper: &mut LastWriter) -> Option<Tried> {
        let mut here = Configuration { mask: 0, base: 0, state: stepper.initial() };
        let (mut used, mut order, mut visited, mut width) = (0u64, END, 0u64, 0usize);
        let (mut best, mut best_order) = (i64::MIN, END);
        loop {
            visited += 1;
            if visited > CONFIGURATIONS {
                return None;
            }
            let start = self.branches.len();
            let (first, pending) = self.close(&mut here, &mut order, stepper)?;
            if pending == 0 {
                return Some(self.finish(Verdict::Valid, visited, order, i64::MIN, width));
            }
            width = width.max(pending);
            if first > best {
                (best, best_order) = (first, order);
                self.ends.clear();
            }
            if first == best && self.ends.len() < STUCK_KEPT {
                self.ends.push(here);
            }
            let only = self.branches.len() == start + 1 && pending == 1;
            if only && (self.pool.is_empty() || self.required[self.branches[start].1 as usize].reads != ANYTHING) {
                // There is nothing else to try.
                let (_, number, state) = self.branches[start];
                self.branches.truncate(start);
                here.state = state;
                self.place(number, &mut here, &mut order);
                continue;
            }
            let any = self.branches.len() > start || !self.pool.is_empty();
            if any && self.is_new(here, used) {
                self.branches[start..].sort_unstable();
                self.stack.push(Frame {
                    here,
                    used,
                    order,
                    start: start as u32,
                    next: start as u32,
                    first,
                    pool_pending: !self.pool.is_empty(),
                });
            } else {
                self.branches.truncate(start);
            }
            let Some((number, state)) = self.next(stepper, &mut here, &mut used, &mut order) else {
                return Some(self.finish(Verdict::Invalid, visited, best_order, best, width));
            };
            here.state = state;
            if number >= 0 {
                self.place(number, &mut here, &mut order);
            } else {
                used |= 1 << (-1 - number);
                self.order.push((number, order));
                order = self.order.len() as u32 - 1;
            }
        }
    }

    /// Place what changes nothing, and push the branches; when the first of what remains returned, and how many
    /// may come next.
    #[inline]
    fn close(&mut self, here: &mut Configuration, order: &mut u32, stepper: &mut LastWriter) -> Option<(i64, usize)> {
        let (mut first, mut pending) = (NEVER, 0);
        let mut number = here.base as usize;
        while number < self.required.len() && self.required[number].call <= first {
            let bit = number - here.base as usize;
            if bit >= 63 {
                return None;
            }
            if here.mask >> bit & 1 == 0 {
                let entry = &self.required[number];
                let step = stepper.step(here.state, entry.kind);
                if step != REJECTED && entry.writes == NOTHING {
                    self.place(number as i32, here, order);
                    number = number.max(here.base as usize - 1);
                } else {
                    pending += 1;
                    first = first.min(entry.end);
                    if step != REJECTED {
                        self.branches.push((entry.end, number as i32, step));
                    }
                }
            }
            number += 1;
        }
        Some((first, pending))
    }

    #[inline]
    fn place(&mut self, number: i32, here: &mut Configuration, order: &mut u32) {
        here.mask |= 1 << (number as u32 - here.base);
        let shift = here.mask.trailing_ones();
        here.mask >>= shift;
        here.base += shift;
        self.order.push((number, *order));
        *order = self.order.len() as u32 - 1;
    }

    /// Remember it; false when it was met before with no more unknown operations used.
    fn is_new(&mut self, here: Configuration, used: u64) -> bool {
        let mixed = (here.mask ^ u64::from(here.base) << 32 ^ u64::from(here.state).rotate_left(20))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let head = &mut self.heads[(mixed >> 55) as usize];
        let mut at = *head;
        while at != END {
            let (other, less, next) = self.seen[at as usize];
            if other == here && less & used == less {
                return false;
            }
            at = next;
        }
        self.seen.push((here, used, *head));
        *head = self.seen.len() as u32 - 1;
        true
    }

    /// The next untried branch, deepest first.
    fn next(
        &mut self,
        stepper: &mut LastWriter,
        here: &mut Configuration,
        used: &mut u64,
        order: &mut u32,
    ) -> Option<(i32, State)> {
        loop {
            let top = self.stack.last_mut()?;
            if let Some(&(_, number, state)) = self.branches.get(top.next as usize) {
                top.next += 1;
                (*here, *used, *order) = (top.here, top.used, top.order);
                return Some((number, state));
            }
            self.branches.truncate(top.start as usize);
            if !std::mem::take(&mut top.pool_pending) {
                self.stack.pop();
                continue;
            }
            top.next = top.start;
            let (at, first, spent) = (top.here, top.first, top.used);
            self.chains(at, first, spent, stepper);
        }
    }

    /// Push the unknown operations that begin a chain to what a required operation waits for
    /// (`porcupine.pool`).
    fn chains(&mut self, here: Configuration, first: i64, used: u64, stepper: &mut LastWriter) {
        self.waited.clear();
        let mut anything = false;
        for (entry, bit) in self.required[here.base as usize..].iter().zip(0u32..) {
            if entry.call > first {
                break;
            }
            if here.mask >> bit & 1 == 0 && entry.reads != NOTHING && entry.reads != here.state {
                anything |= entry.reads == ANYTHING;
                if !self.waited.contains(&entry.reads) {
                    self.waited.push(entry.reads);
                }
            }
        }
        if anything {
            // Whatever changes the state may be told; chains begin with it as well.
            self.waited.clear();
            self.waited.push(ANYTHING);
        }
        let called = self.pool.partition_point(|entry| entry.call <= first);
        let mut done = 0;
        while done < self.waited.len() {
            let token = self.waited[done];
            done += 1;
            for at in 0..called {
                let entry = self.pool[at];
                let alike = self.alike[at];
                let free = used >> at & 1 == 0 && (alike == END || used >> alike & 1 != 0);
                if !free || (entry.writes != token && token != ANYTHING) {
                    continue;
                }
                if entry.reads == NOTHING || entry.reads == here.state {
                    let state = stepper.step(here.state, entry.kind);
                    if state != REJECTED && state != here.state {
                        self.branches.push((0, -1 - at as i32, state));
                    }
                } else if token != ANYTHING && !self.waited.contains(&entry.reads) {
                    self.waited.push(entry.reads);
                }
            }
        }
    }

    fn finish(&self, verdict: Verdict, visited: u64, mut order: u32, best: i64, width: usize) -> Tried {
        let mut placed = Vec::with_capacity(self.required.len());
        while let Some(&(number, before)) = self.order.get(order as usize) {
            placed.push(match number {
                0.. => self.required[number as usize].position,
                _ => self.pool[(-1 - number) as usize].position,
            });
            order = before;
        }
        placed.reverse();
        let mut dead_ends = Vec::new();
        if verdict == Verdict::Invalid {
            for end in &self.ends {
                let behind = self.required[end.base as usize..].iter().take_while(|entry| entry.call <= best);
                let open = behind.zip(0u32..).filter(|&(_, bit)| bit > 63 || end.mask >> bit & 1 == 0);
                let mut pending: Vec<(i64, u32)> = open.map(|(entry, _)| (entry.end, entry.position)).collect();
                pending.sort_unstable();
                dead_ends.push((end.state, pending.into_iter().map(|each| each.1).collect()));
            }
        }
        let remembered = self.seen.len();
        Tried { verdict, order: placed, dead_ends, configurations: visited, remembered, width }
    }
}
