//! Which guest state a CPU would refuse to enter (SDM volume 3, 27.3.1), in the order of the manual's checks.
//!
//! Debug builds look before each entry, all builds after an entry that failed: so the log names the field.

use core::fmt;

use tenon_core::guest_cpu::bits::{CR0_PE, CR0_PG, CR4_PAE, EFER_LMA, EFER_LME};
use x86_64::VirtAddr;

use super::cpu::capabilities;
use super::events::{NMI, VALID};
use super::fields::{self, Entry, Field, Interruptibility, SegmentFields};
use super::state::UNUSABLE;
use super::vmcs::Current;
use crate::cpu::features;

const RFLAGS_FIXED: u64 = 2;
const RFLAGS_KNOWN: u64 = 0x003f_7fd7;
const RFLAGS_IF: u64 = 1 << 9;
const RFLAGS_VM: u64 = 1 << 17;
const RIGHTS_KNOWN: u64 = 0x1_f0ff;
const LONG: u64 = 1 << 13;
const DEFAULT_32: u64 = 1 << 14;
const GRANULAR: u64 = 1 << 15;
const VIRTUAL_8086: u64 = 0xf3;

/// A field that cannot be as it is.
#[derive(Clone, Copy, Debug)]
pub struct Offence {
    pub field: Field,
    pub value: u64,
    pub rule: &'static str,
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} = {:#x}: {}", self.field, self.value, self.rule)
    }
}

type Checked = Result<(), Offence>;

/// Looks at the guest's state.
///
/// # Errors
/// The first field that is impossible.
pub fn guest_state(vmcs: &Current<'_>) -> Checked {
    let guest = Guest { vmcs, flags: vmcs.read(Field::GuestRflags) };
    guest.control_registers()?;
    guest.segments()?;
    guest.descriptor_tables()?;
    guest.instruction_pointer()?;
    guest.events()
}

struct Guest<'a> {
    vmcs: &'a Current<'a>,
    flags: u64,
}

