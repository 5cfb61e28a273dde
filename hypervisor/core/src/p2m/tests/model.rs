//! Random changes of mixed orders against a map of leaves, with every allocation made to fail once.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use proptest::prelude::*;

use super::double::Tables;
use crate::frame::{Gfn, Mfn};
use crate::p2m::{Access, Extent, Flush, Format, Npt, P2m, P2mError, PageType, Progress};

/// Mapped runs: first guest frame to (order, first machine frame, type, access).
type Model = BTreeMap<u64, (u32, u64, PageType, Access)>;

#[derive(Clone, Copy, Debug)]
enum Op {
    Map(u64, u64, u32, PageType, Access),
    Unmap(u64, u32),
}

/// Few distinct frames, at the edges of tables, so that operations meet.
fn gfn() -> impl Strategy<Value = u64> {
    let edge = prop_oneof![Just(0u64), Just(1), Just(2), Just(510), Just(511)];
    (0..2u64, 0..3u64, 0..3u64, edge)
        .prop_map(|(top, giga, mega, page)| (top << 27) + (giga << 18) + (mega << 9) + page)
}

fn order() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(0u32), 2 => Just(9), 1 => Just(18)]
}

fn kind() -> impl Strategy<Value = PageType> {
    prop_oneof![
        4 => Just(PageType::Ram),
        1 => Just(PageType::MmioDirect),
        1 => Just(PageType::GrantMapped),
    ]
}

fn access() -> impl Strategy<Value = Access> {
    (any::<bool>(), any::<bool>()).prop_map(|(write, execute)| Access { write, execute })
}

fn align(frame: u64, order: u32) -> u64 {
    frame >> order << order
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (gfn(), gfn(), order(), kind(), access())
            .prop_map(|(g, m, o, k, a)| Op::Map(align(g, o), align(m, o), o, k, a)),
        2 => (gfn(), order()).prop_map(|(g, o)| Op::Unmap(align(g, o), o)),
    ]
}

fn apply<F: Format>(p2m: &mut P2m<F, Tables>, op: Op) -> Result<Flush, P2mError> {
    match op {
        Op::Map(gfn, mfn, order, kind, access) => p2m.map(Gfn(gfn), Mfn(mfn), order, kind, access),
        Op::Unmap(gfn, order) => p2m.unmap(Gfn(gfn), order),
    }
}

/// The leaf that holds all of the run, split down to the run's size; or none if the run is a hole.
fn isolate(model: &mut Model, gfn: u64, order: u32) -> ControlFlow<P2mError, Option<u64>> {
    loop {
        let around = model.range(..=gfn).next_back().map(|(start, leaf)| (*start, *leaf));
        match around.filter(|(start, leaf)| gfn - start < 1 << leaf.0) {
            Some((start, leaf)) if leaf.0 > order => {
                model.remove(&start);
                let part = leaf.0 - 9;
                for i in 0..512u64 {
                    model.insert(start + (i << part), (part, leaf.1 + (i << part), leaf.2, leaf.3));
                }
            }
            Some((_, leaf)) if leaf.0 < order => break,
            Some((_, leaf)) => return ControlFlow::Continue(Some(leaf.1)),
            None if model.range(gfn..gfn + (1 << order)).next().is_some() => break,
            None => return ControlFlow::Continue(None),
        }
    }
    ControlFlow::Break(P2mError::Finer { gfn: Gfn(gfn), order })
}

fn apply_to_model(model: &mut Model, op: Op) -> Result<Option<Mfn>, P2mError> {
    let (Op::Map(gfn, _, order, ..) | Op::Unmap(gfn, order)) = op;
    let before = model.clone();
    let old = match isolate(model, gfn, order) {
        ControlFlow::Break(refused) => return Err(refused),
        ControlFlow::Continue(old) => old,
    };
    match (op, old) {
        (Op::Map(_, mfn, _, kind, access), _) => {
            let new = (order, mfn, kind, kind.limit(access));
            if model.insert(gfn, new) == Some(new) {
                // A page mapped like that already is left in its larger page.
                *model = before;
            }
        }
        (Op::Unmap(..), _) => {
            model.remove(&gfn);
        }
    }
    Ok(old.map(Mfn))
}

/// All leaves, found by walking extents.
fn dump<F: Format>(p2m: &P2m<F, Tables>) -> Model {
    let mut leaves = Model::new();
    let mut gfn = 0;
    while gfn < 1 << 36 {
        let order = match p2m.extent(Gfn(gfn)) {
            Extent::Hole { order } => order,
            Extent::Leaf(e) => {
                leaves.insert(gfn, (e.order, e.mfn.0, e.kind, e.access));
                e.order
            }
        };
        gfn += 1 << order;
    }
    leaves
}

/// Tables that the leaves need, the root included.
fn tables_for(model: &Model) -> usize {
    let mut tables = BTreeSet::new();
    for (gfn, leaf) in model {
        for order in (leaf.0..27).step_by(9) {
            tables.insert((order, gfn >> (order + 9)));
        }
    }
    1 + tables.len()
}

fn check<F: Format>(format: F, ops: &[Op]) -> Result<(), TestCaseError> {
    let tables = Tables::default();
    let mut p2m = P2m::new(format, tables.clone()).expect("memory");
    let mut model = Model::new();
    for &op in ops {
        let wanted = apply_to_model(&mut model, op);
        let before = dump(&p2m);
        let (mut budget, live) = (0, tables.live());
        let got = loop {
            tables.allow(Some(budget));
            match apply(&mut p2m, op) {
                Err(P2mError::NoTable) => budget += 1,
                other => break other,
            }
            prop_assert_eq!(&dump(&p2m), &before);
            prop_assert_eq!(tables.live(), live);
        };
        tables.allow(None);
        prop_assert!(budget <= 3);
        let got = got.map(|flush| p2m.flushed(flush).map(|old| old.mfn));
        prop_assert_eq!(got, wanted, "{:?}", op);
        prop_assert_eq!(&dump(&p2m), &model, "{:?}", op);
        prop_assert_eq!(p2m.tables(), tables_for(&model));
        prop_assert_eq!(tables.live(), p2m.tables());
    }
    let mut drained = Vec::new();
    while p2m.drain(7, |gfn, e| drained.push((gfn.0, (e.order, e.mfn.0, e.kind, e.access)))) == Progress::More
    {
    }
    prop_assert_eq!(drained, model.into_iter().collect::<Vec<_>>());
    prop_assert_eq!(tables.live(), 1);
    drop(p2m);
    prop_assert_eq!(tables.live(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    #[cfg_attr(miri, ignore = "walks millions of entries")]
    fn nested_paging_agrees_with_the_model(ops in prop::collection::vec(op(), 1..24)) {
        check(Npt { giant_pages: true }, &ops)?;
    }

}
