//! A partition is searched, what is valid verified, and what was found said in positions of the history.

use super::{Part, Refusal, Task, View};
use crate::intervals::Tokens;
use crate::layout::Layout;
use crate::quick::{quick, Entry, OPERATIONS};
use crate::search::{search, Found, Located, Verdict};
use crate::step::{LastWriter, Stepper};
use crate::verify::verify;

/// What the search found about one partition; operations are positions in the columns.
pub struct Answer {
    pub key: Option<u32>,
    pub operations: Vec<u32>,
    pub verdict: Verdict,
    pub order: Vec<u32>,
    pub dead_ends: Vec<(View, Vec<u32>)>,
    pub frontier: Option<u32>,
    pub contradiction: Vec<u32>,
    pub reason: String,
    pub crowded: Vec<u32>,
    pub configurations: u64,
    pub steps: u64,
    pub peak: usize,
    pub width: usize,
    pub searched: usize,
    pub bytes: usize,
}

impl Part<'_> {
    /// Invalid, without a search.
    pub fn contradicted(self, core: Vec<u32>) -> Answer {
        Answer {
            key: self.key,
            verdict: Verdict::Invalid,
            order: Vec::new(),
            dead_ends: Vec::new(),
            frontier: None,
            contradiction: core.into_iter().map(|position| self.candidates[position as usize]).collect(),
            reason: String::new(),
            crowded: Vec::new(),
            configurations: 0,
            steps: 0,
            peak: 0,
            width: 0,
            searched: self.candidates.len(),
            bytes: 0,
            operations: self.all,
        }
    }

    pub fn search<S: Stepper + ?Sized>(&self, layout: &Layout, stepper: &mut S) -> Result<Found, Refusal> {
        search(layout, stepper, self.task.reductions, self.task.meter).ok_or(Refusal::Unsupported)
    }

    /// A short history is tried as it was recorded.
    pub fn quick(&self, kind: &[u32], tokens: &Tokens, stepper: &mut LastWriter) -> Option<Located> {
        let Task { columns, reductions, .. } = self.task;
        let allowed = self.task.quick && reductions.no_effect && reductions.pool && reductions.tighten;
        if !allowed || self.candidates.len() > OPERATIONS {
            return None;
        }
        let entries = self.candidates.iter().zip(0u32..).map(|(&operation, position)| Entry {
            call: columns.calls[operation as usize],
            end: columns.returns[operation as usize],
            kind: kind[position as usize],
            reads: tokens.reads[position as usize],
            writes: tokens.writes[position as usize],
            position,
        });
        let tried = quick(entries, stepper)?;
        Some(Located {
            verdict: tried.verdict,
            order: tried.order,
            frontier: tried.dead_ends.first().and_then(|end| end.1.first().copied()),
            dead_ends: tried.dead_ends,
            crowded: Vec::new(),
            reason: String::new(),
            configurations: tried.configurations,
            steps: stepper.steps(),
            peak: tried.remembered,
            width: tried.width,
            searched: self.candidates.len(),
            bytes: 32 * tried.remembered,
        })
    }

    pub fn answer(self, contradiction: &[u32], found: Located, view: impl Fn(u32) -> View) -> Result<Answer, Refusal> {
        let at = |position: u32| self.candidates[position as usize];
        let all = |positions: Vec<u32>| -> Vec<u32> { positions.into_iter().map(at).collect() };
        let order = all(found.order);
        let Task { columns, model, initial, .. } = *self.task;
        if found.verdict == Verdict::Valid {
            verify(columns, model, initial, &self.all, &order).map_err(Refusal::Certificate)?;
        }
        let dead_ends = found.dead_ends.into_iter();
        Ok(Answer {
            key: self.key,
            verdict: found.verdict,
            dead_ends: dead_ends.map(|(state, pending)| (view(state), all(pending))).collect(),
            frontier: found.frontier.map(at),
            contradiction: contradiction.iter().map(|&position| at(position)).collect(),
            reason: found.reason,
            crowded: all(found.crowded),
            configurations: found.configurations,
            steps: found.steps,
            peak: found.peak,
            width: found.width,
            searched: found.searched,
            bytes: found.bytes,
            order,
            operations: self.all,
        })
    }
}
