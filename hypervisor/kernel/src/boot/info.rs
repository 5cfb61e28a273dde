//! What the start-up found out, for everybody after it.

use alloc::vec::Vec;

use tenon_core::frame::Mfn;
use tenon_core::memory_map::MemoryMap;
use tenon_core::options::Options;

use super::loader::{FramebufferInfo, Module};

/// The machine as the start-up found it.
pub struct BootInfo {
    /// The hypervisor's command line.
    pub command_line: &'static str,
    /// And what it says.
    pub options: Options<'static>,
    /// The modules, in order.
    pub modules: Vec<Module>,
    /// The firmware's memory map.
    pub firmware_map: MemoryMap,
    /// The map with everything marked that was in use when the frame table was made; RAM went to the table.
    pub usage_map: MemoryMap,
    /// The page of low memory that CPUs start through; kept from everybody while they do, domain 0 included.
    pub trampoline: Option<Mfn>,
    /// The framebuffer, where the loader gave one.
    pub framebuffer: Option<FramebufferInfo>,
}
