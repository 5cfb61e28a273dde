//! What of a guest's translations is forgotten when.
//!
//! Those from linear addresses go with the virtual processor id: a vCPU takes a fresh one (`guest::Tags`). Those from
//! guest-physical addresses go with the EPT's root, whatever the id: INVEPT, on the CPU that is about to use them. A vCPU
//! that comes to another CPU does both there, because it cannot know what that CPU remembers.

#![allow(unsafe_code, reason = "INVEPT and INVVPID")]

use core::arch::asm;

use tenon_core::frame::Mfn;

use super::capabilities::Capabilities;
use super::cpu::VmxCpu;
use super::fields::Field;
use super::vmcs::Current;
use crate::guest::Tags;

/// Kinds of invalidation.
const SINGLE: u64 = 1;
const ALL: u64 = 2;
/// In the pointer to the EPT: write-back, four levels.
const WRITE_BACK: u64 = 6;
const FOUR_LEVELS: u64 = 3 << 3;

/// One vCPU's translations.
#[derive(Debug)]
pub struct Translations {
    /// The generation of its TLB tag.
    tag_from: u64,
    /// The EPT pointer, 0 before there is one.
    pointer: u64,
    /// The EPT has changed, or this CPU may know an old one by the same pointer.
    tables_stale: bool,
    has_vpid: bool,
    /// INVEPT takes [`SINGLE`], else [`ALL`].
    invept: u64,
}

impl Translations {
    pub const fn new(has: &Capabilities) -> Self {
        let invept = if has.invept_single { SINGLE } else { ALL };
        Self { tag_from: Tags::NONE, pointer: 0, tables_stale: false, has_vpid: has.vpid, invept }
    }

    /// Those from linear addresses are wrong.
    pub fn forget_linear(&mut self) {
        self.tag_from = Tags::NONE;
    }

    /// All are wrong.
    pub fn forget(&mut self) {
        self.tag_from = Tags::NONE;
        self.tables_stale = true;
    }

    pub fn set_root(&mut self, vmcs: &Current<'_>, root: Mfn) {
        self.pointer = root.addr().0 | FOUR_LEVELS | WRITE_BACK;
        // SAFETY: the root is that of the guest's p2m, which maps what the guest may reach.
        unsafe { vmcs.write(Field::EptPointer, self.pointer) };
        self.forget();
    }

    /// Makes the coming entry start with nothing that is wrong.
    #[inline]
    pub fn prepare(&mut self, vmcs: &Current<'_>, cpu: &VmxCpu) {
        if self.tables_stale {
            self.tables_stale = false;
            invept(self.invept, self.pointer);
        }
        if self.has_vpid && self.tag_from != cpu.tags.generation() {
            let (tag, flush) = cpu.tags.fresh();
            if flush {
                forget_all_ids();
            }
            // SAFETY: an id of this CPU that no other vCPU has.
            unsafe { vmcs.write(Field::Vpid, tag.into()) };
            self.tag_from = cpu.tags.generation();
        }
    }
}

fn invept(kind: u64, pointer: u64) {
    let descriptor = [pointer, 0];
    // SAFETY: VT-x is on where a vCPU is entered; forgetting translations changes nothing else.
    unsafe { asm!("invept {}, [{}]", in(reg) kind, in(reg) &raw const descriptor, options(nostack)) };
}

fn forget_all_ids() {
    let descriptor = [0_u64, 0];
    // SAFETY: as above.
    unsafe { asm!("invvpid {}, [{}]", in(reg) ALL, in(reg) &raw const descriptor, options(nostack)) };
}
