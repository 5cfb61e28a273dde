//! VT-x on one physical CPU.
//!
//! Invariant: a CPU's slot in `CPUS` is filled by [`enable`] on that CPU, after its tables and its GS have their final
//! values (the host state that every exit loads), and never changes afterwards.

#![allow(unsafe_code, reason = "turns VT-x on")]

use core::arch::asm;

use spin::Once;
use tenon_core::fallible::NoMemory;
use tenon_core::machine::MAX_CPUS;
use x86_64::instructions::tables::{sgdt, sidt};
use x86_64::registers::control::{Cr0, Cr3, Cr4, Cr4Flags, Efer};
use x86_64::registers::model_specific::{GsBase, Msr};

use super::capabilities::Capabilities;
use super::fields::{Entry, Exit, Field, Pin, Primary, Secondary};
use super::permissions;
use super::vmcs::Current;
use crate::cpu::{self, features, msr, tables};
use crate::guest::Tags;
use crate::mm::pages::{self, Pages};

const FEATURE_CONTROL: u32 = 0x3a;
const FEATURE_CONTROL_LOCKED: u64 = 1 << 0;
/// VMXON outside of SMX.
const FEATURE_CONTROL_VMXON: u64 = 1 << 2;
const IA32_PAT: u32 = 0x277;
/// Virtual processor ids have 16 bits.
const VPIDS: u32 = 1 << 16;

/// What a CPU needs to run guests.
pub struct VmxCpu {
    /// Its index.
    pub id: u32,
    /// Its TLB tags.
    pub tags: Tags,
}

static CPUS: [Once<VmxCpu>; MAX_CPUS] = [const { Once::new() }; MAX_CPUS];
static CAPABILITIES: Once<Capabilities> = Once::new();

tenon_core::errors! {
    /// Why a CPU cannot run guests.
    #[derive(Clone, Copy, Debug)]
    pub enum Unusable {
        /// The firmware has turned it off.
        Locked => "VT-x is turned off by the firmware (IA32_FEATURE_CONTROL is locked without bit 2): enable it in its set-up";
        /// No extended page tables.
        NoEpt => "this CPU has VT-x but no EPT (IA32_VMX_PROCBASED_CTLS2 bit 33)";
        /// No unrestricted guest.
        NoUnrestrictedGuest => "this CPU has VT-x but no unrestricted guest (IA32_VMX_PROCBASED_CTLS2 bit 39)";
        /// EPT of another kind.
        EptTooSmall => "this CPU's EPT lacks four levels, write-back memory or 2 MiB pages (IA32_VMX_EPT_VPID_CAP bits 6, 14 and 16)";
        /// No INVEPT.
        NoInvept => "this CPU's EPT lacks INVEPT (IA32_VMX_EPT_VPID_CAP bits 20, 25 and 26)";
        /// A pin-based control is missing.
        Pin(controls: Pin) => "this CPU's VT-x lacks pin-based controls: {controls:?}";
        /// A primary control is missing, or cannot be clear.
        Primary(controls: Primary) => "this CPU's VT-x cannot have these primary controls as needed: {controls:?}";
        /// A secondary control is missing.
        Secondary(controls: Secondary) => "this CPU's VT-x lacks secondary controls: {controls:?}";
        /// An exit control is missing.
        Exit(controls: Exit) => "this CPU's VT-x lacks exit controls: {controls:?}";
        /// An entry control is missing, or cannot be clear.
        Entry(controls: Entry) => "this CPU's VT-x cannot have these entry controls as needed: {controls:?}";
        /// VMXON failed.
        NotOn => "VMXON failed";
        /// The CPUs differ.
        Different => "this CPU's VT-x is not the boot CPU's";
        /// No memory for this CPU's state.
        OutOfMemory => "out of memory for a CPU's VT-x state";
    }
}

impl From<NoMemory> for Unusable {
    fn from(_: NoMemory) -> Self {
        Self::OutOfMemory
    }
}

/// Checks that the firmware lets VT-x be used, and what it can do.
fn probe() -> Result<Capabilities, Unusable> {
    let control = msr::try_read(FEATURE_CONTROL).unwrap_or(0);
    if control & (FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMXON) == FEATURE_CONTROL_LOCKED {
        return Err(Unusable::Locked);
    }
    Capabilities::read()
}

