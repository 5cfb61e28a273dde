//! Multiboot 1 (specification 0.6.96, section 3.3), as `qemu -kernel` speaks it.
#![allow(unsafe_code, reason = "reads memory that the boot loader filled")]

use core::ffi::CStr;

use spin::Once;
use tenon_core::frame::Maddr;
use tenon_core::memory_map::{Kind, Range};

use super::loader;
use crate::mm::direct;

const FLAG_COMMAND_LINE: u32 = 1 << 2;
const FLAG_MODULES: u32 = 1 << 3;
const FLAG_MEMORY_MAP: u32 = 1 << 6;
const FLAG_LOADER_NAME: u32 = 1 << 9;
/// Bytes of the information block that we look at.
const INFO_LEN: u64 = 68;
const MODULE_LEN: u64 = 16;
const STRING_MAX: usize = 4096;

/// The information block.
pub struct Information {
    at: Maddr,
    flags: u32,
}

/// Takes the block's address.
///
/// # Safety
/// `at` is what the loader left in EBX.
pub unsafe fn information(at: Maddr) -> &'static Information {
    static INFORMATION: Once<Information> = Once::new();
    // SAFETY: the block starts with its flags.
    let flags = u32::from_le_bytes(unsafe { direct::array(at) });
    INFORMATION.call_once(|| Information { at, flags })
}

impl Information {
    /// The 32-bit field at `offset` of the block.
    fn field(&self, offset: u64) -> u64 {
        word(Maddr(self.at.0 + offset))
    }

    fn string(&self, flag: u32, offset: u64) -> &'static str {
        if self.flags & flag == 0 {
            return "";
        }
        string(Maddr(self.field(offset)))
    }
}

impl loader::Information for Information {
    fn line(&'static self) -> &'static str {
        self.string(FLAG_COMMAND_LINE, 16)
    }

    fn name(&'static self) -> &'static str {
        self.string(FLAG_LOADER_NAME, 64)
    }

    fn files(&'static self, f: &mut dyn FnMut(u64, u64, &'static str)) {
        let count = if self.flags & FLAG_MODULES == 0 { 0 } else { self.field(20) };
        for i in 0..count {
            let entry = Maddr(self.field(24) + i * MODULE_LEN);
            let line = word(Maddr(entry.0 + 8));
            f(word(entry), word(Maddr(entry.0 + 4)), if line == 0 { "" } else { string(Maddr(line)) });
        }
    }

    fn memory(&'static self, f: &mut dyn FnMut(Range)) {
        if self.flags & FLAG_MEMORY_MAP == 0 {
            return;
        }
        let (mut at, end) = (self.field(48), self.field(48) + self.field(44));
        while at + 24 <= end {
            let pair = |offset| word(Maddr(at + offset)) | word(Maddr(at + offset + 4)) << 32;
            f(Range::new(pair(4), pair(12), Kind::from_e820(word(Maddr(at + 20)) as u32)));
            // An entry's size field does not count itself.
            at += word(Maddr(at)) + 4;
        }
    }

    fn own_memory(&'static self, f: &mut dyn FnMut(Maddr, u64)) {
        f(self.at, INFO_LEN);
        f(Maddr(self.field(48)), self.field(44));
        for text in [self.line(), self.name()] {
            text_memory(text, f);
        }
        if self.flags & FLAG_MODULES != 0 {
            f(Maddr(self.field(24)), self.field(20) * MODULE_LEN);
        }
        self.files(&mut |_, _, line| text_memory(line, f));
    }
}

/// Calls `f` for the memory of a string of the loader's. One that is not there is empty, and nowhere.
fn text_memory(text: &'static str, f: &mut dyn FnMut(Maddr, u64)) {
    if !text.is_empty() {
        f(direct::maddr_of(text.as_ptr()), text.len() as u64 + 1);
    }
}

fn word(at: Maddr) -> u64 {
    // SAFETY: every caller's address comes from the loader's block, below 4 GiB, all of which is mapped.
    u64::from(u32::from_le_bytes(unsafe { direct::array(at) }))
}

fn string(at: Maddr) -> &'static str {
    // SAFETY: a string of the loader's, below 4 GiB; the limit keeps a missing end from running away.
    let bytes = unsafe { direct::slice(at, STRING_MAX) };
    CStr::from_bytes_until_nul(bytes).ok().and_then(|text| text.to_str().ok()).unwrap_or("")
}
