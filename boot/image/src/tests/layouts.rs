//! Places in guest memory.

use std::vec;
use std::vec::Vec;

use hypercall_abi::plain::Plain;
use hypercall_abi::start_info::{self, HvmMemmapTableEntry, HvmModlistEntry, HvmStartInfo};
use hypercall_abi::xen::StartFlags;
use proptest::prelude::*;

use super::build::Kernel;
use crate::{Image, Layout, LayoutError, Request};

fn range(addr: u64, size: u64, kind: u32) -> HvmMemmapTableEntry {
    HvmMemmapTableEntry { addr, size, kind, reserved: 0 }
}

/// The usual map of a guest with `mib` MiB.
fn map(mib: u64) -> Vec<HvmMemmapTableEntry> {
    vec![
        range(0, mib << 20, start_info::MEMMAP_TYPE_RAM),
        range(0xfc00_0000, 0x1000, start_info::MEMMAP_TYPE_RESERVED),
        range(1 << 32, 1 << 30, start_info::MEMMAP_TYPE_RAM),
    ]
}

fn request(memory_map: &[HvmMemmapTableEntry], initrd_len: u64) -> Request<'_> {
    Request {
        memory_map,
        initrd_len,
        command_line: b"console=hvc0",
        flags: StartFlags::empty(),
        rsdp: 0xe_0000,
    }
}

#[test]
fn a_linux_guest() {
    let elf = Kernel::default().elf();
    let image = Image::parse(&elf).unwrap();
    let map = map(256);
    let request = request(&map, 5000);
    let layout = Layout::new(&image, &request).unwrap();
    assert_eq!((layout.kernel.clone(), layout.offset, layout.entry), (0x100_0000..0x100_9000, 0, 0x100_0040));
    assert_eq!(layout.start_info.start, 0x100_9000);
    assert_eq!(layout.initrd, Some(0xfff_e000..0xfff_f388));

    let bytes = layout.start_info_bytes(&request);
    assert_eq!(bytes.len() as u64, layout.start_info.end - layout.start_info.start);
    let at = |paddr: u64| &bytes[(paddr - layout.start_info.start) as usize..];
    let info = HvmStartInfo::read_from(&bytes).unwrap();
    assert_eq!((info.magic, info.version, info.rsdp_paddr), (0x336e_c578, 1, 0xe_0000));
    assert_eq!((info.nr_modules, info.memmap_entries), (1, 3));
    let module = HvmModlistEntry::read_from(at(info.modlist_paddr)).unwrap();
    assert_eq!((module.paddr, module.size), (0xfff_e000, 5000));
    assert_eq!(HvmMemmapTableEntry::read_from(at(info.memmap_paddr)), Some(map[0]));
    assert_eq!(at(info.cmdline_paddr), b"console=hvc0\0");
}

#[test]
fn no_initrd_is_no_module() {
    let elf = Kernel::default().elf();
    let image = Image::parse(&elf).unwrap();
    let map = map(64);
    let request = request(&map, 0);
    let layout = Layout::new(&image, &request).unwrap();
    let info = HvmStartInfo::read_from(&layout.start_info_bytes(&request)).unwrap();
    assert_eq!((info.nr_modules, info.modlist_paddr), (0, 0));
}

#[test]
fn an_initrd_is_never_out_of_reach() {
    let elf = Kernel::default().elf();
    let image = Image::parse(&elf).unwrap();
    let map = map(3 << 10);
    let layout = Layout::new(&image, &request(&map, 0x1000)).unwrap();
    assert_eq!(layout.initrd, Some(0x7fff_f000..0x8000_0000));
}

#[test]
fn what_does_not_fit_is_named() {
    let mut kernel = Kernel::default();
    let layout = |kernel: &Kernel, mib, initrd_len, line: &[u8]| {
        let elf = kernel.elf();
        let image = Image::parse(&elf).unwrap();
        let map = map(mib);
        Layout::new(&image, &Request { command_line: line, ..request(&map, initrd_len) })
    };
    let wanted = LayoutError::Kernel { wanted: 0x100_0000..0x100_9000, memory_end: 16 << 20 };
    assert_eq!(layout(&kernel, 16, 0, b""), Err(wanted));
    let wanted = LayoutError::Initrd { len: 32 << 20, reach: 1 << 31 };
    assert_eq!(layout(&kernel, 32, 32 << 20, b""), Err(wanted));
    assert_eq!(layout(&kernel, 32, u64::MAX, b"").map_err(|_| ()), Err(()));
    assert_eq!(layout(&kernel, 32, 0, b"a\0b"), Err(LayoutError::CommandLineZero));
    let wanted = LayoutError::CommandLine { len: 2048, limit: 2047 };
    assert_eq!(layout(&kernel, 32, 0, &[b'a'; 2048]), Err(wanted));
    kernel.notes.remove(0);
    assert!(layout(&kernel, 32, 0, &[b'a'; 2048]).is_ok());
}

#[test]
fn a_kernel_that_may_move_does_when_it_must() {
    let mut kernel = Kernel::default();
    kernel.notes.push((19, [0x20_0000u32, 0, 0xffff_ffff].iter().flat_map(|n| n.to_le_bytes()).collect()));
    let elf = kernel.elf();
    let image = Image::parse(&elf).unwrap();
    let small = map(16);
    let layout = Layout::new(&image, &request(&small, 0)).unwrap();
    assert_eq!(layout.kernel, 0x20_0000..0x20_9000);
    assert_eq!(layout.entry, 0x20_0040);
    assert_eq!(0x100_0000u64.wrapping_add(layout.offset), 0x20_0000);
    let tiny = map(2);
    assert!(matches!(Layout::new(&image, &request(&tiny, 0)), Err(LayoutError::Relocation { .. })));
}

proptest! {
    #[test]
    fn nothing_overlaps_and_all_is_memory(
        holes in prop::collection::vec((0u64..1 << 33, 0u64..1 << 28, 1u32..3), 0..6),
        initrd_len in 0u64..1 << 27,
        line in prop::collection::vec(1u8.., 0..3000),
        movable: bool,
    ) {
        let mut kernel = Kernel::default();
        if movable {
            kernel.notes.push((19, vec![]));
        }
        let elf = kernel.elf();
        let image = Image::parse(&elf).expect("whole");
        let mut map: Vec<HvmMemmapTableEntry> = Vec::new();
        let mut end = 0;
        for (gap, size, kind) in holes {
            let addr = end + gap % 0x200_0000;
            map.push(range(addr, size, kind));
            end = addr + size;
        }
        let request = Request { command_line: &line, ..request(&map, initrd_len) };
        let Ok(layout) = Layout::new(&image, &request) else { return Ok(()) };
        let mut runs = vec![layout.kernel.clone(), layout.start_info.clone()];
        runs.extend(layout.initrd.clone());
        runs.sort_by_key(|run| run.start);
        for run in &runs {
            let inside = |e: &HvmMemmapTableEntry| e.kind == 1 && e.addr <= run.start && run.end <= e.addr + e.size;
            prop_assert!(map.iter().any(inside), "{run:x?} {map:x?}");
        }
        prop_assert!(runs.windows(2).all(|pair| pair[0].end <= pair[1].start), "{runs:x?}");
        let len = layout.start_info.end - layout.start_info.start;
        prop_assert_eq!(layout.start_info_bytes(&request).len() as u64, len);
    }
}
