//! When each operation can have taken effect, and who wrote and read what.
//!
//! The rules are those of `porcupine.tighten` and `porcupine.intervals`, which give the reasons:
//!
//! 1. A token that exactly one operation writes is unique: from that write to its last reader nothing else
//!    was written.
//! 2. A unique write happened by the earliest return of a reader; a reader not before the write's call.
//! 3. An unknown operation whose unique token was read did happen; one whose token nobody reads is dropped.
//! 4. A reader that overwrites comes after every other reader.
//! 5. While a token had to be there, every write and every read of another token lies outside.
//! 6. Where the system numbers its effects, they take place in that order.

use crate::contradiction;

pub const NEVER: i64 = i64::MAX;
pub const ALWAYS: i64 = i64::MIN;
/// A token that stands for "does not read" or "does not write".
pub const NOTHING: u32 = u32::MAX;
/// It depends on the state in a way that no token names.
pub const ANYTHING: u32 = u32::MAX - 1;
pub const NONE: u32 = u32::MAX;
const SEVERAL: u32 = u32::MAX - 1;
const ROUNDS: usize = 4;

/// What each operation reads and writes, for models whose state is what the last write left.
pub struct Tokens {
    pub reads: Vec<u32>,
    pub writes: Vec<u32>,
    pub initial: u32,
    pub count: usize,
}

pub struct Intervals {
    pub low: Vec<i64>,
    pub high: Vec<i64>,
    pub required: Vec<bool>,
    pub dropped: Vec<bool>,
    /// Operations that cannot all have happened; the one called last comes last.
    pub contradiction: Vec<u32>,
}

impl Intervals {
    pub fn plain(calls: Vec<i64>, returns: Vec<i64>, required: Vec<bool>) -> Self {
        let dropped = vec![false; calls.len()];
        Intervals { low: calls, high: returns, required, dropped, contradiction: Vec::new() }
    }

    /// `hasty`: a contradiction is enough.
    pub fn tighten(&mut self, tokens: Option<&Tokens>, places: Option<&[Option<i64>]>, hasty: bool) {
        if let Some(tokens) = tokens {
            let groups = Groups::new(tokens, self);
            self.contradiction = contradiction::find(places, Some(&groups), self);
            if hasty && !self.contradiction.is_empty() {
                return;
            }
            for _ in 0..ROUNDS {
                let members = groups.narrow_members(self);
                let others = groups.keep_others_out(self);
                if !members && !others {
                    break;
                }
            }
        } else {
            self.contradiction = contradiction::find(places, None, self);
        }
        if let Some(places) = places {
            self.follow(places);
        }
    }

    /// Narrow some operations by what they read and wrote among themselves; `tokens` are by their order.
    pub fn tighten_some(&mut self, positions: &[usize], tokens: &Tokens) {
        let pick = |column: &[bool]| -> Vec<bool> { positions.iter().map(|&at| column[at]).collect() };
        let times = |column: &[i64]| -> Vec<i64> { positions.iter().map(|&at| column[at]).collect() };
        let mut some = Intervals::plain(times(&self.low), times(&self.high), pick(&self.required));
        some.tighten(Some(tokens), None, false);
        let last = |core: &[u32], low: &[i64]| core.last().map_or(NEVER, |&at| low[at as usize]);
        let core: Vec<u32> = some.contradiction.iter().map(|&at| positions[at as usize] as u32).collect();
        if last(&core, &self.low) < last(&self.contradiction, &self.low) {
            self.contradiction = core;
        }
        for (own, &at) in positions.iter().enumerate() {
            self.low[at] = some.low[own];
            self.high[at] = some.high[own];
            self.required[at] = some.required[own];
            self.dropped[at] = some.dropped[own];
        }
    }

    /// Rule 6.
    fn follow(&mut self, places: &[Option<i64>]) {
        let mut numbered: Vec<(i64, usize)> = (0..places.len())
            .filter(|&index| self.required[index])
            .filter_map(|index| places[index].map(|place| (place, index)))
            .collect();
        numbered.sort_unstable();
        let mut latest = ALWAYS;
        for &(_, index) in &numbered {
            latest = latest.max(self.low[index]);
            self.low[index] = latest;
        }
        let mut earliest = NEVER;
        for &(_, index) in numbered.iter().rev() {
            earliest = earliest.min(self.high[index]);
            self.high[index] = earliest;
        }
    }
}