impl Guest<'_> {
    fn ensure(&self, field: Field, rule: &'static str, holds: impl FnOnce(u64) -> bool) -> Checked {
        let value = self.vmcs.read(field);
        if holds(value) { Ok(()) } else { Err(Offence { field, value, rule }) }
    }

    fn is_long(&self) -> bool {
        let controls = Entry::from_bits_retain(self.vmcs.read(Field::EntryControls) as u32);
        controls.contains(Entry::LONG_MODE_GUEST)
    }

    fn control_registers(&self) -> Checked {
        use Field::*;
        let (cr0, long) = (self.vmcs.read(GuestCr0), self.is_long());
        let fixed = |f: fn(&super::capabilities::Capabilities) -> u64| capabilities().map_or(0, f);
        let (fixed0, fixed4) = (fixed(|has| has.cr0_fixed) & !(CR0_PE | CR0_PG), fixed(|has| has.cr4_fixed));
        let (paging, physical) = (cr0 & CR0_PG != 0, features().phys_bits);
        self.ensure(GuestCr0, "lacks a bit that VMX operation fixes", |value| value & fixed0 == fixed0)?;
        self.ensure(GuestCr0, "pages without protection", |value| !paging || value & CR0_PE != 0)?;
        self.ensure(GuestCr4, "lacks a bit that VMX operation fixes", |value| value & fixed4 == fixed4)?;
        self.ensure(GuestCr4, "has no PAE in long mode", |value| !long || value & CR4_PAE != 0)?;
        self.ensure(GuestCr0, "has no paging in long mode", |_| !long || paging)?;
        self.ensure(GuestCr3, "has address bits that the CPU lacks", |value| value >> physical == 0)?;
        self.ensure(GuestDr7, "has bits in its upper half", |value| value >> 32 == 0)?;
        self.canonical(GuestSysenterEsp)?;
        self.canonical(GuestSysenterEip)?;
        let type_exists = |value: &u8| matches!(value, 0 | 1 | 4..=7);
        self.ensure(GuestPat, "has an unknown memory type", |value| {
            value.to_le_bytes().iter().all(type_exists)
        })?;
        self.ensure(GuestEfer, "disagrees with the entry controls on LMA", |value| {
            (value & EFER_LMA != 0) == long
        })?;
        self.ensure(GuestEfer, "has LMA and LME apart", |value| {
            !paging || (value & EFER_LMA != 0) == (value & EFER_LME != 0)
        })
    }

    fn segments(&self) -> Checked {
        const DATA: [SegmentFields; 4] = [fields::DS, fields::ES, fields::FS, fields::GS];
        let rights = |segment: SegmentFields| self.vmcs.read(segment.rights);
        let is_virtual = self.flags & RFLAGS_VM != 0;
        self.ensure(Field::GuestTrSelector, "is in the local table", |value| value & 4 == 0)?;
        if is_virtual {
            for segment in DATA.into_iter().chain([fields::CS, fields::SS]) {
                let base = self.vmcs.read(segment.selector) << 4;
                self.ensure(segment.base, "is not the selector's in virtual-8086 mode", |value| {
                    value == base
                })?;
                self.ensure(segment.limit, "is not 64 KiB in virtual-8086 mode", |value| value == 0xffff)?;
                self.ensure(segment.rights, "are not virtual-8086 mode's", |value| value == VIRTUAL_8086)?;
            }
        } else {
            let (code, stack) = (rights(fields::CS), rights(fields::SS));
            let dpl = |rights: u64| rights >> 5 & 3;
            let real = self.vmcs.read(Field::GuestCr0) & CR0_PE == 0;
            self.ensure(Field::GuestCsRights, "are no code segment's", |value| {
                matches!(value & 0x9f, 0x93 | 0x99 | 0x9b | 0x9d | 0x9f)
            })?;
            self.ensure(Field::GuestCsRights, "have a level that does not go with the stack's", |value| {
                match value & 0xf {
                    3 => dpl(value) == 0,
                    9 | 11 => dpl(value) == dpl(stack),
                    _ => dpl(value) <= dpl(stack),
                }
            })?;
            self.ensure(Field::GuestCsRights, "are 64-bit and 32-bit at once", |value| {
                !self.is_long() || value & (LONG | DEFAULT_32) != LONG | DEFAULT_32
            })?;
            self.ensure(Field::GuestSsRights, "are no stack segment's", |value| {
                value & UNUSABLE != 0 || matches!(value & 0x9f, 0x93 | 0x97)
            })?;
            self.ensure(Field::GuestSsRights, "have a level where there is none", |value| {
                dpl(value) == 0 || !real && code & 0xf != 3
            })?;
            for segment in DATA {
                self.ensure(segment.rights, "are no data segment's", |value| {
                    value & UNUSABLE != 0 || value & 0x91 == 0x91 && value & 0xa != 8
                })?;
            }
            self.flat_limits(&[fields::CS, fields::SS, fields::DS, fields::ES, fields::FS, fields::GS])?;
        }
        self.ensure(Field::GuestTrRights, "are no busy task's", |value| {
            value & (UNUSABLE | 0x90) == 0x80 && (value & 0xf == 11 || value & 0xf == 3 && !self.is_long())
        })?;
        self.ensure(Field::GuestLdtrRights, "are no table's", |value| {
            value & UNUSABLE != 0 || value & 0x9f == 0x82
        })?;
        self.flat_limits(&[fields::TR, fields::LDTR])?;
        [fields::TR, fields::FS, fields::GS]
            .into_iter()
            .try_for_each(|segment| self.canonical(segment.base))?;
        self.ensure(Field::GuestCsBase, "is above 4 GiB", |value| value >> 32 == 0)
    }

    /// Limits that their granularity can say.
    fn flat_limits(&self, segments: &[SegmentFields]) -> Checked {
        for segment in segments {
            let limit = self.vmcs.read(segment.limit);
            self.ensure(segment.rights, "have reserved bits", |value| value & !RIGHTS_KNOWN == 0)?;
            self.ensure(segment.rights, "have a granularity that the limit contradicts", |value| {
                let granular = value & GRANULAR != 0;
                value & UNUSABLE != 0
                    || (limit & 0xfff == 0xfff || !granular) && (limit >> 20 == 0 || granular)
            })?;
        }
        Ok(())
    }

    fn descriptor_tables(&self) -> Checked {
        for (base, limit) in
            [(Field::GuestGdtrBase, Field::GuestGdtrLimit), (Field::GuestIdtrBase, Field::GuestIdtrLimit)]
        {
            self.canonical(base)?;
            self.ensure(limit, "is more than 64 KiB", |value| value >> 16 == 0)?;
        }
        Ok(())
    }

    fn instruction_pointer(&self) -> Checked {
        let wide = self.is_long() && self.vmcs.read(Field::GuestCsRights) & LONG != 0;
        if wide {
            self.canonical(Field::GuestRip)?;
        } else {
            self.ensure(Field::GuestRip, "is above 4 GiB in 32-bit code", |value| value >> 32 == 0)?;
        }
        self.ensure(Field::GuestRflags, "has impossible bits", |value| {
            value & !RFLAGS_KNOWN == 0 && value & RFLAGS_FIXED != 0
        })?;
        let protected = self.vmcs.read(Field::GuestCr0) & CR0_PE != 0;
        self.ensure(Field::GuestRflags, "says virtual-8086 mode where there is none", |value| {
            value & RFLAGS_VM == 0 || protected && !self.is_long()
        })
    }

    fn events(&self) -> Checked {
        let event = self.vmcs.read(Field::EntryEvent) as u32;
        let is = |kind: u32| event & VALID != 0 && event & 7 << 8 == kind;
        let open = self.flags & RFLAGS_IF != 0;
        self.ensure(Field::GuestActivity, "is not active", |value| value == 0)?;
        self.ensure(Field::GuestRflags, "has interrupts off where one is delivered", |_| open || !is(0))?;
        self.ensure(Field::GuestInterruptibility, "blocks what is delivered", |value| {
            let state = Interruptibility::from_bits_retain(value as u32);
            let shadow = state.intersects(Interruptibility::SHADOW);
            let nmi_blocked = Interruptibility::BLOCKED_BY_MOV_SS | Interruptibility::BLOCKED_BY_NMI;
            let wrong = state.contains(Interruptibility::SHADOW)
                || state.contains(Interruptibility::BLOCKED_BY_STI) && !open
                || is(0) && shadow
                || is(NMI) && state.intersects(nmi_blocked);
            !wrong
        })?;
        self.ensure(Field::LinkPointer, "is not all ones", |value| value == u64::MAX)
    }

    fn canonical(&self, field: Field) -> Checked {
        self.ensure(field, "is not canonical", |value| VirtAddr::try_new(value).is_ok())
    }
}
