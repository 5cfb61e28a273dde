use std::boxed::Box;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::machine::test::TestMachine;

fn table(frames: usize) -> FrameTable {
    let slots: Vec<FrameSlot> = (0..frames).map(|_| FrameSlot::default()).collect();
    FrameTable::new(Box::leak(slots.into_boxed_slice())).unwrap()
}

fn alloc_ram(m: TestMachine, d: DomId, max: u32) -> Result<FrameRef<TestMachine>, OutOfFrames> {
    FrameRef::alloc_ram_run(m, d, 0, max).map(|mfn| FrameRef::adopt(m, mfn))
}

#[test]
fn all_free_frames_can_be_had_and_come_back_as_one_run() {
    const ORDER: u32 = if cfg!(miri) { 6 } else { 12 };
    let t = table(1 << ORDER);
    t.add_free(Mfn(0), 1 << ORDER);
    let all: Vec<Mfn> = (0..1 << ORDER).map(|_| t.alloc_hypervisor(0, Zone::Any).unwrap()).collect();
    assert_eq!(t.free_frames(), 0);
    assert_eq!(t.alloc_hypervisor(0, Zone::Any), Err(OutOfFrames::Machine { order: 0 }));
    for mfn in all {
        t.free_hypervisor(mfn, 0);
    }
    assert_eq!(t.alloc_hypervisor(ORDER, Zone::Any), Ok(Mfn(0)));
}

#[test]
fn the_last_reference_frees_and_uncharges() {
    let m = TestMachine::new(64);
    let d = DomId(3);
    let free = m.table().free_frames();
    let a = alloc_ram(m, d, 2).unwrap();
    let b = a.clone();
    assert_eq!(m.table().owned_by(d), 1);
    drop(a);
    assert_eq!(m.table().kind(b.mfn()), Some(FrameKind::Ram(d)));
    drop(b);
    assert_eq!(m.table().owned_by(d), 0);
    assert_eq!(m.table().free_frames(), free);
}

#[test]
fn a_domain_stops_at_its_limit_and_a_dead_frame_is_not_revived() {
    let m = TestMachine::new(64);
    let d = DomId(3);
    let a = alloc_ram(m, d, 1).unwrap();
    assert_eq!(alloc_ram(m, d, 1).unwrap_err(), OutOfFrames::DomainLimit { domain: d, max: 1 });
    let mfn = a.mfn();
    drop(a);
    assert!(FrameRef::get(m, mfn).is_none());
    assert!(FrameRef::get(m, Mfn(1 << 40)).is_none());
}

#[test]
fn a_named_frame_can_be_claimed_once() {
    let t = table(1024);
    t.add_free(Mfn(0), 1024);
    assert_eq!(t.claim_ram(DomId(0), Mfn(0x123), 0, 10), Ok(()));
    assert!(t.claim_ram(DomId(0), Mfn(0x123), 0, 10).is_err());
    assert_eq!(t.owned_by(DomId(0)), 1);
    t.put(Mfn(0x123));
    assert_eq!(t.alloc_hypervisor(10, Zone::Any), Ok(Mfn(0)));
}

proptest! {
    /// Whatever is allocated is naturally aligned, disjoint from the rest, and freeing restores everything.
    #[test]
    fn runs_never_overlap(start in 0u64..40, len in 1u64..3000, orders in prop::collection::vec(0u32..8, 1..80)) {
        let t = table(4096);
        t.add_free(Mfn(start), len);
        let before = t.free_frames();
        prop_assert_eq!(before, len);
        let mut got: Vec<(u64, u32)> = Vec::new();
        for (i, order) in orders.into_iter().enumerate() {
            if i % 3 == 2 && !got.is_empty() {
                let (mfn, order) = got.swap_remove(i % got.len());
                t.free_hypervisor(Mfn(mfn), order);
            } else if let Ok(mfn) = t.alloc_hypervisor(order, Zone::Any) {
                prop_assert!(mfn.is_aligned(order));
                prop_assert!(mfn.0 >= start && mfn.0 + (1 << order) <= start + len);
                for (other, o) in &got {
                    prop_assert!(mfn.0 + (1 << order) <= *other || *other + (1 << o) <= mfn.0);
                }
                got.push((mfn.0, order));
            }
        }
        for (mfn, order) in got {
            t.free_hypervisor(Mfn(mfn), order);
        }
        prop_assert_eq!(t.free_frames(), before);
    }
}
