//! Contradictions that two or three operations show by themselves; see `porcupine.contradiction`.
//!
//! 1. A read of a token that nobody wrote, or that was written only after the read had returned.
//! 2. Two effects with one place in the system's own order, or an effect placed before another that had
//!    returned before it was called.
//! 3. Two tokens that both had to be there at one moment, or an operation on one token wholly inside the time
//!    in which another had to be there.
//!
//! Of several the one that was complete first is taken.

use std::collections::HashMap;

use crate::intervals::{at, Groups, Intervals, Zone, ANYTHING, NEVER, NONE, NOTHING};

struct Best<'a> {
    low: &'a [i64],
    at: i64,
    core: Vec<u32>,
}

impl Best<'_> {
    fn consider(&mut self, core: &[u32]) {
        let at = core.iter().map(|&index| self.low[index as usize]).max().unwrap_or(NEVER);
        if at < self.at {
            self.at = at;
            self.core.clear();
            for &index in core {
                if !self.core.contains(&index) {
                    self.core.push(index);
                }
            }
        }
    }
}

pub fn find(places: Option<&[Option<i64>]>, groups: Option<&Groups>, intervals: &Intervals) -> Vec<u32> {
    let mut best = Best { low: &intervals.low, at: NEVER, core: Vec::new() };
    if let Some(places) = places {
        out_of_sequence(places, intervals, &mut best);
    }
    if let Some(groups) = groups {
        impossible_reads(groups, intervals, &mut best);
        let zones = groups.zones(intervals);
        overlapping(&zones, groups, intervals, &mut best);
        inside(&zones, groups, intervals, &mut best);
    }
    let mut core = best.core;
    core.sort_by_key(|&index| intervals.low[index as usize]);
    core
}

/// Rule 2: sweep in the order of calls, with the greatest place that had returned by then.
fn out_of_sequence(places: &[Option<i64>], intervals: &Intervals, best: &mut Best) {
    let (low, high) = (&intervals.low, &intervals.high);
    let mut by_place: HashMap<i64, u32> = HashMap::new();
    let mut by_call: Vec<(u32, i64)> = Vec::new();
    for (index, place) in places.iter().enumerate() {
        let (true, Some(place)) = (intervals.required[index], *place) else { continue };
        let index = index as u32;
        match by_place.get(&place) {
            Some(&other) => best.consider(&[other, index]),
            None => {
                by_place.insert(place, index);
            }
        }
        by_call.push((index, place));
    }
    let mut by_return = by_call.clone();
    by_return.sort_by_key(|&(index, _)| high[index as usize]);
    by_call.sort_by_key(|&(index, _)| low[index as usize]);
    let mut done = 0;
    let mut greatest: Option<(u32, i64)> = None;
    for (index, place) in by_call {
        while done < by_return.len() && high[by_return[done].0 as usize] < low[index as usize] {
            if greatest.is_none_or(|(_, place)| by_return[done].1 > place) {
                greatest = Some(by_return[done]);
            }
            done += 1;
        }
        if let Some((holder, most)) = greatest {
            if place < most {
                best.consider(&[holder, index]);
            }
        }
    }
}

/// Rule 1.
fn impossible_reads(groups: &Groups, intervals: &Intervals, best: &mut Best) {
    let tokens = groups.tokens;
    let mut earliest: Vec<(i64, u32)> = vec![(NEVER, NONE); tokens.count];
    let mut other: Vec<u32> = vec![NONE; tokens.count];
    for (index, &token) in tokens.writes.iter().enumerate() {
        if token != NOTHING {
            let known = &mut earliest[token as usize];
            if known.1 == NONE || intervals.low[index] < known.0 {
                other[token as usize] = known.1;
                *known = (intervals.low[index], index as u32);
            }
        }
    }
    for &token in &groups.read {
        if token == tokens.initial {
            continue;
        }
        let (called, writer) = earliest[token as usize];
        for &reader in groups.readers(token) {
            if writer == NONE {
                best.consider(&[reader]);
            } else if called > intervals.high[reader as usize] {
                match other[token as usize] {
                    NONE => best.consider(&[writer, reader]),
                    other => best.consider(&[writer, other, reader]),
                }
            }
        }
    }
}

/// Rule 3, first half.
fn overlapping(zones: &[Zone], groups: &Groups, intervals: &Intervals, best: &mut Best) {
    let mut reaching: Option<&Zone> = None;
    for zone in zones {
        let at = |before: &&Zone| zone.first < before.last && before.last.max(zone.last) < best.at;
        if let Some(before) = reaching.filter(at) {
            let mut core = extremes(before.token, groups, intervals);
            core.extend(extremes(zone.token, groups, intervals));
            best.consider(&core);
        }
        if reaching.is_none_or(|before| zone.last > before.last) {
            reaching = Some(zone);
        }
    }
}

/// Rule 3, second half.
fn inside(zones: &[Zone], groups: &Groups, intervals: &Intervals, best: &mut Best) {
    if zones.is_empty() {
        return;
    }
    for index in 0..intervals.low.len() {
        let (read, written) = (groups.tokens.reads[index], groups.tokens.writes[index]);
        if !intervals.required[index] || (written == NOTHING && read >= ANYTHING) {
            continue;
        }
        let (low, high) = (intervals.low[index], intervals.high[index]);
        let Some(zone) = at(zones, low) else { continue };
        if zone.token == read || zone.token == written || !(zone.first < low && high < zone.last) {
            continue;
        }
        if zone.last >= best.at {
            continue; // it was complete later than another
        }
        let mut core = vec![index as u32];
        core.extend(extremes(zone.token, groups, intervals));
        if read < ANYTHING {
            core.extend(groups.only_writer(read).map(|writer| writer as u32));
        }
        best.consider(&core);
    }
}

/// The write of a token, the member of its group that returned first, and the one called last.
fn extremes(token: u32, groups: &Groups, intervals: &Intervals) -> Vec<u32> {
    let (low, high) = (&intervals.low, &intervals.high);
    let members = groups.readers(token);
    let called = |&member: &u32| low[member as usize];
    match groups.only_writer(token) {
        None => members.iter().copied().max_by_key(called).into_iter().collect(),
        Some(writer) => {
            let writer = writer as u32;
            let all = members.iter().copied().chain([writer]);
            let first = all.clone().min_by_key(|&member| high[member as usize]).unwrap_or(writer);
            let last = all.max_by_key(called).unwrap_or(writer);
            vec![writer, first, last]
        }
    }
}