#[derive(Clone, Copy)]
pub struct Zone {
    pub first: i64,
    pub last: i64,
    pub token: u32,
}

/// For each token its only writer and the required operations that read it.
pub struct Groups<'a> {
    pub tokens: &'a Tokens,
    pub writer: Vec<u32>,
    start: Vec<u32>,
    members: Vec<u32>,
    /// The tokens that someone reads.
    pub read: Vec<u32>,
    initial_written: bool,
}

impl<'a> Groups<'a> {
    fn new(tokens: &'a Tokens, intervals: &mut Intervals) -> Self {
        let mut writer = vec![NONE; tokens.count];
        writer[tokens.initial as usize] = SEVERAL;
        let mut initial_written = false;
        for (index, &token) in tokens.writes.iter().enumerate() {
            if token == NOTHING {
                continue;
            }
            initial_written |= token == tokens.initial;
            let known = &mut writer[token as usize];
            *known = if *known == NONE && token != tokens.reads[index] { index as u32 } else { SEVERAL };
        }
        for known in &mut writer {
            if *known == SEVERAL {
                *known = NONE;
            }
        }
        let mut groups = Groups {
            tokens,
            writer,
            start: Vec::new(),
            members: Vec::new(),
            read: Vec::new(),
            initial_written,
        };
        groups.promote(intervals);
        groups
    }

    pub fn readers(&self, token: u32) -> &[u32] {
        let token = token as usize;
        &self.members[self.start[token] as usize..self.start[token + 1] as usize]
    }

    pub fn only_writer(&self, token: u32) -> Option<usize> {
        let writer = self.writer[token as usize];
        (writer != NONE).then_some(writer as usize)
    }

    /// Rule 3.
    fn promote(&mut self, intervals: &mut Intervals) {
        let reads = &self.tokens.reads;
        let mut counts = vec![0u32; self.tokens.count + 1];
        let mut work: Vec<u32> = Vec::new();
        let mut optional = false;
        for index in 0..reads.len() {
            if !intervals.required[index] {
                optional = true;
                continue;
            }
            let token = reads[index];
            if token < ANYTHING {
                counts[token as usize] += 1;
                let writer = self.writer[token as usize];
                if writer != NONE && !intervals.required[writer as usize] {
                    work.push(writer);
                }
            }
        }
        while let Some(index) = work.pop() {
            if std::mem::replace(&mut intervals.required[index as usize], true) {
                continue;
            }
            let token = reads[index as usize];
            if token < ANYTHING {
                counts[token as usize] += 1;
                let writer = self.writer[token as usize];
                if writer != NONE && !intervals.required[writer as usize] {
                    work.push(writer);
                }
            }
        }
        if optional {
            self.drop_unseen(intervals, &counts);
        }
        let mut total = 0;
        for (token, count) in counts.iter_mut().enumerate() {
            if *count > 0 {
                self.read.push(token as u32);
            }
            total += std::mem::replace(count, total);
        }
        self.members = vec![0; total as usize];
        let mut next = counts.clone();
        for (index, &token) in reads.iter().enumerate() {
            if token < ANYTHING && intervals.required[index] {
                self.members[next[token as usize] as usize] = index as u32;
                next[token as usize] += 1;
            }
        }
        self.start = counts;
    }

    fn drop_unseen(&self, intervals: &mut Intervals, counts: &[u32]) {
        let Tokens { reads, writes, .. } = self.tokens;
        let opaque = reads.contains(&ANYTHING);
        let mut work: Vec<usize> = Vec::new();
        for index in 0..reads.len() {
            if intervals.required[index] {
                continue;
            }
            let token = writes[index];
            intervals.dropped[index] = token == NOTHING || (!opaque && counts[token as usize] == 0);
            if !intervals.dropped[index] {
                work.push(index);
            }
        }
        if opaque || work.is_empty() {
            return;
        }
        // What a kept optional operation reads must stay possible: bring its writers back.
        let mut writers: Vec<Vec<usize>> = vec![Vec::new(); self.tokens.count];
        for index in 0..writes.len() {
            if writes[index] != NOTHING && intervals.dropped[index] {
                writers[writes[index] as usize].push(index);
            }
        }
        while let Some(index) = work.pop() {
            let token = reads[index];
            if token < ANYTHING {
                for back in std::mem::take(&mut writers[token as usize]) {
                    intervals.dropped[back] = false;
                    work.push(back);
                }
            }
        }
    }

