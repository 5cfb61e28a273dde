//! The virtual machine control structure (SDM volume 3, chapter 24): its life, and the way to its fields.
//!
//! The CPU keeps parts of a VMCS in itself, so at most one CPU may have it loaded. Life: *cleared*, [`load`](Vmcs::load)ed on
//! one CPU while its vCPU is switched in there, and [`clear`](Vmcs::clear)ed when that leaves. Fields are reached through
//! [`Current`] alone, which proves that the CPU works with this VMCS; one that is cleared is loaded for as long as the
//! proof lives, and whatever was current before comes back.

#![allow(unsafe_code, reason = "VMPTRLD, VMCLEAR, VMREAD, VMWRITE")]

use alloc::boxed::Box;
use core::arch::asm;
use core::cell::Cell;
use core::marker::PhantomData;

use tenon_core::fallible::NoMemory;
use tenon_core::frame::Maddr;

use super::cpu;
use super::errors::InstructionError;
use super::fields::Field;
use crate::mm::pages::{self, Pages};

/// What VMPTRST gives where no VMCS is current.
const NONE: u64 = u64::MAX;

/// One vCPU's VMCS.
pub struct Vmcs {
    /// Only the CPU knows what is in it.
    _region: Box<Pages<4096>>,
    at: Maddr,
    /// A CPU has it loaded, and it is current there whenever anything looks at the vCPU.
    loaded: bool,
    /// It has been entered since it was cleared: VMRESUME and not VMLAUNCH.
    pub launched: Cell<bool>,
}

impl Vmcs {
    /// A cleared VMCS. VT-x must be on.
    pub fn new() -> Result<Self, NoMemory> {
        let mut region = pages::zeroed::<Pages<4096>>()?;
        let revision = cpu::capabilities().ok_or(NoMemory)?.revision;
        region.0[..4].copy_from_slice(&revision.to_le_bytes());
        let at = pages::maddr(&mut region);
        clear(at);
        Ok(Self { _region: region, at, loaded: false, launched: Cell::new(false) })
    }

    /// Makes it current on this CPU until it is cleared.
    pub fn load(&mut self) {
        load(self.at);
        self.loaded = true;
    }

    /// Takes all of it out of this CPU, where it is loaded.
    pub fn clear(&mut self) {
        clear(self.at);
        self.loaded = false;
        self.launched.set(false);
    }

    /// The way to its fields. The caller has the vCPU to itself; if it is loaded, then on this CPU.
    #[inline(always)]
    pub fn current(&self) -> Current<'_> {
        Current { _visit: if self.loaded { None } else { Some(self.visit()) }, _vmcs: PhantomData }
    }

    #[cold]
    #[inline(never)]
    fn visit(&self) -> Visit {
        let visit = Visit { visited: self.at, previous: stored() };
        load(self.at);
        visit
    }
}

impl Drop for Vmcs {
    fn drop(&mut self) {
        if self.loaded {
            self.clear();
        }
    }
}

/// Proof that a VMCS is current on this CPU. Not to be sent to another.
pub struct Current<'a> {
    _visit: Option<Visit>,
    _vmcs: PhantomData<(&'a Vmcs, *const ())>,
}

impl Current<'_> {
    /// Reads a field. Without effects, so that what nobody needs is not read.
    #[inline(always)]
    pub fn read(&self, field: Field) -> u64 {
        let value;
        // SAFETY: a VMCS is current, so the instruction only reads.
        unsafe {
            asm!("vmread {value}, {field}", value = out(reg) value, field = in(reg) field as u64,
                 options(pure, readonly, nostack));
        }
        value
    }

    /// Writes a field.
    ///
    /// # Safety
    /// The VMCS still confines its guest, and its exits still lead to the host's state.
    #[inline(always)]
    pub unsafe fn write(&self, field: Field, value: u64) {
        let failed: u8;
        // SAFETY: a VMCS is current; the caller answers for what the field does.
        unsafe {
            asm!("vmwrite {field}, {value}", "setna {failed}", value = in(reg) value, field = in(reg) field as u64,
                 failed = out(reg_byte) failed, options(nostack));
        }
        debug_assert!(failed == 0, "VMWRITE of {field:?}: {}", self.error());
    }

    /// Why the last instruction of VT-x on this VMCS failed.
    pub fn error(&self) -> InstructionError {
        InstructionError(self.read(Field::InstructionError) as u32)
    }
}

/// A VMCS that is loaded just to look at it.
struct Visit {
    visited: Maddr,
    previous: u64,
}

impl Drop for Visit {
    #[cold]
    #[inline(never)]
    fn drop(&mut self) {
        clear(self.visited);
        if self.previous != NONE {
            load(Maddr(self.previous));
        }
    }
}

fn load(at: Maddr) {
    // SAFETY: VT-x is on, since a `Vmcs` exists or is being made; `at` is the region of one that no other CPU has loaded
    // (see the module). No other memory is touched.
    unsafe { asm!("vmptrld [{}]", in(reg) &raw const at.0, options(nostack)) };
}

fn clear(at: Maddr) {
    // SAFETY: as in `load`; the CPU writes to the region only.
    unsafe { asm!("vmclear [{}]", in(reg) &raw const at.0, options(nostack)) };
}

fn stored() -> u64 {
    let mut current = NONE;
    // SAFETY: VT-x is on; writes the local.
    unsafe { asm!("vmptrst [{}]", in(reg) &raw mut current, options(nostack)) };
    current
}
