//! The guest's own page tables, walked in software: linear address to guest-physical address.
//!
//! The tables are the guest's and may change under the walk; each entry is read once and believed. Accessed and
//! dirty bits are not set. Protection keys are not looked at.

use crate::errors;
use crate::frame::Gaddr;

mod levels;
#[cfg(test)]
mod tests;

use levels::{Format, Stop};

const CR0_WP: u64 = 1 << 16;
const CR0_PG: u64 = 1 << 31;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const CR4_LA57: u64 = 1 << 12;
const CR4_SMEP: u64 = 1 << 20;
const CR4_SMAP: u64 = 1 << 21;
const EFER_LMA: u64 = 1 << 10;
const EFER_NXE: u64 = 1 << 11;

/// Bits of a page fault's error code (SDM vol. 3, 4.7).
pub mod error_code {
    /// The page is present; its rights forbid the access.
    pub const PRESENT: u32 = 1 << 0;
    /// The access was a write.
    pub const WRITE: u32 = 1 << 1;
    /// The access was made by user code.
    pub const USER: u32 = 1 << 2;
    /// An entry has reserved bits set.
    pub const RESERVED: u32 = 1 << 3;
    /// The access was an instruction fetch.
    pub const FETCH: u32 = 1 << 4;
}

/// Guest-physical memory, as far as page tables need it.
pub trait ReadGuestPhys {
    /// Reads the aligned 32-bit word at `at`; `None` where the guest has no memory.
    fn read_u32(&self, at: Gaddr) -> Option<u32>;
    /// Reads the aligned 64-bit word at `at`; `None` where the guest has no memory.
    fn read_u64(&self, at: Gaddr) -> Option<u64>;
}

/// What the access is, for the checks of rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Data read.
    Read,
    /// Data write.
    Write,
    /// Instruction fetch.
    Fetch,
}

/// On whose behalf the access is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// CPL 3.
    User,
    /// CPL 0 to 2; with RFLAGS.AC set, SMAP lets it reach user pages.
    Supervisor {
        /// RFLAGS.AC.
        ac: bool,
    },
}

errors! {
    /// Why a linear address has no translation for an access.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Fault {
        /// #PF with this error code; CR2 is the linear address.
        Page(code: u32) => "page fault, error code {code:#x}";
        /// #GP (or #SS): not canonical.
        NotCanonical => "linear address not canonical";
        /// A page table lies where the guest has no memory.
        NoTable(at: Gaddr) => "page table at {at:?}, where the guest has no memory";
    }
}

/// Where a linear address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The byte's guest-physical address.
    pub address: Gaddr,
    /// log2 of the size of the page that maps it; 12, 21, 22, 30, or 64 with paging off.
    pub page_shift: u32,
}

/// A vCPU's paging mode and rules, taken from its registers.
#[derive(Clone, Copy, Debug)]
pub struct Paging {
    cr0: u64,
    cr3: u64,
    cr4: u64,
    efer: u64,
    /// Entry bits that are reserved at every level.
    reserved: u64,
}

impl Paging {
    /// The paging of a vCPU with these registers; `physical_bits` is what CPUID tells it.
    #[inline]
    pub const fn new(cr0: u64, cr3: u64, cr4: u64, efer: u64, physical_bits: u8) -> Self {
        let bits = if physical_bits < 32 {
            32
        } else if physical_bits > 52 {
            52
        } else {
            physical_bits
        };
        let high = levels::ADDRESS & !((1 << bits) - 1);
        let reserved = if efer & EFER_NXE != 0 { high } else { high | levels::NO_EXECUTE };
        Self { cr0, cr3, cr4, efer, reserved }
    }

    #[inline]
    const fn format(&self) -> Format {
        if self.cr0 & CR0_PG == 0 {
            Format::Off
        } else if self.cr4 & CR4_PAE == 0 {
            Format::Legacy { large: self.cr4 & CR4_PSE != 0 }
        } else if self.efer & EFER_LMA == 0 {
            Format::Pae
        } else if self.cr4 & CR4_LA57 == 0 {
            Format::Long { levels: 4 }
        } else {
            Format::Long { levels: 5 }
        }
    }

    /// Translates `linear` for one access. Outside 64-bit paging only its low 32 bits count.
    ///
    /// # Errors
    /// A [`Fault`], as the CPU would raise it.
    #[inline]
    pub fn translate(
        &self,
        memory: &impl ReadGuestPhys,
        linear: u64,
        access: Access,
        privilege: Privilege,
    ) -> Result<Translation, Fault> {
        let leaf = levels::walk(self.format(), self.cr3, self.reserved, memory, linear)
            .and_then(|leaf| {
                let permitted = self.cr0 & CR0_PG == 0 || self.permits(&leaf, access, privilege);
                if permitted { Ok(leaf) } else { Err(Stop::Forbidden) }
            })
            .map_err(|stop| self.fault(stop, access, privilege))?;
        Ok(Translation { address: Gaddr(leaf.address), page_shift: leaf.shift })
    }

    #[cold]
    fn fault(&self, stop: Stop, access: Access, privilege: Privilege) -> Fault {
        let mut code = match stop {
            Stop::NotPresent => 0,
            Stop::Forbidden => error_code::PRESENT,
            Stop::Reserved => error_code::PRESENT | error_code::RESERVED,
            Stop::NotCanonical => return Fault::NotCanonical,
            Stop::NoTable(at) => return Fault::NoTable(at),
        };
        if access == Access::Write {
            code |= error_code::WRITE;
        }
        if privilege == Privilege::User {
            code |= error_code::USER;
        }
        if access == Access::Fetch && (self.efer & EFER_NXE != 0 || self.cr4 & CR4_SMEP != 0) {
            code |= error_code::FETCH;
        }
        Fault::Page(code)
    }

    #[inline]
    const fn permits(&self, leaf: &levels::Leaf, access: Access, privilege: Privilege) -> bool {
        match (access, privilege) {
            (Access::Fetch, _) if leaf.no_execute => false,
            (Access::Fetch | Access::Read, Privilege::User) => leaf.user,
            (Access::Write, Privilege::User) => leaf.user && leaf.writable,
            (Access::Fetch, Privilege::Supervisor { .. }) => !(leaf.user && self.cr4 & CR4_SMEP != 0),
            (_, Privilege::Supervisor { ac: false }) if leaf.user && self.cr4 & CR4_SMAP != 0 => false,
            (Access::Read, Privilege::Supervisor { .. }) => true,
            (Access::Write, Privilege::Supervisor { .. }) => leaf.writable || self.cr0 & CR0_WP == 0,
        }
    }
}