    /// The times in which a token had to be there, by their beginning.
    pub fn zones(&self, intervals: &Intervals) -> Vec<Zone> {
        let (low, high) = (&intervals.low, &intervals.high);
        let mut zones = Vec::with_capacity(self.read.len() + 1);
        for &token in &self.read {
            let Some(writer) = self.only_writer(token) else { continue };
            let (mut first, mut last) = (high[writer], low[writer]);
            for &member in self.readers(token) {
                first = first.min(high[member as usize]);
                last = last.max(low[member as usize]);
            }
            if first < last {
                zones.push(Zone { first, last, token });
            }
        }
        let initial = self.tokens.initial;
        if !self.initial_written {
            if let Some(last) = self.readers(initial).iter().map(|&member| low[member as usize]).max() {
                zones.push(Zone { first: ALWAYS, last, token: initial });
            }
        }
        zones.sort_unstable_by_key(|zone| (zone.first, zone.last, zone.token));
        zones
    }

    /// Rules 2 and 4.
    fn narrow_members(&self, intervals: &mut Intervals) -> bool {
        let Intervals { low, high, .. } = intervals;
        let mut changed = false;
        for &token in &self.read {
            let Some(writer) = self.only_writer(token) else { continue };
            let members = self.readers(token);
            let mut first = NEVER;
            let mut overwriting = NONE;
            let called = low[writer];
            for &member in members {
                let index = member as usize;
                first = first.min(high[index]);
                if low[index] < called {
                    low[index] = called;
                    changed = true;
                }
                if self.tokens.writes[index] != NOTHING {
                    overwriting = if overwriting == NONE { member } else { SEVERAL };
                }
            }
            if first < high[writer] {
                high[writer] = first;
                changed = true;
            }
            if overwriting < SEVERAL {
                let overwriting = overwriting as usize;
                let last = members.iter().map(|&member| low[member as usize]).max().unwrap_or(ALWAYS);
                if low[overwriting] < last {
                    low[overwriting] = last;
                    changed = true;
                }
                let end = high[overwriting];
                for &member in members {
                    if high[member as usize] > end {
                        high[member as usize] = end;
                        changed = true;
                    }
                }
            }
        }
        changed
    }

    /// Rule 5. Of zones that overlap the first counts.
    fn keep_others_out(&self, intervals: &mut Intervals) -> bool {
        let mut disjoint = self.zones(intervals);
        let mut end = ALWAYS;
        let mut any = false;
        disjoint.retain(|zone| {
            let keep = !any || end <= zone.first;
            if keep {
                any = true;
                end = zone.last;
            }
            keep
        });
        if disjoint.is_empty() {
            return false;
        }
        let Intervals { low, high, dropped, .. } = intervals;
        let mut changed = false;
        for index in 0..low.len() {
            let (read, written) = (self.tokens.reads[index], self.tokens.writes[index]);
            if dropped[index] || (written == NOTHING && read >= ANYTHING) {
                continue;
            }
            if let Some(zone) = at(&disjoint, low[index]) {
                let inside = zone.first < low[index] && low[index] < zone.last;
                if inside && zone.token != read && zone.token != written {
                    low[index] = zone.last;
                    changed = true;
                }
            }
            if let Some(zone) = at(&disjoint, high[index]) {
                let inside = zone.first < high[index] && high[index] < zone.last;
                if inside && zone.token != read && zone.token != written {
                    high[index] = zone.first;
                    changed = true;
                }
            }
        }
        changed
    }
}

/// The last zone that began by then.
pub fn at(zones: &[Zone], time: i64) -> Option<&Zone> {
    let position = zones.partition_point(|zone| zone.first <= time);
    position.checked_sub(1).map(|position| &zones[position])
}
