//! Cuts, by the rules of `porcupine.search`: where nothing is pending, what follows depends on the state alone (and
//! on the unknown operations used). When much is remembered, the search finishes what it has to try before the
//! next cut, forgets all that, and goes on from the states that it found there.

use super::Search;
use crate::configuration::Mask;
use crate::layout::Layout;
use crate::step::{State, Stepper};

/// A state that was found at a cut, and the last node of what was placed before it.
struct End {
    frontier: usize,
    state: State,
    used: u32,
    order: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Stop {
    Nowhere,
    AtNext,
    At(usize),
}

pub struct Cuts {
    after: usize,
    stop: Stop,
    /// With more configurations than this visited, the search goes on with the states that it has.
    patience: u64,
    collected: Vec<End>,
    waiting: Vec<End>,
}

impl Cuts {
    pub fn new(after: Option<usize>) -> Self {
        Cuts {
            after: after.unwrap_or(usize::MAX),
            stop: Stop::Nowhere,
            patience: u64::MAX,
            collected: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Are states collected at this frontier?
    #[inline]
    pub fn is_at(&mut self, layout: &Layout, frontier: usize) -> bool {
        match self.stop {
            Stop::Nowhere => false,
            Stop::At(stop) => frontier == stop,
            Stop::AtNext => layout.layer(frontier - 1).len() == 1,
        }
    }

    pub fn nothing_is_left(&self) -> bool {
        self.stop == Stop::Nowhere && self.waiting.is_empty()
    }
}

impl<S: Stepper + ?Sized, const W: usize> Search<'_, S, W> {
    pub fn look_for_a_cut(&mut self, visited: u64) {
        if self.remembered > self.cuts.after && self.cuts.stop == Stop::Nowhere {
            self.cuts.stop = Stop::AtNext;
        } else if visited > self.cuts.patience {
            self.go_on(2 * self.remembered);
        }
    }

    /// Remember a state at the cut.
    pub fn collect(&mut self, frontier: usize, state: State, used: u32, visited: u64) {
        if self.cuts.stop == Stop::AtNext {
            self.cuts.stop = Stop::At(frontier);
            self.cuts.patience = visited + 4 * self.remembered as u64 + 64;
        }
        self.cuts.collected.push(End { frontier, state, used, order: self.order });
    }

    /// From the states collected at the cut, the one found first first.
    fn go_on(&mut self, after: usize) {
        let collected = std::mem::take(&mut self.cuts.collected);
        self.cuts.waiting.extend(collected.into_iter().rev());
        self.cuts.stop = Stop::Nowhere;
        self.cuts.patience = u64::MAX;
        self.cuts.after = after;
    }

    /// Nothing is left to try behind the last cut: on from the next state that waits at one.
    pub fn resume(&mut self) -> Option<(usize, Mask<W>, State, u32)> {
        if self.cuts.waiting.is_empty() {
            self.clear_seen();
            self.go_on(self.reductions.cut_after.unwrap_or(usize::MAX));
        }
        let end = self.cuts.waiting.pop()?;
        self.order = end.order;
        Some((end.frontier, Mask::EMPTY, end.state, end.used))
    }
}
