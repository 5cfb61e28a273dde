//! A set of the 256 interrupt vectors: IRR, ISR and TMR are each one.

use crate::ids::Vector;

/// 256 bits, one per vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VectorSet([u64; 4]);

impl VectorSet {
    /// The set whose bits are `words`, vector 0 in the lowest bit of the first.
    pub const fn from_words(words: [u64; 4]) -> Self {
        Self(words)
    }

    const fn place(vector: Vector) -> (usize, u64) {
        ((vector.0 >> 6) as usize, 1 << (vector.0 & 63))
    }

    /// Whether `vector` is in the set.
    pub const fn contains(&self, vector: Vector) -> bool {
        let (word, bit) = Self::place(vector);
        self.0[word] & bit != 0
    }

    /// Adds `vector`; says whether it was absent.
    pub const fn insert(&mut self, vector: Vector) -> bool {
        let (word, bit) = Self::place(vector);
        let absent = self.0[word] & bit == 0;
        self.0[word] |= bit;
        absent
    }

    /// Removes `vector`; says whether it was there.
    pub const fn remove(&mut self, vector: Vector) -> bool {
        let (word, bit) = Self::place(vector);
        let present = self.0[word] & bit != 0;
        self.0[word] &= !bit;
        present
    }

    /// Adds every member of `other`.
    pub fn union(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own |= other);
    }

    /// Removes every member of `other`.
    pub fn subtract(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own &= !other);
    }

    /// The highest vector, which is the one of highest priority.
    pub fn highest(&self) -> Option<Vector> {
        let (index, word) = self.0.iter().enumerate().rev().find(|(_, word)| **word != 0)?;
        Some(Vector((index as u8) << 6 | (63 - word.leading_zeros()) as u8))
    }

    /// The 32 vectors from `32 * index` on, as the APIC's registers show them; 0 past the last.
    pub const fn register(&self, index: u8) -> u32 {
        if index >= 8 {
            return 0;
        }
        (self.0[(index >> 1) as usize] >> ((index & 1) * 32)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(steps in prop::collection::vec((any::<u8>(), any::<bool>()), 0..200)) {
            let (mut set, mut model) = (VectorSet::default(), BTreeSet::new());
            for (v, add) in steps {
                let changed = if add { set.insert(Vector(v)) } else { set.remove(Vector(v)) };
                prop_assert_eq!(changed, if add { model.insert(v) } else { model.remove(&v) });
                prop_assert_eq!(set.highest().map(|v| v.0), model.last().copied());
            }
            for v in 0..=255u8 {
                let shown = set.register(v / 32) >> (v % 32) & 1 == 1;
                prop_assert_eq!(shown, model.contains(&v));
                prop_assert_eq!(shown, set.contains(Vector(v)));
            }
        }
    }
}
