//! Lengths of instructions that exited before, for CPUs that do not tell them.
//!
//! Reading the instruction again takes a walk of the guest's page tables, ten times the cost of the rest of a short
//! exit. The CPU has said which instruction it was, so all that the bytes could add is a prefix; a guest that changes
//! only the prefixes of an exiting instruction in place resumes a byte off, and has hurt itself.

use crate::emulate::Exiting;

const SLOTS: usize = 16;

/// A few addresses with what was there.
#[derive(Clone, Debug, Default)]
pub struct Lengths([Option<(u64, Exiting, u8)>; SLOTS]);

impl Lengths {
    fn slot(rip: u64) -> usize {
        // Stubs of the hypercall page are 32 bytes apart; other code is not aligned at all.
        (rip ^ rip >> 5) as usize % SLOTS
    }

    /// The length of that instruction at that address, if it was found out before.
    #[inline]
    pub fn get(&self, rip: u64, what: Exiting) -> Option<u8> {
        match self.0[Self::slot(rip)] {
            Some((at, known, len)) if at == rip && known == what => Some(len),
            _ => None,
        }
    }

    /// Remembers a length.
    pub fn put(&mut self, rip: u64, what: Exiting, len: u8) {
        self.0[Self::slot(rip)] = Some((rip, what, len));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_instruction_at_the_same_place() {
        let mut lengths = Lengths::default();
        lengths.put(0x1000, Exiting::Cpuid, 3);
        assert_eq!(lengths.get(0x1000, Exiting::Cpuid), Some(3));
        assert_eq!(lengths.get(0x1000, Exiting::Hlt), None);
        assert_eq!(lengths.get(0x1001, Exiting::Cpuid), None);
    }
}
