//! The virtual machine control block (AMD64 manual volume 2, appendix B).
//!
//! Only named fields are touched; offsets are asserted below. The control area is the hypervisor's, the save area
//! is exchanged with the guest at VMRUN and at exits.

#![allow(missing_docs, reason = "the field names are the manual's")]
#![allow(unsafe_code, reason = "says that zero bytes are a VMCB")]

use core::mem::offset_of;

use tenon_core::guest_cpu::{EntryMsrs, Segments};

use crate::mm::pages::ZeroValid;

bitflags::bitflags! {
    /// Intercepts of the third vector (offset 0xc).
    #[derive(Clone, Copy, Debug)]
    #[repr(transparent)]
    pub struct Intercepts1: u32 {
        const INTR = 1 << 0;
        const NMI = 1 << 1;
        const SMI = 1 << 2;
        const INIT = 1 << 3;
        const VINTR = 1 << 4;
        const RDPMC = 1 << 15;
        const CPUID = 1 << 18;
        const IRET = 1 << 20;
        const INVD = 1 << 22;
        const HLT = 1 << 24;
        const INVLPGA = 1 << 26;
        const IOIO = 1 << 27;
        const MSR = 1 << 28;
        const TASK_SWITCH = 1 << 29;
        const SHUTDOWN = 1 << 31;
    }

    /// Intercepts of the fourth vector (offset 0x10).
    #[derive(Clone, Copy, Debug)]
    #[repr(transparent)]
    pub struct Intercepts2: u32 {
        const VMRUN = 1 << 0;
        const VMMCALL = 1 << 1;
        const VMLOAD = 1 << 2;
        const VMSAVE = 1 << 3;
        const STGI = 1 << 4;
        const CLGI = 1 << 5;
        const SKINIT = 1 << 6;
        const WBINVD = 1 << 9;
        const MONITOR = 1 << 10;
        const MWAIT = 1 << 11;
        const XSETBV = 1 << 13;
        const RDPRU = 1 << 14;
    }
}

/// Offset 0x60: virtual interrupt control.
pub const V_IRQ: u64 = 1 << 8;
pub const V_INTR_PRIORITY: u64 = 0xf << 16;
pub const V_IGN_TPR: u64 = 1 << 20;
pub const V_INTR_MASKING: u64 = 1 << 24;
pub const V_INTR_VECTOR_SHIFT: u32 = 32;

/// TLB_CONTROL: what an entry flushes.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct TlbControl(u8);

impl TlbControl {
    pub const KEEP: Self = Self(0);
    pub const FLUSH_ALL: Self = Self(1);
}

/// EVENTINJ and EXITINTINFO.
pub const EVENT_VALID: u64 = 1 << 31;
pub const EVENT_HAS_ERROR: u64 = 1 << 11;
pub const EVENT_TYPE_SHIFT: u32 = 8;
pub const EVENT_VECTOR_MASK: u64 = 0xff;
pub const EVENT_TYPE_MASK: u64 = 7 << EVENT_TYPE_SHIFT;
pub const EVENT_INTERRUPT: u64 = 0 << EVENT_TYPE_SHIFT;
pub const EVENT_NMI: u64 = 2 << EVENT_TYPE_SHIFT;
pub const EVENT_EXCEPTION: u64 = 3 << EVENT_TYPE_SHIFT;
pub const EVENT_SOFTWARE: u64 = 4 << EVENT_TYPE_SHIFT;

#[derive(Debug)]
#[repr(C)]
pub struct Control {
    pub intercept_cr: u32,
    pub intercept_dr: u32,
    pub intercept_exceptions: u32,
    pub intercepts1: Intercepts1,
    pub intercepts2: Intercepts2,
    pub intercepts3: u32,
    _reserved1: [u8; 0x3c - 0x18],
    pub pause_filter: u32,
    pub iopm_base: u64,
    pub msrpm_base: u64,
    pub tsc_offset: u64,
    pub asid: u32,
    pub tlb_control: TlbControl,
    _reserved2: [u8; 3],
    pub v_intr: u64,
    pub interrupt_shadow: u64,
    pub exit_code: u64,
    pub exit_info1: u64,
    pub exit_info2: u64,
    pub exit_int_info: u64,
    pub np_enable: u64,
    _avic_bar: u64,
    _ghcb: u64,
    pub event_inj: u64,
    pub n_cr3: u64,
    pub lbr_virt: u64,
    pub clean: u64,
    pub next_rip: u64,
    _fetched: [u8; 16],
    _reserved3: [u8; 0x400 - 0xe0],
}

#[derive(Debug)]
#[repr(C)]
pub struct Save {
    pub segments: Segments,
    _reserved1: [u8; 0xcb - 0xa0],
    pub cpl: u8,
    _reserved2: [u8; 4],
    pub efer: u64,
    _reserved3: [u8; 0x148 - 0xd8],
    pub cr4: u64,
    pub cr3: u64,
    pub cr0: u64,
    pub dr7: u64,
    pub dr6: u64,
    pub rflags: u64,
    pub rip: u64,
    _reserved4: [u8; 0x1d8 - 0x180],
    pub rsp: u64,
    _reserved5: [u8; 0x1f8 - 0x1e0],
    pub rax: u64,
    pub entry: EntryMsrs,
    pub cr2: u64,
    _reserved6: [u8; 0x268 - 0x248],
    pub g_pat: u64,
    _reserved7: [u8; 0xc00 - 0x270],
}

/// One page: control area, then save area. All zero is a valid start.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Vmcb {
    pub control: Control,
    pub save: Save,
}

// SAFETY: integers and flag words throughout.
unsafe impl ZeroValid for Vmcb {}

const _: () = {
    assert!(size_of::<Vmcb>() == 4096);
    assert!(offset_of!(Control, iopm_base) == 0x40);
    assert!(offset_of!(Control, asid) == 0x58);
    assert!(offset_of!(Control, exit_code) == 0x70);
    assert!(offset_of!(Control, event_inj) == 0xa8);
    assert!(offset_of!(Control, n_cr3) == 0xb0);
    assert!(offset_of!(Control, next_rip) == 0xc8);
    assert!(offset_of!(Vmcb, save) == 0x400);
    assert!(offset_of!(Save, segments.cs) == 0x10);
    assert!(offset_of!(Save, segments.gdtr) == 0x60);
    assert!(offset_of!(Save, segments.tr) == 0x90);
    assert!(offset_of!(Save, cpl) == 0xcb);
    assert!(offset_of!(Save, efer) == 0xd0);
    assert!(offset_of!(Save, cr4) == 0x148);
    assert!(offset_of!(Save, rsp) == 0x1d8);
    assert!(offset_of!(Save, rax) == 0x1f8);
    assert!(offset_of!(Save, cr2) == 0x240);
    assert!(offset_of!(Save, g_pat) == 0x268);
};