/// Checks that the CPUs can run guests and makes what they share. Once, at boot, before any is [enabled](enable).
pub fn prepare() -> Result<(), Unusable> {
    let capabilities = probe()?;
    CAPABILITIES.call_once(|| capabilities);
    Ok(permissions::init()?)
}

/// What the CPUs can do, once [`prepare`] has found out.
pub fn capabilities() -> Option<&'static Capabilities> {
    CAPABILITIES.get()
}

/// Turns VT-x on for this CPU.
pub fn enable() -> Result<(), Unusable> {
    let here = probe()?;
    if capabilities() != Some(&here) {
        return Err(Unusable::Different);
    }
    let mut region = pages::zeroed::<Pages<4096>>()?;
    region.0[..4].copy_from_slice(&here.revision.to_le_bytes());
    let region = pages::give(region);
    let failed: u8;
    // SAFETY: VT-x exists and is not locked; the bits set in CR0 and CR4 are those that it wants, of which paging and
    // protection are on anyway. The region is leaked to the CPU.
    unsafe {
        if msr::try_read(FEATURE_CONTROL).is_some_and(|control| control & FEATURE_CONTROL_LOCKED == 0) {
            Msr::new(FEATURE_CONTROL).write(FEATURE_CONTROL_LOCKED | FEATURE_CONTROL_VMXON);
        }
        Cr0::write_raw(Cr0::read_raw() | here.cr0_fixed);
        Cr4::write_raw(Cr4::read_raw() | here.cr4_fixed | Cr4Flags::VIRTUAL_MACHINE_EXTENSIONS.bits());
        asm!("vmxon [{}]", "setna {}", in(reg) &raw const region.0, out(reg_byte) failed, options(nostack));
    }
    if failed != 0 {
        return Err(Unusable::NotOn);
    }
    let id = cpu::this().id;
    CPUS[id.index()].call_once(|| VmxCpu { id: id.0, tags: Tags::new(id.0, VPIDS) });
    Ok(())
}

/// This CPU's state. `None` if [`enable`] has not run here.
#[inline]
pub fn this() -> Option<&'static VmxCpu> {
    CPUS[cpu::this().id.index()].get()
}

/// Writes what an exit loads on this CPU. RSP and RIP are the entry code's to write.
pub fn write_host_state(vmcs: &Current<'_>) {
    use Field::*;
    let (root, flags) = Cr3::read_raw();
    let gdt = sgdt().base.as_u64();
    let fields = [
        (HostCr0, Cr0::read_raw()),
        (HostCr3, root.start_address().as_u64() | u64::from(flags)),
        (HostCr4, Cr4::read_raw()),
        (HostEsSelector, 0),
        (HostCsSelector, tables::CODE.0.into()),
        (HostSsSelector, 0),
        (HostDsSelector, 0),
        (HostFsSelector, 0),
        (HostGsSelector, 0),
        (HostTrSelector, tables::TASK.0.into()),
        (HostFsBase, 0),
        (HostGsBase, GsBase::read().as_u64()),
        (HostTrBase, task_base(gdt)),
        (HostGdtrBase, gdt),
        (HostIdtrBase, sidt().base.as_u64()),
        (HostSysenterCs, 0),
        (HostSysenterEsp, 0),
        (HostSysenterEip, 0),
        (HostEfer, Efer::read_raw()),
    ];
    for (field, value) in fields {
        // SAFETY: it is what this CPU has right now.
        unsafe { vmcs.write(field, value) };
    }
    if features().pat {
        // SAFETY: as above.
        unsafe { vmcs.write(HostPat, msr::try_read(IA32_PAT).unwrap_or(0)) };
    }
}

/// The base of the task state segment, as its descriptor has it in two words.
fn task_base(gdt: u64) -> u64 {
    let at = (gdt + u64::from(tables::TASK.0 & !7)) as *const u64;
    // SAFETY: this CPU's GDT has the task state segment's descriptor there (`tables::gdt`), and lives for good.
    let (low, high) = unsafe { (at.read_volatile(), at.add(1).read_volatile()) };
    low >> 16 & 0xff_ffff | low >> 32 & 0xff00_0000 | high << 32
}
