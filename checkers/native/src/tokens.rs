//! What need not be tried where the state is what the last write left; the reasons stand in `porcupine.tokens`.
//!
//! 1. *Nothing leaves a token behind that is still needed*: where a required operation reads the current token
//!    and nothing that is left can write it again, only its readers may come next, an overwriting one last.
//! 2. *A write that nobody reads goes along*: plain writes of tokens that nobody still has to read are placed
//!    together, and one of them is tried as the last, unless an operation whose answer depends on the state
//!    in a way that no token names could tell.

use crate::intervals::{Tokens, ANYTHING, NEVER, NOTHING};
use crate::layout::Layout;

struct Index {
    start: Vec<u32>,
    items: Vec<u32>,
}

impl Index {
    fn new(tokens: &[u32], count: usize) -> Self {
        let mut start = vec![0u32; count + 1];
        for &token in tokens.iter().filter(|&&token| token < ANYTHING) {
            start[token as usize + 1] += 1;
        }
        for token in 0..count {
            start[token + 1] += start[token];
        }
        let mut next = start.clone();
        let mut items = vec![0; start[count] as usize];
        for (number, &token) in tokens.iter().enumerate() {
            if token < ANYTHING {
                items[next[token as usize] as usize] = number as u32;
                next[token as usize] += 1;
            }
        }
        Index { start, items }
    }

    fn of(&self, token: u32) -> &[u32] {
        match self.start.get(token as usize + 1) {
            Some(&end) => &self.items[self.start[token as usize] as usize..end as usize],
            None => &[],
        }
    }
}

pub struct Rules {
    reads: Vec<u32>,
    writes: Vec<u32>,
    readers: Index,
    writers: Index,
    /// Tokens that optional operations write, and those that they read.
    pooled: Vec<bool>,
    needed: Vec<bool>,
    needs_anything: bool,
    vague: Vec<u32>,
    /// From each position of `vague` on: the earliest moment at which one of them can happen.
    first_vague: Vec<i64>,
    /// When each write has certainly been overwritten.
    overwritten: Vec<i64>,
}

impl Rules {
    pub fn new(layout: &Layout, tokens: &Tokens) -> Self {
        let pick = |column: &[u32]| -> Vec<u32> {
            layout.position.iter().map(|&position| column[position as usize]).collect()
        };
        let (reads, writes) = (pick(&tokens.reads), pick(&tokens.writes));
        let mut pooled = vec![false; tokens.count];
        let mut needed = vec![false; tokens.count];
        let mut needs_anything = false;
        for &position in layout.groups.iter().flat_map(|group| &group.members) {
            let (read, written) = (tokens.reads[position as usize], tokens.writes[position as usize]);
            if written < ANYTHING {
                pooled[written as usize] = true;
            }
            if read < ANYTHING {
                needed[read as usize] = true;
            }
            needs_anything |= read == ANYTHING;
        }
        let vague: Vec<u32> = (0..reads.len() as u32).filter(|&number| reads[number as usize] == ANYTHING).collect();
        let mut first_vague = vec![NEVER; vague.len() + 1];
        for at in (0..vague.len()).rev() {
            first_vague[at] = first_vague[at + 1].min(layout.low[vague[at] as usize]);
        }
        let mut rules = Rules {
            readers: Index::new(&reads, tokens.count),
            writers: Index::new(&writes, tokens.count),
            overwritten: Vec::new(),
            reads,
            writes,
            pooled,
            needed,
            needs_anything,
            vague,
            first_vague,
        };
        if !rules.vague.is_empty() && !needs_anything {
            rules.find_overwritten(layout);
        }
        rules
    }

