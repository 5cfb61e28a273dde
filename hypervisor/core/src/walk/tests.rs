use super::error_code::{FETCH, PRESENT, RESERVED, USER, WRITE};
use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

#[derive(Default)]
struct Memory(HashMap<u64, u64>);

impl Memory {
    fn of(words: &[(u64, u64)]) -> Self {
        Self(words.iter().copied().collect())
    }
}

impl ReadGuestPhys for Memory {
    fn read_u32(&self, at: Gaddr) -> Option<u32> {
        (at.0 < 1 << 40).then(|| self.0.get(&at.0).copied().unwrap_or(0) as u32)
    }
    fn read_u64(&self, at: Gaddr) -> Option<u64> {
        (at.0 < 1 << 40).then(|| self.0.get(&at.0).copied().unwrap_or(0))
    }
}

const PG: u64 = CR0_PG | CR0_WP;

fn paging(cr0: u64, cr3: u64, cr4: u64, efer: u64) -> ControlRegs {
    ControlRegs { cr0, cr3, cr4, efer, ..ControlRegs::default() }
}

fn long() -> ControlRegs {
    paging(PG, 0x1000, CR4_PAE | CR4_SMEP, EFER_LMA | EFER_NXE)
}

fn to(paging: ControlRegs, memory: &Memory, linear: u64) -> Result<u64, Fault> {
    paging.translate(memory, linear, Access::Read).map(|at| at.0)
}

#[test]
fn four_levels_and_large_pages() {
    let memory = Memory::of(&[
        (0x1000 + 8 * 0x1ff, 0x2003),
        (0x2000 + 8 * 0x1fe, 0x3003),
        (0x3000, 0x4003),
        (0x4000 + 8 * 5, 0x55_5000 | 3),
        (0x3008, 0x60_0083),
        (0x2000, 0x4000_0083),
        (0x3010, 0x60_2083),
    ]);
    assert_eq!(to(long(), &memory, 0xffff_ffff_8000_5123), Ok(0x55_5123));
    assert_eq!(to(long(), &memory, 0xffff_ffff_8021_2345), Ok(0x61_2345));
    assert_eq!(to(long(), &memory, 0xffff_ff80_1234_5678), Ok(0x5234_5678));
    assert_eq!(to(long(), &memory, 0xffff_ffff_8040_0000), Err(Fault::Page(PRESENT | RESERVED)));
    assert_eq!(to(long(), &memory, 0xffff_ffff_8000_0000), Err(Fault::Page(0)));
    assert_eq!(to(long(), &memory, 0x0000_8000_0000_0000), Err(Fault::NotCanonical));
}

#[test]
fn five_levels() {
    let tables = paging(PG, 0x1000, CR4_PAE | CR4_LA57, EFER_LMA);
    let memory = Memory::of(&[(0x1008, 0x2003), (0x2000, 0x3003), (0x3000, 0x83)]);
    assert_eq!(to(tables, &memory, 0x0001_0000_0012_3456), Ok(0x12_3456));
}

#[test]
fn pae_tolerates_what_emulators_leave_in_the_top_entries() {
    let tables = paging(PG, 0x1020, CR4_PAE, 0);
    let memory =
        Memory::of(&[(0x1020 + 8 * 3, 0x2021), (0x2000, 0x3003), (0x3000, 0x9003), (0x2008, 0x20_0083)]);
    assert_eq!(to(tables, &memory, 0xc000_0010), Ok(0x9010));
    assert_eq!(to(tables, &memory, 0xdead_beef_c020_0010), Ok(0x20_0010));
    assert_eq!(to(tables, &memory, 0), Err(Fault::Page(0)));
}

#[test]
fn legacy_paging() {
    let memory = Memory::of(&[(0x1004, 0x2003), (0x2004, 0x7003), (0x1008, 0x80_4083)]);
    let tables = paging(PG, 0x1000, CR4_PSE, 0);
    assert_eq!(to(tables, &memory, 0x40_1234), Ok(0x7234));
    assert_eq!(to(tables, &memory, 0x80_1234), Ok(0x2_0080_1234));
    assert_eq!(to(paging(0, 0, 0, 0), &memory, 0x1_0000_1234), Ok(0x1234));
}

#[test]
fn rights() {
    let one = |flags: u64| {
        Memory::of(&[(0x1000, 0x2007), (0x2000, 0x3007), (0x3000, 0x4007), (0x4000, 0x5000 | flags)])
    };
    let nx = 1 << 63;
    let user = ControlRegs { cpl: 3, ..long() };
    let kernel = long();
    for (flags, access, who, expected) in [
        (0x1, Access::Read, kernel, None),
        (0x1, Access::Write, kernel, Some(WRITE)),
        (0x1, Access::Read, user, Some(USER)),
        (0x7, Access::Write, user, None),
        (0x5, Access::Write, user, Some(USER | WRITE)),
        (0x7, Access::Read, kernel, None),
        (0x5, Access::Write, kernel, Some(WRITE)),
        (0x7, Access::Fetch, kernel, Some(FETCH)),
        (0x1, Access::Fetch, kernel, None),
        (nx | 1, Access::Fetch, kernel, Some(FETCH)),
        (nx | 7, Access::Fetch, user, Some(USER | FETCH)),
    ] {
        let got = who.translate(&one(flags), 0, access).err();
        assert_eq!(got, expected.map(|c| Fault::Page(c | PRESENT)), "{flags:#x} {access:?} {who:?}");
    }
    let no_wp = paging(CR0_PG, 0x1000, CR4_PAE, EFER_LMA);
    assert!(no_wp.translate(&one(1), 0, Access::Write).is_ok());
    assert_eq!(
        no_wp.translate(&one(nx | 1), 0, Access::Read),
        Err(Fault::Page(PRESENT | RESERVED)),
        "NX is reserved while it is off"
    );
}

#[test]
fn a_table_outside_memory_is_named() {
    let memory = Memory::of(&[(0x1000, 0xff_ffff_f003)]);
    assert_eq!(to(long(), &memory, 0), Err(Fault::Page(0)));
    let wide = paging(PG, 0x1000, CR4_PAE, EFER_LMA);
    let memory = Memory::of(&[(0x1000, 0x100_0000_0003)]);
    assert_eq!(to(wide, &memory, 0), Err(Fault::NoTable(Gaddr(0x100_0000_0000))));
}

/// Memory in which every word is a function of its address: any tables at all.
struct Noise(u64);

impl ReadGuestPhys for Noise {
    fn read_u32(&self, at: Gaddr) -> Option<u32> {
        self.read_u64(at).map(|v| v as u32)
    }
    fn read_u64(&self, at: Gaddr) -> Option<u64> {
        assert_eq!(at.0 & 3, 0, "aligned");
        Some(at.0.wrapping_mul(self.0).rotate_left(17) | 1)
    }
}

proptest! {
    #[test]
    fn any_tables_are_safe(seed: u64, cr0: u64, cr3: u64, cr4: u64, efer: u64, user: bool, linear: u64) {
        let tables = ControlRegs { cpl: if user { 3 } else { 0 }, ..paging(cr0 | CR0_PG, cr3, cr4, efer) };
        for access in [Access::Read, Access::Write, Access::Fetch] {
            if let Ok(at) = tables.translate(&Noise(seed), linear, access) {
                prop_assert_eq!(at.0 & 0xfff, linear & 0xfff);
            }
        }
    }
}
