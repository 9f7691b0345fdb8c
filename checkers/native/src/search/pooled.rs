//! Operations of unknown outcome: a pool that the search draws from only where it makes a difference. The rules
//! and the reasons are those of `porcupine.pool`.

use super::Search;
use crate::configuration::Mask;
use crate::intervals::{ANYTHING, NOTHING};
use crate::step::{State, Stepper, REJECTED, SEVERAL};

/// Why an unknown operation is worth using.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    ForRequired,
    ForUnknown,
}

impl<S: Stepper + ?Sized, const W: usize> Search<'_, S, W> {
    /// By the hints, a rejected operation comes before all that could come now: something unknown did.
    pub fn waits_for_unknown(&self, start: usize) -> bool {
        let (Some(waiting), Some(hint)) = (self.waiting, &self.layout.hint) else { return false };
        let first = self.branches.get(start).and_then(|branch| hint[branch.0 as usize]);
        first.is_some_and(|first| waiting < first)
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

    pub fn pool_branches(&mut self, frontier: usize, mask: Mask<W>, state: State, used: u32) {
        let layout = self.layout;
        if let Some(rules) = &self.rules {
            let token = self.stepper.token(state);
            if rules.still_needed(layout, token, frontier, |bit| mask.has(bit)).is_some() {
                return;
            }
        }
        let end = layout.high[frontier];
        if self.chains(frontier, mask, state, used, end) {
            return;
        }
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
                        ranks.push((rank, group.needs == NOTHING, (branch, following)));
                    }
                }
            }
        }
        self.scratch = numbers;
        ranks.sort_by_key(|&(rank, blind, _)| (rank, blind));
        self.branches.extend(ranks.into_iter().map(|ranked| ranked.2));
    }

    /// The beginnings of chains that lead to a token that a required operation waits for. False where tokens do
    /// not tell what waits for what.
    fn chains(&mut self, frontier: usize, mask: Mask<W>, state: State, used: u32, end: i64) -> bool {
        let layout = self.layout;
        if layout.waits.is_empty() {
            return false;
        }
        let now = self.stepper.token(state);
        let mut waited = std::mem::take(&mut self.scratch);
        waited.clear();
        for &index in layout.layer(frontier) {
            let token = layout.waits[index as usize];
            if token == NOTHING || token == now || mask.has(layout.bit[index as usize]) || waited.contains(&token) {
                continue;
            }
            waited.push(token);
        }
        let known = !waited.contains(&ANYTHING);
        let required = waited.len();
        let mut ranks: Vec<(bool, bool, (i32, State))> = Vec::new();
        let mut place = 0;
        while known && place < waited.len() {
            let token = waited[place];
            place += 1;
            for &number in layout.writing.get(&token).into_iter().flatten() {
                let group = &layout.groups[number as usize];
                if group.calls[0] > end {
                    break;
                }
                let accepted = group.needs == NOTHING || group.needs == now;
                if !accepted && waited.contains(&group.needs) {
                    continue;
                }
                let member = self.used.count(used, group.shift, group.members.len());
                if member == group.members.len() || group.calls[member] > end {
                    continue;
                }
                if !accepted {
                    waited.push(group.needs);
                    continue;
                }
                let step = self.stepper.step(state, group.kind);
                let start = self.branches.len();
                if step != REJECTED {
                    self.push(-1 - number as i32, step);
                }
                let branches = self.branches.drain(start..).filter(|branch| branch.1 != state);
                ranks.extend(branches.map(|branch| (place > required, group.needs == NOTHING, branch)));
            }
        }
        ranks.sort_by_key(|&(for_unknown, blind, (branch, _))| (for_unknown, blind, -branch));
        self.branches.extend(ranks.into_iter().map(|ranked| ranked.2));
        self.scratch = waited;
        known
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
                if other.needs == NOTHING {
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
}
