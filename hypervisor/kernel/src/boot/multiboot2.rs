//! Multiboot 2 (specification 2.0, section 3.6), as GRUB speaks it on BIOS and on EFI.
#![allow(unsafe_code, reason = "reads memory that the boot loader filled")]

use multiboot2::{BootInformation, BootInformationHeader, FramebufferType};
use spin::Once;
use tenon_core::frame::Maddr;
use tenon_core::memory_map::{Kind, Range};

use super::loader::{self, FramebufferInfo, search_bios_area};
use crate::mm::direct;

/// The information block.
pub struct Information(BootInformation<'static>);

/// Takes the block's address, if the magic is right and the block is whole.
///
/// # Safety
/// The values are what the loader left in EAX and EBX.
pub unsafe fn information(magic: u32, at: Maddr) -> Option<&'static Information> {
    static INFORMATION: Once<Information> = Once::new();
    if magic != multiboot2::MAGIC {
        return None;
    }
    // SAFETY: the loader put the block there; nothing writes to it, and it outlives every use (see `loader`).
    let block = unsafe { BootInformation::load(direct::pointer(at).cast::<BootInformationHeader>()) }.ok()?;
    Some(INFORMATION.call_once(|| Information(block)))
}

impl loader::Information for Information {
    fn line(&'static self) -> &'static str {
        self.0.command_line_tag().and_then(|tag| tag.cmdline().ok()).unwrap_or("")
    }

    fn name(&'static self) -> &'static str {
        let name = self.0.boot_loader_name_tag().and_then(|tag| tag.name().ok());
        name.unwrap_or("an unnamed multiboot2 loader")
    }

    fn files(&'static self, f: &mut dyn FnMut(u64, u64, &'static str)) {
        for tag in self.0.module_tags() {
            f(tag.start_address().into(), tag.end_address().into(), tag.cmdline().unwrap_or(""));
        }
    }

    fn memory(&'static self, f: &mut dyn FnMut(Range)) {
        if let Some(tag) = self.0.memory_map_tag() {
            for area in tag.memory_areas() {
                let kind = Kind::from_e820(u32::from(area.typ()));
                f(Range::new(area.start_address(), area.size(), kind));
            }
        } else if let Some(tag) = self.0.efi_memory_map_tag() {
            for area in tag.memory_areas() {
                f(Range::new(area.phys_start, area.page_count << 12, Kind::from_efi(area.ty.0)));
            }
        }
    }

    fn framebuffer(&'static self) -> Option<FramebufferInfo> {
        let tag = self.0.framebuffer_tag()?.ok()?;
        let FramebufferType::RGB { red, green, blue } = tag.buffer_type().ok()? else {
            return None;
        };
        Some(FramebufferInfo {
            address: Maddr(tag.address()),
            pitch: tag.pitch(),
            width: tag.width(),
            height: tag.height(),
            bpp: tag.bpp(),
            fields: [red, green, blue],
        })
    }

    fn root_table(&'static self) -> Option<Maddr> {
        let new = self.0.rsdp_v2_tag().map(|tag| tag.xsdt_address() as u64).filter(|at| *at != 0);
        let old = self.0.rsdp_v1_tag().map(|tag| tag.rsdt_address() as u64);
        new.or(old).map(Maddr).or_else(search_bios_area)
    }

    fn own_memory(&'static self, f: &mut dyn FnMut(Maddr, u64)) {
        f(direct::maddr_of(self.0.as_ptr().cast()), self.0.total_size() as u64);
    }
}
