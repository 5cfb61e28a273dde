//! From the loader's memory map to the hypervisor's.

use tenon_core::frame::{Maddr, PAGE_SIZE};
use tenon_core::memory_map::{Kind, MemoryMap, Range, TooManyRanges};

use super::loader::Information;
use crate::mm::image;

/// Below this, RAM is kept for starting CPUs and for what firmware left.
const LOW_END: u64 = 1 << 20;

/// The firmware's map, and the map of who uses what now.
pub struct Maps {
    /// As the firmware gave it, sorted, RAM in whole pages.
    pub firmware: MemoryMap,
    /// With the hypervisor, the modules, the loader's data and low memory marked.
    pub usage: MemoryMap,
}

/// Reads the loader's map and marks what is in use.
///
/// # Errors
/// [`TooManyRanges`].
#[inline(never)]
pub fn maps(loader: &'static dyn Information) -> Result<Maps, TooManyRanges> {
    let mut firmware = MemoryMap::default();
    let mut result = Ok(());
    loader.memory(&mut |range| result = result.and(firmware.insert(range)));
    result?;
    firmware.page_align_ram()?;

    let mut usage = firmware.clone();
    let page = PAGE_SIZE as u64;
    let mut mark = |start: Maddr, len: u64, kind: Kind| {
        if len == 0 {
            return Ok(());
        }
        let first = start.0 / page * page;
        usage.insert(Range::new(first, (start.0 + len).next_multiple_of(page) - first, kind))
    };
    let [first, .., last] = image::parts();
    let image_start = image::maddr(first.0.start);
    mark(image_start, image::maddr(last.0.end).0 - image_start.0, Kind::Hypervisor)?;
    let mut result = Ok(());
    loader.modules(&mut |module| result = result.and(mark(module.start, module.len, Kind::Module)));
    loader.own_memory(&mut |start, len| result = result.and(mark(start, len, Kind::Module)));
    result?;
    for ram in firmware.of_kind(Kind::Ram).filter(|ram| ram.start.0 < LOW_END) {
        mark(ram.start, ram.end.0.min(LOW_END) - ram.start.0, Kind::LowMemory)?;
    }
    Ok(Maps { firmware, usage })
}
