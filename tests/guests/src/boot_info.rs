//! What the domain was told at its start: memory map, modules, command line.
#![allow(unsafe_code, reason = "structures at addresses that the hypervisor names")]

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use hypercall_abi::guest::HypercallError;
use hypercall_abi::memory::{E820Entry, MEMORY_MAP, MemoryMap};
use hypercall_abi::start_info::{HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo, MEMMAP_TYPE_RAM};
use hypercall_abi::xen::StartFlags;
use hypercall_abi::{Handle64, Plain, Word};

use crate::call;

/// Where the start information is.
pub(crate) static START_INFO: AtomicU64 = AtomicU64::new(0);

/// Reads a structure from an address below 4 GiB.
fn read<T: Copy>(address: u64) -> T {
    // SAFETY: mapped, and every type read here is plain data.
    unsafe { (address as *const T).read_unaligned() }
}

/// The start information.
#[must_use]
pub fn start_info() -> HvmStartInfo {
    read(START_INFO.load(Ordering::Relaxed))
}

/// Whether this is the control domain.
#[must_use]
pub fn is_dom0() -> bool {
    start_info().flags.contains(StartFlags::INITDOMAIN)
}

/// The memory map. Xen 4.17 gives domain 0 none at its start; then it is asked for.
///
/// # Panics
/// If there is none, which fails the test.
#[must_use]
pub fn memory_map() -> Vec<HvmMemmapTableEntry> {
    let info = start_info();
    if info.version == 0 || info.memmap_entries == 0 {
        return e820().expect("a memory map");
    }
    (0..u64::from(info.memmap_entries))
        .map(|i| read(info.memmap_paddr + i * size_of::<HvmMemmapTableEntry>() as u64))
        .collect()
}

/// The memory map as the hypercall gives it.
pub fn e820() -> Result<Vec<HvmMemmapTableEntry>, HypercallError> {
    let mut entries = [E820Entry::zeroed(); 128];
    let buffer = Handle64::to(entries.as_mut_ptr());
    let mut map: MemoryMap = MemoryMap { nr_entries: 128, _pad: [0; 4], buffer };
    call::memory(MEMORY_MAP, &mut map)?;
    let entries = entries.iter().take(map.nr_entries as usize);
    let convert = |entry: &E820Entry| HvmMemmapTableEntry {
        addr: entry.addr.get(),
        size: entry.size.get(),
        kind: entry.kind,
        reserved: 0,
    };
    Ok(entries.map(convert).collect())
}

/// Whether the map calls the page at `address` RAM.
#[must_use]
pub fn is_ram(address: u64) -> bool {
    memory_map().iter().any(|range| {
        range.kind == MEMMAP_TYPE_RAM && range.addr <= address && address < range.addr + range.size
    })
}

/// A page-aligned address below 4 GiB that no range of the memory map contains, with `pages` such pages after it.
#[must_use]
pub fn hole(pages: u64) -> Option<u64> {
    let map = memory_map();
    let end = |start: u64| start + (pages << 12);
    (0x10..0xe00_u64)
        .map(|mib| mib << 20)
        .find(|&start| map.iter().all(|r| end(start) <= r.addr || r.addr + r.size <= start))
}

/// The modules.
#[must_use]
pub fn modules() -> Vec<HvmModlistEntry> {
    let info = start_info();
    (0..u64::from(info.nr_modules))
        .map(|i| read(info.modlist_paddr + i * size_of::<HvmModlistEntry>() as u64))
        .collect()
}

/// The command line.
#[must_use]
pub fn command_line() -> String {
    text(start_info().cmdline_paddr)
}

/// A zero-terminated text; empty if there is none.
#[must_use]
pub fn text(address: u64) -> String {
    if address == 0 {
        return String::new();
    }
    (address..address + 4096).map(read::<u8>).take_while(|&byte| byte != 0).map(char::from).collect()
}
