//! Multiboot 2 (specification 2.0, section 3.6), as GRUB speaks it on BIOS and on EFI.
#![allow(unsafe_code, reason = "reads memory that the boot loader filled")]

use multiboot2::{BootInformation, BootInformationHeader, FramebufferType};
use tenon_core::frame::Maddr;
use tenon_core::memory_map::{Kind, Range};

use super::loader::{FramebufferInfo, PixelField, RootTable};
use crate::mm::direct;

/// The information block.
pub struct Information(BootInformation<'static>);

impl Information {
    /// Takes the block's address, if the magic is right and the block is whole.
    ///
    /// # Safety
    /// The values are what the loader left in EAX and EBX.
    pub unsafe fn new(magic: u32, at: Maddr) -> Option<Self> {
        if magic != multiboot2::MAGIC {
            return None;
        }
        // SAFETY: the loader put the block there; nothing writes to it.
        unsafe { BootInformation::load(direct::pointer(at).cast::<BootInformationHeader>()) }.ok().map(Self)
    }

    /// The block again, with the lifetime that it has: the loader's memory stays until it is given away.
    fn block(&self) -> &BootInformation<'static> {
        &self.0
    }

    pub fn command_line(&self) -> &'static str {
        let text = self.block().command_line_tag().and_then(|tag| tag.cmdline().ok());
        text.map_or("", persistent)
    }

    pub fn loader_name(&self) -> &'static str {
        let text = self.block().boot_loader_name_tag().and_then(|tag| tag.name().ok());
        text.map_or("an unnamed multiboot2 loader", persistent)
    }

    pub fn modules(&self, f: &mut dyn FnMut(u64, u64, &'static str)) {
        for tag in self.block().module_tags() {
            let line = tag.cmdline().map_or("", persistent);
            f(u64::from(tag.start_address()), u64::from(tag.end_address()), line);
        }
    }

    pub fn memory(&self, f: &mut dyn FnMut(Range)) {
        if let Some(tag) = self.block().memory_map_tag() {
            for area in tag.memory_areas() {
                let kind = Kind::from_e820(u32::from(area.typ()));
                f(Range::new(area.start_address(), area.size(), kind));
            }
        } else if let Some(tag) = self.block().efi_memory_map_tag() {
            for area in tag.memory_areas() {
                f(Range::new(area.phys_start, area.page_count << 12, Kind::from_efi(area.ty.0)));
            }
        }
    }

    pub fn framebuffer(&self) -> Option<FramebufferInfo> {
        let tag = self.block().framebuffer_tag()?.ok()?;
        let FramebufferType::RGB { red, green, blue } = tag.buffer_type().ok()? else {
            return None;
        };
        Some(FramebufferInfo {
            address: Maddr(tag.address()),
            pitch: tag.pitch(),
            width: tag.width(),
            height: tag.height(),
            bpp: tag.bpp(),
            fields: [red, green, blue].map(|f| PixelField { position: f.position, size: f.size }),
        })
    }

    pub fn root_table(&self) -> Option<RootTable> {
        let new = self.block().rsdp_v2_tag().map(|tag| tag.xsdt_address() as u64).filter(|at| *at != 0);
        let old = self.block().rsdp_v1_tag().map(|tag| tag.rsdt_address() as u64);
        new.map(|at| RootTable::Xsdt(Maddr(at))).or(old.map(|at| RootTable::Rsdt(Maddr(at))))
    }

    pub fn own_memory(&self, f: &mut dyn FnMut(Maddr, u64)) {
        f(direct::maddr_of(self.block().as_ptr().cast()), self.block().total_size() as u64);
    }
}

/// Detaches a string from the borrow of the block.
fn persistent(text: &str) -> &'static str {
    // SAFETY: the text lies in the loader's memory, which outlives every use (see `loader`).
    unsafe { direct::slice(direct::maddr_of(text.as_ptr()), text.len()) }
        .utf8_chunks()
        .next()
        .map_or("", |chunk| chunk.valid())
}
