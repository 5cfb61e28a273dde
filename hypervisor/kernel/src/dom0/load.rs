//! The boot modules, out of the way and then into domain 0's memory.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use guest_image::{Image, Layout};
use tenon_core::domain::Domain;
use tenon_core::frame::Gaddr;

use super::Dom0Error;
use crate::boot::{BootInfo, Module};
use crate::host::Host;
use crate::mm::run::FrameRun;

/// No kernel is larger than this when unpacked.
pub const MAX_KERNEL: usize = 256 << 20;

/// Kernel and initrd, copied to where domain 0 will not be.
pub struct Parts {
    /// The kernel's file.
    pub kernel: FrameRun,
    /// The initrd, if there is one.
    pub initrd: Option<FrameRun>,
    /// The kernel's command line as the loader passed it.
    pub command_line: String,
}

impl Parts {
    /// Copies the modules to the top of memory and frees the place where the loader put them: that is low, where domain
    /// 0's memory begins.
    pub fn take(info: &BootInfo) -> Result<Self, Dom0Error> {
        let kernel = info.modules.first().ok_or(Dom0Error::NoKernel)?;
        let copy = |module: &Module| {
            FrameRun::copy_of(module.start, module.len as usize)
                .ok_or_else(|| Dom0Error::Memory(format!("no memory for a module of {} bytes", module.len)))
        };
        let parts = Self {
            kernel: copy(kernel)?,
            initrd: info.modules.get(1).map(copy).transpose()?,
            command_line: kernel.command_line.clone(),
        };
        crate::mm::run::release_modules(&info.usage_map);
        Ok(parts)
    }
}

/// Writes into domain 0's memory.
pub struct Writer<'a> {
    domain: &'a Arc<Domain<Host>>,
}

impl<'a> Writer<'a> {
    /// For that domain, whose memory is mapped.
    pub fn new(domain: &'a Arc<Domain<Host>>) -> Self {
        Self { domain }
    }

    /// Writes bytes at a guest-physical address.
    pub fn put(&self, at: u64, bytes: &[u8]) -> Result<(), String> {
        self.domain.memory.write(Gaddr(at), bytes).map_err(|fault| format!("{fault}"))
    }

    /// Writes the kernel's segments; the rest of each is zero already.
    pub fn load(&self, image: &Image<'_>, layout: &Layout) -> Result<(), String> {
        image
            .segments()
            .iter()
            .try_for_each(|segment| self.put(segment.paddr.wrapping_add(layout.offset), segment.data))
    }
}
