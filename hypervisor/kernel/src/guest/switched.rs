//! The part of a vCPU's state that neither a VMCB nor a VMCS holds: floating point and vectors, XCR0, and the debug
//! address registers. It is in the CPU's own registers from [`load`](SwitchedState::load) to
//! [`save`](SwitchedState::save); Tenon itself is compiled without floating point and sets no breakpoints.
//!
//! Invariant: while no vCPU's state is loaded, XCR0 has all components that are saved ([`init_this_cpu`]).

#![allow(unsafe_code, reason = "XSAVE")]

use alloc::boxed::Box;
use core::arch::asm;
use core::arch::x86_64::{_fxrstor64, _fxsave64};

use tenon_core::fallible::NoMemory;
use x86_64::registers::debug::{DebugAddressRegister, Dr0, Dr1, Dr2, Dr3};
use x86_64::registers::xcontrol::XCr0;

use crate::cpu;
use crate::mm::pages::{self, Pages};

const AREA_BYTES: usize = 3 * 4096;
const XCR0_X87: u64 = 1;
const XCR0_SSE: u64 = 2;
const XCR0_AVX: u64 = 4;
const XCR0_AVX512: u64 = 0xe0;
const FCW_RESET: u16 = 0x37f;
const MXCSR_RESET: u32 = 0x1f80;

/// The layout of the save area starts like FXSAVE's (manual volume 1, 13.4).
type Area = Pages<AREA_BYTES>;

/// Floating point, vector and debug-address registers of one vCPU.
pub struct SwitchedState {
    area: Box<Area>,
    /// What XSAVE saves; `None`: FXSAVE does it.
    components: Option<u64>,
    xcr0: u64,
    dr: [u64; 4],
}

/// The XCR0 components that guests may use here.
pub fn xcr0_mask() -> u64 {
    components().unwrap_or(0)
}

/// Readies this CPU for [`SwitchedState::load`].
pub fn init_this_cpu() {
    if let Some(mask) = components() {
        // SAFETY: CR4.OSXSAVE is on, and the CPU has these components.
        unsafe { XCr0::write_raw(mask) };
    }
}

/// The XCR0 components whose state fits the save area; `None` where FXSAVE is all there is.
fn components() -> Option<u64> {
    const OSXSAVE: u32 = 1 << 27;
    if cpu::cpuid(1, 0)[2] & OSXSAVE == 0 {
        return None;
    }
    let [low, _, _, high] = cpu::cpuid(0xd, 0);
    let known = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512;
    let mut mask = (u64::from(high) << 32 | u64::from(low)) & known;
    let end = |component: u32| {
        let [size, offset, ..] = cpu::cpuid(0xd, component);
        (size + offset) as usize
    };
    if mask & XCR0_AVX512 != XCR0_AVX512 || (5..8).any(|c| end(c) > AREA_BYTES) {
        mask &= !XCR0_AVX512;
    }
    Some(mask)
}

impl SwitchedState {
    /// The state after a reset.
    pub fn new() -> Result<Self, NoMemory> {
        let mut area = pages::zeroed::<Area>()?;
        area.0[0..2].copy_from_slice(&FCW_RESET.to_le_bytes());
        area.0[24..28].copy_from_slice(&MXCSR_RESET.to_le_bytes());
        Ok(Self { area, components: components(), xcr0: XCR0_X87, dr: [0; 4] })
    }

    /// Puts the state into this CPU.
    pub fn load(&mut self) {
        let area = self.area.0.as_ptr();
        // SAFETY: the area is page-aligned, large enough for the components of the mask (`components`) and holds what
        // a save or `new` put there. Tenon uses none of these registers. CR4.OSXSAVE is on if there are components, XCR0
        // is the mask, and `xcr0` is a subset of it.
        unsafe {
            match self.components {
                None => _fxrstor64(area),
                Some(mask) => {
                    let (low, high) = (mask as u32, (mask >> 32) as u32);
                    asm!("xrstor64 [{}]", in(reg) area, in("eax") low, in("edx") high, options(nostack));
                    if self.xcr0 != mask {
                        XCr0::write_raw(self.xcr0);
                    }
                }
            }
        }
        Dr0::write(self.dr[0]);
        Dr1::write(self.dr[1]);
        Dr2::write(self.dr[2]);
        Dr3::write(self.dr[3]);
    }

    /// Takes the state out of this CPU. XCR0 too: not every CPU reports a guest's XSETBV.
    pub fn save(&mut self) {
        let area = self.area.0.as_mut_ptr();
        // SAFETY: as in `load`; the area is exclusively borrowed.
        unsafe {
            match self.components {
                None => _fxsave64(area),
                Some(mask) => {
                    self.xcr0 = XCr0::read_raw() & mask | XCR0_X87;
                    if self.xcr0 != mask {
                        XCr0::write_raw(mask);
                    }
                    let (low, high) = (mask as u32, (mask >> 32) as u32);
                    asm!("xsave64 [{}]", in(reg) area, in("eax") low, in("edx") high, options(nostack));
                }
            }
        }
        self.dr = [Dr0::read(), Dr1::read(), Dr2::read(), Dr3::read()];
    }

    /// The guest's XCR0. While it is loaded the CPU has the truth: not every CPU reports a guest's XSETBV.
    pub fn xcr0(&self) -> u64 {
        match self.components {
            None => XCR0_X87,
            Some(mask) => XCr0::read_raw() & mask | XCR0_X87,
        }
    }

    /// Sets the guest's XCR0 while it is loaded. `false` if the value is not one that XSETBV takes.
    pub fn set_xcr0(&mut self, value: u64) -> bool {
        let Some(mask) = self.components else { return false };
        let avx512 = value & XCR0_AVX512;
        let consistent = value & XCR0_X87 != 0
            && (value & XCR0_AVX == 0 || value & XCR0_SSE != 0)
            && (avx512 == 0 || avx512 == XCR0_AVX512 && value & XCR0_AVX != 0);
        if value & !mask != 0 || !consistent {
            return false;
        }
        self.xcr0 = value;
        // SAFETY: the value is one that the CPU takes.
        unsafe { XCr0::write_raw(value) };
        true
    }
}
