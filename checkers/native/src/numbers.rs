//! Byte strings by number, in the order of their first mention: each is kept once, all in one buffer.

use std::hash::Hasher;

use crate::configuration::Mix;

/// A place of the table: 32 bits of the hash, and the number plus one; 0 is free.
type Slot = (u32, u32);

/// Linear probing in a table that is never more than half full.
pub struct Numbers {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    slots: Vec<Slot>,
}

impl Default for Numbers {
    fn default() -> Self {
        Numbers { bytes: Vec::new(), ends: Vec::new(), slots: vec![(0, 0); 64] }
    }
}

impl Numbers {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn number(&mut self, text: &[u8]) -> u32 {
        let mut hasher = Mix::default();
        hasher.write(text);
        let hash = (hasher.finish() as u32).wrapping_add(text.len() as u32);
        let mut at = hash as usize & (self.slots.len() - 1);
        loop {
            match self.slots[at] {
                (_, 0) => break,
                (known, number) if known == hash && self.text(number - 1) == text => return number - 1,
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
        let number = self.ends.len() as u32;
        self.slots[at] = (hash, number);
        if 2 * self.ends.len() > self.slots.len() {
            self.grow();
        }
        number - 1
    }

    fn text(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.bytes[start..self.ends[number]]
    }

    fn grow(&mut self) {
        let mask = 4 * self.slots.len() - 1;
        let mut slots = vec![(0, 0); mask + 1];
        for &slot in self.slots.iter().filter(|slot| slot.1 != 0) {
            let mut at = slot.0 as usize & mask;
            while slots[at].1 != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = slot;
        }
        self.slots = slots;
    }
}
