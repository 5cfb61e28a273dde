//! Guests that do anything to each other by grants, and end in any order.

use std::vec::Vec;

use hypercall_abi::abi::X64;
use hypercall_abi::grant_table as abi;
use proptest::prelude::*;

use super::{End, copy, destroy, grant, guest, id, in_use};
use crate::gnttab::Handle;
use crate::hypercall::tests::few_cases;
use crate::hypercall::tests::rig::{Caller, Rig};

/// Where there is nothing at first.
const HOLE: u64 = 0x1000;
/// The control domain, among the actors.
const CONTROL: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Deed {
    Grant { gref: u32, to: usize },
    Map { from: usize, gref: u32 },
    Unmap { handle: u32 },
    Copy { from: usize, gref: u32 },
    Table { index: u32 },
    Remove,
    End,
}

/// A deed, the actor who does it, and a guest frame of his.
type Step = (Deed, usize, u64);

fn step() -> impl Strategy<Value = Step> {
    let (who, gref) = (0..3usize, 0..6u32);
    let deed = prop_oneof![
        4 => (gref.clone(), who.clone()).prop_map(|(gref, to)| Deed::Grant { gref, to }),
        6 => (who.clone(), gref.clone()).prop_map(|(from, gref)| Deed::Map { from, gref }),
        4 => (0..6u32).prop_map(|handle| Deed::Unmap { handle }),
        2 => (who.clone(), gref).prop_map(|(from, gref)| Deed::Copy { from, gref }),
        1 => (0..5u32).prop_map(|index| Deed::Table { index }),
        2 => Just(Deed::Remove),
        1 => Just(Deed::End),
    ];
    (deed, who, prop_oneof![3..8u64, HOLE..HOLE + 4])
}

struct Scene {
    rig: Rig,
    ids: [u16; 3],
    guests: [Option<Caller>; CONTROL],
    /// What was free before there were guests.
    before: (u64, usize),
}

impl Scene {
    fn new() -> Self {
        let rig = Rig::new();
        let before = rig.holdings();
        let guests = [guest(&rig), guest(&rig)];
        let ids = [id(&guests[0]), id(&guests[1]), 0];
        Self { rig, ids, guests: guests.map(Some), before }
    }

    /// Does the step. What is refused is as good as what is done: what counts is what is left in the end.
    fn act(&mut self, (deed, who, gfn): Step) {
        let Self { rig, ids, guests, .. } = self;
        let by = match guests.get(who) {
            Some(Some(guest)) => guest,
            Some(None) => return,
            None => &rig.control,
        };
        // The control domain never ends, so it keeps what it has and takes only what it can give back.
        let keeps = who == CONTROL;
        let at = if keeps { gfn | HOLE } else { gfn };
        match deed {
            // A guest leaves alone what is in use, or it has only itself to blame.
            Deed::Grant { gref, to } if !in_use(by, gref) => grant(by, gref, ids[to], gfn),
            Deed::Grant { .. } => {}
            Deed::Map { from, gref } => drop(rig.map(by, ids[from], gref, at)),
            Deed::Unmap { handle } => {
                rig.unmap(by, handle, at);
            }
            Deed::Copy { from, gref } => {
                let (there, here) = ((End::Of(ids[from], gref), 0), (End::Own(gfn), 0));
                rig.grant_ops(
                    by,
                    abi::OP_COPY,
                    &[copy::<X64>(there, here, 64), copy::<X64>(here, there, 64)],
                );
            }
            Deed::Table { .. } | Deed::Remove | Deed::End if keeps => {}
            Deed::Table { index } => {
                rig.place_table(by, index, gfn);
            }
            Deed::Remove => {
                rig.remove(by, gfn);
            }
            Deed::End => guests[who].take().into_iter().for_each(|guest| destroy(rig, guest)),
        }
    }

    /// Ends the guests, then what the control domain has mapped.
    fn end(&mut self) {
        let Self { rig, guests, .. } = self;
        guests.iter_mut().filter_map(Option::take).for_each(|guest| destroy(rig, guest));
        let mapped_at = |handle| rig.control.domain().maptrack.lock().get(Handle(handle)).map(|m| m.at.0);
        let left: Vec<_> = (0..4096).filter_map(|handle| Some((handle, mapped_at(handle).ok()?))).collect();
        left.into_iter().for_each(|(handle, at)| assert_eq!(rig.unmap(&rig.control, handle, at), 0));
    }
}

proptest! {
    #![proptest_config(few_cases())]

    #[test]
    fn every_frame_comes_back(steps in prop::collection::vec(step(), 1..80)) {
        let mut scene = Scene::new();
        steps.into_iter().for_each(|step| scene.act(step));
        scene.end();
        prop_assert_eq!(scene.rig.holdings(), scene.before);
        // Nothing of the control domain's is in use any more.
        prop_assert_eq!(scene.rig.control.domain().grants.lock().in_use(), 0);
    }
}
