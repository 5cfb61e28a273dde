//! Both trees against each other, with every allocation made to fail once.

use proptest::prelude::*;
use std::vec::Vec;

use super::{Change, Space};
use crate::frame::{Gfn, Mfn};
use crate::iommu::DmaRun;
use crate::machine::Machine;
use crate::machine::test::TestMachine;
use crate::p2m::{Access, Dma, Entry, P2mError, PageType, Progress};

const FORMATS: [Dma; 2] =
    [Dma::Amd, Dma::Vtd { four_levels: false, giant_pages: true, snoop_control: false, caches_holes: false }];
/// Tables of an empty space.
const ROOTS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Op {
    Map(u64, u64, u32, PageType, bool),
    Unmap(u64),
}

fn space(format: Dma) -> (TestMachine, Space<TestMachine>) {
    let machine = TestMachine::new(1);
    let mut space = Space::new(machine).unwrap();
    space.translate_dma(format, machine.tables()).unwrap();
    (machine, space)
}

/// Few distinct frames, so that operations meet.
fn gfn() -> impl Strategy<Value = u64> {
    (0..2u64, 0..2u64, prop_oneof![Just(0u64), Just(1), Just(511)])
        .prop_map(|(giga, mega, page)| (giga << 18) + (mega << 9) + page)
}

fn op() -> impl Strategy<Value = Op> {
    let order = prop_oneof![4 => Just(0u32), 2 => Just(9), 1 => Just(18)];
    let kind = prop_oneof![Just(PageType::Ram), Just(PageType::Foreign), Just(PageType::GrantMapped)];
    prop_oneof![
        3 => (gfn(), gfn(), order, kind, any::<bool>())
            .prop_map(|(g, m, o, k, w)| Op::Map(g >> o << o, m >> o << o, o, k, w)),
        1 => gfn().prop_map(|g| Op::Map(g, g, 0, PageType::MmioDirect, true)),
        3 => gfn().prop_map(Op::Unmap),
    ]
}

/// What the trees lead to at the frames of interest.
fn view(space: &Space<TestMachine>) -> Vec<(Option<Entry>, Option<Entry>)> {
    let dma = space.dma.as_ref().unwrap();
    let frames = (0..2u64).flat_map(|g| (0..2u64).map(move |m| (g << 18) + (m << 9)));
    let plain = |entry: Entry| Entry { order: 0, access: Access { execute: false, ..entry.access }, ..entry };
    frames
        .flat_map(|at| [0, 1, 2, 511].map(|page| Gfn(at + page)))
        .map(|gfn| (space.lookup(gfn).map(plain), dma.lookup(gfn).map(plain)))
        .collect()
}

fn apply(space: &mut Space<TestMachine>, op: Op) -> Option<Result<Change, P2mError>> {
    match op {
        // As everybody does: device memory goes where nothing is.
        Op::Map(gfn, _, _, PageType::MmioDirect, _) if space.lookup(Gfn(gfn)).is_some() => None,
        Op::Map(gfn, mfn, order, kind, write) => {
            Some(space.map(Gfn(gfn), Mfn(mfn), order, kind, Access { write, execute: true }))
        }
        Op::Unmap(gfn) => Some(space.unmap(Gfn(gfn))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, ..ProptestConfig::default() })]

    #[test]
    fn devices_reach_what_the_domain_reaches(ops in proptest::collection::vec(op(), 1..30), format in 0usize..2) {
        let (machine, mut space) = space(FORMATS[format]);
        for op in ops {
            let before = view(&space);
            for allowed in 0.. {
                machine.tables().allow(Some(allowed));
                let tables = machine.live_tables();
                let Some(change) = apply(&mut space, op) else { break };
                match change {
                    Ok(change) => {
                        machine.devices().forgotten.clear();
                        let changes = [Some(change)];
                        space.flush_dma(&changes);
                        let [change] = changes;
                        let old = space.done(change.unwrap());
                        // What devices reached at another frame, or better, they have been made to forget.
                        let was = old.is_some_and(|old| old.kind != PageType::MmioDirect);
                        let changed = before.iter().zip(&view(&space)).any(|(a, b)| a.1 != b.1);
                        prop_assert!(!(was && changed && machine.devices().forgotten.is_empty()));
                        break;
                    }
                    Err(error) => {
                        prop_assert_eq!(&view(&space), &before);
                        if error != P2mError::NoTable {
                            break;
                        }
                        // The devices' larger page may have been split, which changes nothing that anybody sees.
                        prop_assert!(machine.live_tables() <= tables + 2);
                    }
                }
            }
            for (cpu, dma) in view(&space) {
                prop_assert_eq!(cpu.filter(|entry| entry.kind != PageType::MmioDirect), dma);
            }
        }
        while space.drain(1 << 20, |_, _| ()) == Progress::More {}
        prop_assert_eq!(machine.live_tables(), ROOTS);
    }
}

#[test]
fn what_devices_cached_meanwhile_is_forgotten_when_a_change_is_taken_back() {
    let (machine, mut space) = space(Dma::Amd);
    // Enough for the devices' tables, and not for the vCPUs'.
    machine.tables().allow(Some(3));
    let refused = space.map(Gfn(5), Mfn(7), 0, PageType::Ram, Access::ALL);
    assert_eq!(refused.err(), Some(P2mError::NoTable));
    assert_eq!(machine.devices().forgotten, [DmaRun { gfn: Gfn(5), order: 0 }]);
    assert_eq!(machine.live_tables(), ROOTS);
}

#[test]
fn reserved_ranges_stay_though_the_domain_touches_them() {
    let (_, mut space) = space(Dma::Amd);
    space.map_reserved(Mfn(9), Access::READ).unwrap();
    let change = space.map(Gfn(9), Mfn(9), 0, PageType::MmioDirect, Access::READ_WRITE).unwrap();
    space.done(change);
    let change = space.unmap(Gfn(9)).unwrap();
    space.done(change);
    let reached = space.dma.as_ref().unwrap().lookup(Gfn(9)).unwrap();
    assert_eq!((reached.mfn, reached.access), (Mfn(9), Access::READ));
}
