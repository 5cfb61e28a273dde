//! The guest's own page tables, walked in software: linear address to guest-physical address.
//!
//! The tables are the guest's and may change under the walk; each entry is read once and believed. Accessed and
//! dirty bits are not set. Protection keys are not looked at.

use crate::errors;
use crate::frame::Gaddr;
use crate::guest_cpu::ControlRegs;
use crate::guest_cpu::bits::{CR0_PG, CR4_PAE, EFER_LMA, EFER_NXE};

mod levels;
#[cfg(test)]
mod tests;

use levels::{Format, Rights, Walk};

const CR0_WP: u64 = 1 << 16;
const CR4_PSE: u64 = 1 << 4;
const CR4_LA57: u64 = 1 << 12;
const CR4_SMEP: u64 = 1 << 20;

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

impl ControlRegs {
    /// Translates `linear` for one access at the current privilege. Outside 64-bit paging only its low 32 bits count.
    ///
    /// SMAP is for the guest's own mistakes and not enforced: a hypercall's buffer may be in user memory.
    ///
    /// # Errors
    /// A [`Fault`], as the CPU would raise it.
    #[inline]
    pub fn translate(
        &self,
        memory: &impl ReadGuestPhys,
        linear: u64,
        access: Access,
    ) -> Result<Gaddr, Fault> {
        let Some(format) = self.format() else { return Ok(Gaddr(linear & 0xffff_ffff)) };
        match Walk::new(memory, linear, self.efer & EFER_NXE != 0).run(format, self.cr3) {
            Ok((address, rights)) if self.permits(rights, access) => Ok(address),
            Ok(_) => Err(self.page_fault(error_code::PRESENT, access)),
            Err(Fault::Page(code)) => Err(self.page_fault(code, access)),
            Err(fault) => Err(fault),
        }
    }

    /// The format of the page tables; `None` with paging off.
    #[inline]
    const fn format(&self) -> Option<Format> {
        Some(if self.cr0 & CR0_PG == 0 {
            return None;
        } else if self.cr4 & CR4_PAE == 0 {
            Format::Legacy { large: self.cr4 & CR4_PSE != 0 }
        } else if self.efer & EFER_LMA == 0 {
            Format::Pae
        } else if self.cr4 & CR4_LA57 == 0 {
            Format::Long { levels: 4 }
        } else {
            Format::Long { levels: 5 }
        })
    }

    const fn is_user(&self) -> bool {
        self.cpl == 3
    }

    #[cold]
    const fn page_fault(&self, mut code: u32, access: Access) -> Fault {
        if matches!(access, Access::Write) {
            code |= error_code::WRITE;
        }
        if self.is_user() {
            code |= error_code::USER;
        }
        if matches!(access, Access::Fetch) && (self.efer & EFER_NXE != 0 || self.cr4 & CR4_SMEP != 0) {
            code |= error_code::FETCH;
        }
        Fault::Page(code)
    }

    #[inline]
    const fn permits(&self, rights: Rights, access: Access) -> bool {
        match access {
            Access::Fetch if rights.no_execute() => false,
            Access::Fetch | Access::Read if self.is_user() => rights.user(),
            Access::Write if self.is_user() => rights.user() && rights.writable(),
            Access::Fetch => !(rights.user() && self.cr4 & CR4_SMEP != 0),
            Access::Read => true,
            Access::Write => rights.writable() || self.cr0 & CR0_WP == 0,
        }
    }
}
