//! The boot modules, moved out of the way.
#![allow(unsafe_code, reason = "reads the modules where the loader put them")]

use alloc::format;
use alloc::vec::Vec;

use tenon_core::frame::PAGE_SHIFT;
use tenon_core::memory_map::Kind;

use super::Dom0Error;
use crate::boot::{BootInfo, Module};
use crate::host;
use crate::mm::direct;

/// No kernel is larger than this when unpacked.
pub const MAX_KERNEL: usize = 256 << 20;

/// Kernel and initrd, copied to where domain 0 will not be.
pub struct Parts {
    /// The kernel's file.
    pub kernel: Vec<u8>,
    /// The initrd, if there is one.
    pub initrd: Option<Vec<u8>>,
    /// The kernel's command line as the loader passed it.
    pub command_line: &'static str,
}

impl Parts {
    /// Copies the modules to the top of memory and frees the place where the loader put them: that is low, where domain
    /// 0's memory begins.
    pub fn take(info: &BootInfo) -> Result<Self, Dom0Error> {
        let kernel = info.modules.first().ok_or(Dom0Error::NoKernel)?;
        let parts = Self {
            kernel: copy_of(kernel)?,
            initrd: info.modules.get(1).map(copy_of).transpose()?,
            command_line: kernel.command_line,
        };
        // All RAM in whole pages, on no list, and its users are done with it.
        for range in info.usage_map.of_kind(Kind::Module) {
            host::frames().add_free(range.start.frame(), range.len() >> PAGE_SHIFT);
        }
        Ok(parts)
    }
}

fn copy_of(module: &Module) -> Result<Vec<u8>, Dom0Error> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(module.len as usize)
        .map_err(|_| Dom0Error::Memory(format!("no memory for a module of {} bytes", module.len)))?;
    // SAFETY: the loader put the module there; it is in the direct map, and nobody writes to it.
    copy.extend_from_slice(unsafe { direct::slice(module.start, module.len as usize) });
    Ok(copy)
}
