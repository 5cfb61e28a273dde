//! What no CPU would accept as a vCPU's registers (AMD64 manual 2, 15.5.1; SDM volume 3, 27.3.1).
//!
//! Registers come from a guest or from the tools. What depends on the model of the CPU is not looked at: if an entry is
//! refused because of that, the domain alone ends.

use super::SystemState;
use super::bits::{CR0_CD, CR0_ET, CR0_NW, CR0_PE, CR0_PG, CR4_KNOWN, CR4_PAE, EFER_LMA, EFER_LME};
use crate::frame::PHYS_BITS_MAX;
use crate::refusals;

/// PE MP EM TS ET NE WP AM NW CD PG.
const CR0_KNOWN: u64 = 0xe005_003f;
/// SCE LME LMA NXE FFXSR.
const EFER_KNOWN: u64 = 0x4d01;
/// Attributes of a 64-bit code segment that is a 32-bit one, too.
const CS_L_AND_D: u16 = 3 << 9;

refusals! {
    /// Which registers cannot be.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum ImpossibleState {
        /// Unknown bits, paging without protection, NW without CD.
        Cr0(value: u64) => EINVAL, "CR0 = {value:#x} is impossible";
        /// Address bits that there are not.
        Cr3(value: u64) => EINVAL, "CR3 = {value:#x} is impossible";
        /// Unknown bits, or no PAE in long mode.
        Cr4(value: u64) => EINVAL, "CR4 = {value:#x} is impossible";
        /// Unknown bits, or LMA where LME and paging say otherwise.
        Efer(value: u64) => EINVAL, "EFER = {value:#x} is impossible";
        /// A code segment with both L and D.
        Cs(attributes: u16) => EINVAL, "a code segment with attributes {attributes:#x} is impossible in long mode";
        /// DR6 or DR7 with bits in the upper half.
        Debug(value: u64) => EINVAL, "DR6 or DR7 = {value:#x} is impossible";
    }
}

impl SystemState {
    /// # Errors
    /// A CPU would refuse to run with that.
    pub fn check(&self) -> Result<(), ImpossibleState> {
        let Self { cr0, cr3, cr4, efer, dr6, dr7, .. } = *self;
        let paging = cr0 & CR0_PG != 0;
        let long = paging && efer & EFER_LME != 0;
        let cs = self.segments.cs.attributes;
        if cr0 & !CR0_KNOWN != 0
            || cr0 & CR0_ET == 0
            || paging && cr0 & CR0_PE == 0
            || cr0 & (CR0_NW | CR0_CD) == CR0_NW
        {
            Err(ImpossibleState::Cr0(cr0))
        } else if cr3 >> PHYS_BITS_MAX != 0 {
            Err(ImpossibleState::Cr3(cr3))
        } else if cr4 & !CR4_KNOWN != 0 || long && cr4 & CR4_PAE == 0 {
            Err(ImpossibleState::Cr4(cr4))
        } else if efer & !EFER_KNOWN != 0 || (efer & EFER_LMA != 0) != long {
            Err(ImpossibleState::Efer(efer))
        } else if long && cs & CS_L_AND_D == CS_L_AND_D {
            Err(ImpossibleState::Cs(cs))
        } else if (dr6 | dr7) >> 32 != 0 {
            Err(ImpossibleState::Debug(if dr6 >> 32 != 0 { dr6 } else { dr7 }))
        } else {
            Ok(())
        }
    }
}
