//! The bits of each format.

use super::double::Tables;
use crate::frame::{Gfn, Mfn};
use crate::p2m::{Access, Dma, Ept, Format, Leaf, Level, Npt, P2m, P2mError, PageType, Slot};

const KINDS: [PageType; 4] = [PageType::Ram, PageType::MmioDirect, PageType::Foreign, PageType::GrantMapped];
const ACCESSES: [Access; 4] = [Access::READ, Access::READ_WRITE, READ_EXECUTE, Access::ALL];
const READ_EXECUTE: Access = Access { write: false, execute: true };

const EPT: Ept = Ept { giant_pages: true };
const VTD: Dma = Dma::Vtd { four_levels: true, giant_pages: true, snoop_control: false, caches_holes: false };

fn round_trips(format: &impl Format, executes: bool) {
    for level in [Level::PAGE, Level::MEGA, Level::GIGA] {
        for kind in KINDS {
            for access in ACCESSES {
                let leaf = Leaf { mfn: Mfn(0xa_4000_0000), kind, access };
                // Devices execute nothing.
                let access = Access { execute: access.execute && executes, ..access };
                assert_eq!(
                    format.decode(format.leaf(leaf, level), level),
                    Slot::Leaf(Leaf { access, ..leaf })
                );
            }
        }
    }
    for level in [Level::MEGA, Level::GIGA, Level::TOP] {
        let table = Mfn(0xf_ffff_ffff);
        assert_eq!(format.decode(format.table(table, level), level), Slot::Table(table));
        assert_eq!(format.decode(0, level), Slot::Hole);
    }
}

#[test]
fn entries_round_trip() {
    round_trips(&Npt { giant_pages: true }, true);
    round_trips(&EPT, true);
    round_trips(&VTD, false);
    round_trips(&Dma::Amd, false);
}

#[test]
fn nested_paging_entries_are_long_mode_entries() {
    let npt = Npt { giant_pages: true };
    let leaf = Leaf { mfn: Mfn(0x1200), kind: PageType::Ram, access: Access::ALL };
    assert_eq!(npt.leaf(leaf, Level::PAGE), 0x120_0067);
    assert_eq!(npt.leaf(leaf, Level::MEGA), 0x120_00e7);
    let read_only = Leaf { access: Access::READ, ..leaf };
    assert_eq!(npt.leaf(read_only, Level::PAGE), 0x8000_0000_0120_0065);
    assert_eq!(npt.table(Mfn(0x34), Level::TOP), 0x3_4027);
}

#[test]
fn extended_entries_say_the_memory_type() {
    let leaf = Leaf { mfn: Mfn(0x1200), kind: PageType::Ram, access: Access::ALL };
    assert_eq!(EPT.leaf(leaf, Level::PAGE), 0x120_0037);
    assert_eq!(EPT.leaf(leaf, Level::MEGA), 0x120_00b7);
    assert_eq!(EPT.leaf(Leaf { access: Access::READ, ..leaf }, Level::PAGE), 0x120_0031);
    let device = Leaf { kind: PageType::MmioDirect, access: Access::READ_WRITE, ..leaf };
    assert_eq!(EPT.leaf(device, Level::PAGE), 0x0010_0000_0120_0003, "uncacheable");
    assert_eq!(EPT.table(Mfn(0x34), Level::TOP), 0x3_4007);
}

#[test]
fn entries_of_iommus() {
    let leaf = Leaf { mfn: Mfn(0x1200), kind: PageType::GrantMapped, access: Access::READ_WRITE };
    let read_only = Leaf { access: Access::READ, ..leaf };
    assert_eq!(VTD.leaf(leaf, Level::PAGE), 0x0030_0000_0120_0003);
    assert_eq!(VTD.leaf(read_only, Level::MEGA), 0x0030_0000_0120_0081);
    assert_eq!(VTD.table(Mfn(0x34), Level::MEGA), 0x3_4003);
    let snooping =
        Dma::Vtd { four_levels: true, giant_pages: true, snoop_control: true, caches_holes: false };
    assert_eq!(snooping.leaf(leaf, Level::PAGE), 0x0030_0000_0120_0803);
    // Type and level are where AMD-Vi looks for neither, and for the latter.
    assert_eq!(Dma::Amd.leaf(leaf, Level::PAGE), 0x7000_0000_0120_0007);
    assert_eq!(Dma::Amd.leaf(read_only, Level::MEGA), 0x3000_0000_0120_0007);
    assert_eq!(Dma::Amd.table(Mfn(0x34), Level::MEGA), 0x6000_0000_0003_4201);
    assert_eq!(Dma::Amd.table(Mfn(0x34), Level::TOP), 0x6000_0000_0003_4601);
}

#[test]
fn three_levels_have_their_root_a_level_lower_and_end_sooner() {
    let format = Dma::Vtd { four_levels: false, giant_pages: true, snoop_control: false, caches_holes: true };
    let tables = Tables::default();
    let mut p2m = P2m::new(format, tables.clone()).unwrap();
    let mut map = |gfn| p2m.map(Gfn(gfn), Mfn(1), 0, PageType::Ram, Access::READ_WRITE);
    let last = (1 << 27) - 1;
    let change = map(last).unwrap();
    assert!(change.is_needed(), "the unit remembers that nothing was there");
    assert_eq!(map(last + 1).unwrap_err(), P2mError::OutOfRange { gfn: Gfn(last + 1), order: 0 });
    p2m.flushed(change);
    assert_eq!((p2m.tables(), tables.live()), (3, 3));
    let change = p2m.clear(Gfn(last));
    p2m.flushed(change);
    assert_eq!((p2m.tables(), tables.live()), (1, 1));
}

#[test]
fn software_bits_that_name_no_type_are_a_hole() {
    let raw = (0xf << 52) | 0x1067;
    assert_eq!(EPT.decode(raw, Level::PAGE), Slot::Hole);
    assert_eq!(Npt { giant_pages: true }.decode(raw, Level::PAGE), Slot::Hole);
}

#[test]
fn types_limit_access() {
    assert_eq!(PageType::Ram.limit(Access::ALL), Access::ALL);
    assert_eq!(PageType::Foreign.limit(Access::ALL), Access::READ_WRITE);
    assert_eq!(PageType::GrantMapped.limit(Access::ALL), Access::READ_WRITE);
    assert_eq!(PageType::GrantMapped.limit(Access::READ), Access::READ);
}
