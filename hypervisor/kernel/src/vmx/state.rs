//! A vCPU's system registers in the VMCS, and what the hypervisor keeps of them for itself.
//!
//! VT-x wants some bits of CR0 and CR4 in its own way. These are the host's (mask): the guest reads them from the
//! shadow, and an attempt to change one exits.

#![allow(unsafe_code, reason = "writes the guest's state")]

use tenon_core::guest_cpu::bits::{
    CR0_CD, CR0_NE, CR0_NW, CR4_KNOWN, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE,
};
use tenon_core::guest_cpu::{Segment, Segments, SystemState};

use super::cpu::capabilities;
use super::fields::{self, Entry, Field, SegmentFields};
use super::loose::{LooseRegisters, canonical};
use super::vmcs::Current;

/// Always set in VMX operation, and those that an entry leaves as the host has them.
pub const CR0_HOST: u64 = CR0_NE | CR0_CD | CR0_NW;
/// What a guest may not set: VMXE among others.
pub const CR4_HOST: u64 = !CR4_KNOWN;
const EFER_GUEST: u64 = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

/// A present segment; an access-rights word without it has [`UNUSABLE`].
const PRESENT: u64 = 1 << 7;
const CODE_OR_DATA: u64 = 1 << 4;
const ACCESSED: u64 = 1;
const BUSY: u64 = 2;
const GRANULAR: u64 = 1 << 15;
pub const UNUSABLE: u64 = 1 << 16;
/// A task state segment that is busy.
const TASK: u64 = 0x8b;

/// The fields of a segment register, and its place in the state.
type Place = (SegmentFields, fn(&mut Segments) -> &mut Segment);

const SEGMENTS: [Place; 8] = [
    (fields::ES, |s| &mut s.es),
    (fields::CS, |s| &mut s.cs),
    (fields::SS, |s| &mut s.ss),
    (fields::DS, |s| &mut s.ds),
    (fields::FS, |s| &mut s.fs),
    (fields::GS, |s| &mut s.gs),
    (fields::LDTR, |s| &mut s.ldtr),
    (fields::TR, |s| &mut s.tr),
];

/// The state as the guest sees it.
pub fn read(vmcs: &Current<'_>, loose: &LooseRegisters, cr0_shadow: u64) -> SystemState {
    use Field::*;
    let mut segments = Segments::default();
    for (fields, place) in SEGMENTS {
        *place(&mut segments) = Segment {
            selector: vmcs.read(fields.selector) as u16,
            attributes: attributes(vmcs.read(fields.rights)),
            limit: vmcs.read(fields.limit) as u32,
            base: vmcs.read(fields.base),
        };
    }
    let table =
        |base, limit| Segment { base: vmcs.read(base), limit: vmcs.read(limit) as u32, ..Segment::default() };
    segments.gdtr = table(GuestGdtrBase, GuestGdtrLimit);
    segments.idtr = table(GuestIdtrBase, GuestIdtrLimit);
    let mut state = SystemState {
        segments,
        cr0: vmcs.read(GuestCr0) & !CR0_HOST | cr0_shadow & CR0_HOST,
        cr2: loose.cr2,
        cr3: vmcs.read(GuestCr3),
        cr4: vmcs.read(GuestCr4) & !CR4_HOST,
        efer: vmcs.read(GuestEfer),
        dr6: loose.dr6,
        dr7: vmcs.read(GuestDr7),
        pat: vmcs.read(GuestPat),
        ..SystemState::default()
    };
    let entry = &mut state.entry;
    (entry.star, entry.lstar, entry.cstar, entry.sfmask) =
        (loose.star, loose.lstar, loose.cstar, loose.sfmask);
    entry.kernel_gs_base = loose.kernel_gs_base;
    entry.sysenter_cs = vmcs.read(GuestSysenterCs);
    entry.sysenter_esp = vmcs.read(GuestSysenterEsp);
    entry.sysenter_eip = vmcs.read(GuestSysenterEip);
    state
}

/// Sets all of it but what is loose.
pub fn write(vmcs: &Current<'_>, state: &SystemState) {
    use Field::*;
    let fixed = capabilities().map_or(0, |has| has.cr4_fixed);
    let mut entry = Entry::from_bits_retain(vmcs.read(EntryControls) as u32);
    entry.set(Entry::LONG_MODE_GUEST, state.efer & EFER_LMA != 0);
    let mut segments = state.segments;
    for (fields, place) in SEGMENTS {
        let Segment { selector, attributes, limit, base } = *place(&mut segments);
        let rights = match rights(attributes, limit) {
            // There is always a task register.
            rights if fields.rights == GuestTrRights && rights & UNUSABLE != 0 => TASK,
            rights if fields.rights == GuestTrRights => rights | BUSY,
            rights => rights,
        };
        put(vmcs, fields.selector, selector.into());
        put(vmcs, fields.base, canonical(base));
        put(vmcs, fields.limit, limit.into());
        put(vmcs, fields.rights, rights);
    }
    for (field, value) in [
        (GuestGdtrBase, canonical(segments.gdtr.base)),
        (GuestGdtrLimit, u64::from(segments.gdtr.limit & 0xffff)),
        (GuestIdtrBase, canonical(segments.idtr.base)),
        (GuestIdtrLimit, u64::from(segments.idtr.limit & 0xffff)),
        (GuestCr0, state.cr0 & !CR0_HOST | CR0_NE),
        (Cr0Shadow, state.cr0),
        (GuestCr3, state.cr3),
        (GuestCr4, state.cr4 & !CR4_HOST | fixed),
        (GuestEfer, state.efer & EFER_GUEST),
        (EntryControls, entry.bits().into()),
        (GuestDr7, state.dr7 & 0xffff_ffff),
        (GuestPat, state.pat),
        (GuestSysenterCs, state.entry.sysenter_cs & 0xffff_ffff),
        (GuestSysenterEsp, canonical(state.entry.sysenter_esp)),
        (GuestSysenterEip, canonical(state.entry.sysenter_eip)),
    ] {
        put(vmcs, field, value);
    }
}

fn put(vmcs: &Current<'_>, field: Field, value: u64) {
    // SAFETY: guest state only, which cannot lift what confines the guest: the bits that are the host's stay.
    unsafe { vmcs.write(field, value) };
}

/// The access rights as VT-x has them: four reserved bits in the middle, one more for what is not present, and the
/// granularity that the limit needs.
fn rights(attributes: u16, limit: u32) -> u64 {
    let attributes = u64::from(attributes);
    let mut rights = attributes & 0xff | (attributes & 0xf00) << 4;
    if rights & PRESENT == 0 {
        return rights | UNUSABLE;
    }
    if rights & CODE_OR_DATA != 0 {
        rights |= ACCESSED;
    }
    if limit >> 20 != 0 { rights | GRANULAR } else { rights & !GRANULAR }
}

/// The same as the seam has them.
fn attributes(rights: u64) -> u16 {
    let attributes = rights & 0xff | rights >> 4 & 0xf00;
    (if rights & UNUSABLE != 0 { attributes & !PRESENT } else { attributes }) as u16
}