    fn find_overwritten(&mut self, layout: &Layout) {
        let written = (0..self.writes.len()).filter(|&number| self.writes[number] != NOTHING);
        let mut certain: Vec<(i64, i64)> = written.map(|number| (layout.low[number], layout.high[number])).collect();
        certain.sort_unstable();
        let mut ends: Vec<i64> = certain.iter().map(|write| write.1).chain([NEVER]).collect();
        for at in (0..certain.len()).rev() {
            ends[at] = ends[at].min(ends[at + 1]);
        }
        let after = |end: &i64| ends[certain.partition_point(|write| write.0 <= *end)];
        self.overwritten = layout.high.iter().map(after).collect();
    }

    pub fn is_plain(&self, number: u32) -> bool {
        self.reads[number as usize] == NOTHING
    }

    /// Keep the branches from `start` on that are worth trying; push the writes that go along to `along`.
    pub fn prune(
        &self,
        layout: &Layout,
        token: u32,
        frontier: usize,
        placed: impl Fn(u32) -> bool,
        branches: &mut Vec<(i32, u32)>,
        start: usize,
        along: &mut Vec<u32>,
    ) {
        if let Some(last) = self.still_needed(layout, token, frontier, &placed) {
            // With several readers left none of them may overwrite what the others need.
            keep(branches, start, |number| self.writes[number as usize] == token || Some(number) == last);
            return;
        }
        let open = opened(layout, frontier, &placed);
        if branches.len() == start + 1 || self.needs_anything {
            return;
        }
        let before = along.len();
        let unseen = |number: u32| self.unseen(number, frontier, open);
        along.extend(branches[start..].iter().map(|branch| branch.0 as u32).filter(|&number| unseen(number)));
        if along.len() == before {
            return;
        }
        let others = &along[before + 1..];
        keep(branches, start, |number| !others.contains(&number));
    }

    /// Rule 1: Some where the token must stay, with its only reader left if there is just one.
    pub fn still_needed(
        &self,
        layout: &Layout,
        token: u32,
        frontier: usize,
        placed: impl Fn(u32) -> bool + Copy,
    ) -> Option<Option<u32>> {
        let readers = self.readers.of(token);
        if readers.last().is_none_or(|&last| (last as usize) < frontier) || self.pooled[token as usize] {
            return None;
        }
        let open = opened(layout, frontier, placed);
        if any(self.writers.of(token), frontier, open) {
            return None;
        }
        let not_before = readers.iter().rev().copied().take_while(|&each| each as usize >= frontier);
        let mut left = not_before.filter(|&each| open(each));
        let first = left.next()?;
        Some(left.next().is_none().then_some(first))
    }

    fn unseen(&self, number: u32, frontier: usize, open: impl Fn(u32) -> bool + Copy) -> bool {
        let token = self.writes[number as usize];
        if self.reads[number as usize] != NOTHING || token == NOTHING || self.needed[token as usize] {
            return false;
        }
        if any(self.readers.of(token), frontier, open) {
            return false;
        }
        if self.vague.is_empty() {
            return true;
        }
        let at = self.vague.partition_point(|&each| (each as usize) < frontier);
        self.first_vague[at] > self.overwritten[number as usize]
    }
}

/// Whether an operation is not placed; its bit belongs to it only from its arrival on.
fn opened<'a>(
    layout: &'a Layout,
    frontier: usize,
    placed: impl Fn(u32) -> bool + Copy + 'a,
) -> impl Fn(u32) -> bool + Copy + 'a {
    let end = layout.high[frontier];
    move |number| layout.low[number as usize] > end || !placed(layout.bit[number as usize])
}

fn any(numbers: &[u32], frontier: usize, open: impl Fn(u32) -> bool) -> bool {
    numbers.iter().rev().take_while(|&&each| each as usize >= frontier).any(|&each| open(each))
}

fn keep(branches: &mut Vec<(i32, u32)>, start: usize, wanted: impl Fn(u32) -> bool) {
    let mut kept = start;
    for at in start..branches.len() {
        if wanted(branches[at].0 as u32) {
            branches[kept] = branches[at];
            kept += 1;
        }
    }
    branches.truncate(kept);
}
