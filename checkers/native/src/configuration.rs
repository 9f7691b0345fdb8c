//! What the search remembers: keys that hash fast, masks of what is placed, sets of unknown operations used.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

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
    pub const EMPTY: Self = Mask([0; W]);

    #[inline(always)]
    pub fn has(&self, bit: u32) -> bool {
        if W == 1 {
            return self.0[0] >> bit & 1 != 0;
        }
        self.0[bit as usize / 64] >> (bit % 64) & 1 != 0
    }
    #[inline(always)]
    pub fn flip(&mut self, bit: u32) {
        if W == 1 {
            self.0[0] ^= 1 << bit;
        } else {
            self.0[bit as usize / 64] ^= 1 << (bit % 64);
        }
    }
}

/// Sets of unknown operations that were used, each stored once.
pub struct Used {
    words: usize,
    table: Vec<u64>,
    ids: Quick<Vec<u64>, u32>,
}

impl Used {
    pub fn new(bits: usize) -> Self {
        let words = bits.div_ceil(64);
        let mut ids = Quick::default();
        ids.insert(vec![0; words], 0);
        Used { words, table: vec![0; words], ids }
    }
    pub fn get(&self, id: u32) -> &[u64] {
        &self.table[id as usize * self.words..(id as usize + 1) * self.words]
    }
    pub fn with(&mut self, id: u32, bit: usize) -> u32 {
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
    pub fn within(&self, small: u32, large: u32) -> bool {
        small == large || self.get(small).iter().zip(self.get(large)).all(|(small, large)| small & !large == 0)
    }
    /// How many members of a group are used: its bits are set from the lowest on.
    pub fn count(&self, id: u32, shift: usize, size: usize) -> usize {
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
    pub fn bytes(&self) -> usize {
        self.table.len() * 16 + self.ids.len() * 40
    }
}
