//! Everything about a new guest's memory that can be worked out before there is a domain.

use guest_image::{Image, Layout, LayoutError, Request};
use hypercall_abi::start_info::HvmMemmapTableEntry;
use hypercall_abi::xen::StartFlags;

use super::acpi;
use super::layout::{HOLE_START, MapEntry, PAGE, Ram};
use crate::config::GuestConfig;

/// Bytes to be written to guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The guest-physical address.
    pub address: u64,
    /// The bytes.
    pub bytes: std::borrow::Cow<'a, [u8]>,
}

/// A new guest's memory.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// Its RAM.
    pub ram: Ram,
    /// Its memory map.
    pub map: Vec<MapEntry>,
    /// Pages of ACPI tables from [`HOLE_START`] on.
    pub acpi_pages: u64,
    /// What is in its memory at start; everything else is zero, as the hypervisor hands it out.
    pub pieces: Vec<Piece<'a>>,
    /// Where its first vCPU starts.
    pub entry: u64,
    /// Where its start information is.
    pub start_info: u64,
}

impl<'a> Plan<'a> {
    /// Finds a place for everything that `config` asks for.
    ///
    /// # Errors
    /// Something does not fit.
    pub fn new(
        config: &GuestConfig,
        kernel: &Image<'a>,
        ramdisk: Option<&'a [u8]>,
    ) -> Result<Self, LayoutError> {
        let ram = Ram::of_mib(config.memory);
        let tables = acpi::tables(HOLE_START, config.maxvcpus);
        let map = ram.memory_map(tables.len() as u64);
        let told: Vec<HvmMemmapTableEntry> = map
            .iter()
            .map(|e| HvmMemmapTableEntry { addr: e.start, size: e.size, kind: e.kind as u32, reserved: 0 })
            .collect();
        let request = Request {
            memory_map: &told,
            initrd_len: ramdisk.map_or(0, |ramdisk| ramdisk.len() as u64),
            command_line: config.cmdline.as_bytes(),
            flags: StartFlags::empty(),
            rsdp: HOLE_START,
        };
        let layout = Layout::new(kernel, &request)?;

        let mut pieces: Vec<Piece<'_>> = kernel
            .segments()
            .iter()
            .map(|s| Piece { address: s.paddr.wrapping_add(layout.offset), bytes: s.data.into() })
            .collect();
        if let (Some(place), Some(ramdisk)) = (&layout.initrd, ramdisk) {
            pieces.push(Piece { address: place.start, bytes: ramdisk.into() });
        }
        let start_info = layout.start_info_bytes(&request);
        pieces.push(Piece { address: layout.start_info.start, bytes: start_info.into() });
        let acpi_pages = (tables.len() as u64).div_ceil(PAGE);
        pieces.push(Piece { address: HOLE_START, bytes: tables.into() });
        Ok(Self { ram, map, acpi_pages, pieces, entry: layout.entry, start_info: layout.start_info.start })
    }
}
