//! The start information of a PVH guest: one block of bytes that holds the structure and all that it points to.

use alloc::vec::Vec;

use hypercall_abi::plain::{Plain, bytes_of};
use hypercall_abi::start_info::{HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo, MAGIC, VERSION};

use crate::layout::{Layout, Request};

/// Bytes that the block has: the structure, the module, the memory map, the command line and its zero.
pub fn size(request: &Request<'_>) -> u64 {
    let fixed = size_of::<HvmStartInfo>() + size_of::<HvmModlistEntry>();
    (fixed + size_of_val(request.memory_map) + request.command_line.len() + 1) as u64
}

impl Layout {
    /// The bytes for [`start_info`](Self::start_info). `request` is the one that the layout was made for.
    #[must_use]
    pub fn start_info_bytes(&self, request: &Request<'_>) -> Vec<u8> {
        let modlist = self.start_info.start + size_of::<HvmStartInfo>() as u64;
        let memmap = modlist + size_of::<HvmModlistEntry>() as u64;
        let command_line = memmap + size_of::<HvmMemmapTableEntry>() as u64 * request.memory_map.len() as u64;

        let mut module = HvmModlistEntry::zeroed();
        if let Some(initrd) = &self.initrd {
            module.paddr = initrd.start;
            module.size = initrd.end - initrd.start;
        }
        let info = HvmStartInfo {
            magic: MAGIC,
            version: VERSION,
            flags: request.flags,
            nr_modules: u32::from(self.initrd.is_some()),
            modlist_paddr: if self.initrd.is_some() { modlist } else { 0 },
            cmdline_paddr: command_line,
            rsdp_paddr: request.rsdp,
            memmap_paddr: memmap,
            memmap_entries: u32::try_from(request.memory_map.len()).unwrap_or(u32::MAX),
            reserved: 0,
        };
        let parts =
            [info.as_bytes(), module.as_bytes(), bytes_of(request.memory_map), request.command_line, &[0]];
        parts.concat()
    }
}
