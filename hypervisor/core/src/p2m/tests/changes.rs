//! Single changes, their tokens and refusals.

use super::double::Tables;
use crate::frame::{Gfn, Mfn};
use crate::p2m::{Access, Entry, Extent, Flush, Npt, P2m, P2mError, PageType, Progress};

fn space() -> (P2m<Npt, Tables>, Tables) {
    let tables = Tables::default();
    (P2m::new(Npt { giant_pages: true }, tables.clone()).unwrap(), tables)
}

fn ram(p2m: &mut P2m<Npt, Tables>, gfn: u64, mfn: u64, order: u32) -> Result<Flush, P2mError> {
    p2m.map(Gfn(gfn), Mfn(mfn), order, PageType::Ram, Access::ALL)
}

fn done(p2m: &mut P2m<Npt, Tables>, gfn: u64, mfn: u64, order: u32) {
    let flush = ram(p2m, gfn, mfn, order).unwrap();
    p2m.flushed(flush);
}

#[test]
fn filling_a_hole_needs_no_flush() {
    let (mut p2m, tables) = space();
    let flush = ram(&mut p2m, 5, 77, 0).unwrap();
    assert!(!flush.is_needed());
    assert_eq!(p2m.flushed(flush), None);
    let entry = Entry { mfn: Mfn(77), order: 0, kind: PageType::Ram, access: Access::ALL };
    assert_eq!(p2m.lookup(Gfn(5)), Some(entry));
    assert_eq!(p2m.lookup(Gfn(6)), None);
    assert_eq!((p2m.tables(), tables.live()), (4, 4));
}

#[test]
fn tables_outlive_the_flush() {
    let (mut p2m, tables) = space();
    done(&mut p2m, 5, 77, 0);
    let flush = p2m.unmap(Gfn(5), 0).unwrap();
    assert!(flush.is_needed());
    assert_eq!((p2m.tables(), tables.live()), (1, 4));
    assert_eq!(p2m.flushed(flush).map(|old| old.mfn), Some(Mfn(77)));
    assert_eq!(tables.live(), 1);
}

#[test]
fn cutting_a_page_out_of_a_large_one_splits_it() {
    let (mut p2m, tables) = space();
    done(&mut p2m, 0, 0x4_0000, 18);
    assert_eq!(p2m.lookup(Gfn(0x3_ffff)).map(|e| (e.mfn, e.order)), Some((Mfn(0x7_ffff), 18)));
    let flush = p2m.unmap(Gfn(0x201), 0).unwrap();
    assert_eq!(p2m.flushed(flush).map(|old| (old.mfn, old.order)), Some((Mfn(0x4_0201), 0)));
    assert_eq!(p2m.lookup(Gfn(0x200)).map(|e| (e.mfn, e.order)), Some((Mfn(0x4_0200), 0)));
    assert_eq!(p2m.extent(Gfn(0x201)), Extent::Hole { order: 0 });
    assert_eq!(p2m.lookup(Gfn(0x400)).map(|e| (e.mfn, e.order)), Some((Mfn(0x4_0400), 9)));
    assert_eq!((p2m.tables(), tables.live()), (4, 4));
}

#[test]
fn replacing_returns_the_old_frame() {
    let (mut p2m, _) = space();
    done(&mut p2m, 0x200, 0x400, 9);
    let flush = ram(&mut p2m, 0x203, 9, 0).unwrap();
    assert!(flush.is_needed());
    assert_eq!(p2m.flushed(flush).map(|old| old.mfn), Some(Mfn(0x403)));
    assert_eq!(p2m.lookup(Gfn(0x203)).map(|e| e.mfn), Some(Mfn(9)));
}

#[test]
fn mapping_the_same_again_needs_no_flush() {
    let (mut p2m, _) = space();
    done(&mut p2m, 1, 2, 0);
    let flush = ram(&mut p2m, 1, 2, 0).unwrap();
    assert!(!flush.is_needed());
    assert_eq!(p2m.flushed(flush).map(|old| old.mfn), Some(Mfn(2)));
}

#[test]
fn refusals_name_the_rule() {
    let (mut p2m, tables) = space();
    done(&mut p2m, 0x201, 1, 0);
    let refused = |p2m: &mut P2m<_, _>, gfn, mfn, order| ram(p2m, gfn, mfn, order).unwrap_err();
    assert_eq!(refused(&mut p2m, 0x200, 0x200, 9), P2mError::Finer { gfn: Gfn(0x200), order: 9 });
    assert_eq!(refused(&mut p2m, 0x201, 0x200, 9), P2mError::Misaligned { gfn: Gfn(0x201), order: 9 });
    assert_eq!(refused(&mut p2m, 0x400, 0x201, 9), P2mError::Misaligned { gfn: Gfn(0x400), order: 9 });
    for order in [1, 27, 63, 64, u32::MAX] {
        assert_eq!(refused(&mut p2m, 0, 0, order), P2mError::BadOrder { order });
    }
    assert_eq!(refused(&mut p2m, 1 << 36, 0, 0), P2mError::OutOfRange { gfn: Gfn(1 << 36), order: 0 });
    assert_eq!(refused(&mut p2m, u64::MAX, 0, 0), P2mError::OutOfRange { gfn: Gfn(u64::MAX), order: 0 });
    assert_eq!(refused(&mut p2m, 0, 1 << 40, 0), P2mError::NoSuchFrame { mfn: Mfn(1 << 40) });
    assert_eq!(p2m.lookup(Gfn(u64::MAX)), None);
    assert_eq!(tables.live(), 4);

    let small = P2m::new(Npt { giant_pages: false }, tables).map(|mut p2m| ram(&mut p2m, 0, 0, 18));
    assert!(matches!(small, Ok(Err(P2mError::BadOrder { order: 18 }))));
}

#[test]
fn draining_takes_bounded_steps_and_leaves_the_root() {
    let (mut p2m, tables) = space();
    for (gfn, order) in [(0, 0), (511, 0), (0x200, 9), (0x4_0000, 18), ((1 << 36) - 1, 0)] {
        done(&mut p2m, gfn, gfn, order);
    }
    let mut seen = std::vec::Vec::new();
    let mut steps = 0;
    while p2m.drain(10, |gfn, entry| seen.push((gfn.0, entry.order))) == Progress::More {
        steps += 1;
    }
    assert_eq!(seen, [(0, 0), (511, 0), (0x200, 9), (0x4_0000, 18), ((1 << 36) - 1, 0)]);
    assert!(steps < 400, "{steps} steps");
    assert_eq!(ram(&mut p2m, 0, 1, 0).unwrap_err(), P2mError::Closed, "the drain would not see it");
    assert_eq!((p2m.tables(), tables.live()), (1, 1));
    drop(p2m);
    assert_eq!(tables.live(), 0);
}
