//! What a PVH kernel is handed: the start information, the module list, the memory map and the command line,
//! all in one block of guest memory.

use hypercall_abi::Plain;
use hypercall_abi::start_info::{HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo, MAGIC, VERSION};

use super::layout::{MapEntry, PAGE};

/// What the block says.
#[derive(Clone, Copy, Debug)]
pub struct StartInfo<'a> {
    /// The kernel command line, without zero bytes.
    pub cmdline: &'a str,
    /// The initial RAM disk: guest-physical address and size in bytes.
    pub ramdisk: Option<(u64, u64)>,
    /// Guest-physical address of ACPI's root pointer.
    pub rsdp: u64,
    /// The memory map.
    pub map: &'a [MapEntry],
}

impl StartInfo<'_> {
    /// Bytes of the block.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.block(0).len() as u64
    }

    /// The block as it has to be written to guest-physical `base`; the start information comes first.
    #[must_use]
    pub fn block(&self, base: u64) -> Vec<u8> {
        let modules: Vec<HvmModlistEntry> = self
            .ramdisk
            .iter()
            .map(|(paddr, size)| HvmModlistEntry { paddr: *paddr, size: *size, ..HvmModlistEntry::default() })
            .collect();
        let map: Vec<HvmMemmapTableEntry> = self
            .map
            .iter()
            .map(|e| HvmMemmapTableEntry { addr: e.start, size: e.size, kind: e.kind as u32, reserved: 0 })
            .collect();
        let modlist_paddr = base + size_of::<HvmStartInfo>() as u64;
        let memmap_paddr = modlist_paddr + size_of_val(modules.as_slice()) as u64;
        let info = HvmStartInfo {
            magic: MAGIC,
            version: VERSION,
            nr_modules: modules.len() as u32,
            modlist_paddr: if modules.is_empty() { 0 } else { modlist_paddr },
            cmdline_paddr: memmap_paddr + size_of_val(map.as_slice()) as u64,
            rsdp_paddr: self.rsdp,
            memmap_paddr,
            memmap_entries: map.len() as u32,
            ..HvmStartInfo::default()
        };
        let mut block = Vec::from(info.as_bytes());
        block.extend(hypercall_abi::plain::bytes_of(&modules));
        block.extend(hypercall_abi::plain::bytes_of(&map));
        block.extend(self.cmdline.as_bytes());
        block.push(0);
        block.resize(block.len().next_multiple_of(PAGE as usize), 0);
        block
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::layout::Ram;
    use super::*;

    proptest! {
        #[test]
        fn everything_is_found_from_the_start(
            cmdline in "[ -~]{0,2047}",
            ramdisk: Option<(u64, u64)>,
            mib in 1_u64..100_000,
        ) {
            let map = Ram::of_mib(mib).memory_map(4096);
            let base = 0x1234_5000;
            let block = StartInfo { cmdline: &cmdline, ramdisk, rsdp: 7, map: &map }.block(base);
            let at = |address: u64| &block[(address - base) as usize..];
            let info = HvmStartInfo::read_from(&block).unwrap();
            let text = at(info.cmdline_paddr);
            prop_assert_eq!(&text[..=cmdline.len()], [cmdline.as_bytes(), b"\0"].concat());
            prop_assert_eq!(info.memmap_entries as usize, map.len());
            let first = HvmMemmapTableEntry::read_from(at(info.memmap_paddr)).unwrap();
            prop_assert_eq!((first.addr, first.size), (0, map[0].size));
            if let Some((paddr, size)) = ramdisk {
                let module = HvmModlistEntry::read_from(at(info.modlist_paddr)).unwrap();
                prop_assert_eq!((info.nr_modules, module.paddr, module.size), (1, paddr, size));
            } else {
                prop_assert_eq!((info.nr_modules, info.modlist_paddr), (0, 0));
            }
        }
    }
}
