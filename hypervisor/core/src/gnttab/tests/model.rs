//! Random maps, unmaps, copies and deaths of three domains, against counts kept by a model.

use std::vec;
use std::vec::Vec;

use proptest::collection;
use proptest::prelude::*;

use super::{Frame, PERMIT, READING, READONLY, Ram, Table, WRITING, flags, grant, head, table, table2};
use crate::fallible::fail_after;
use crate::frame::Gfn;
use crate::gnttab::{
    Access, Content, GrantError, GrantRef, Handle, MapTrack, Mapping, Purpose, Version, Wanted,
};
use crate::ids::DomId;
use crate::page::GuestPage;

const DOMS: u16 = 3;
const REFS: u32 = 4;

#[derive(Clone, Debug)]
enum Op {
    /// The guest rewrites an entry, in use or not.
    Grant {
        gref: u32,
        flags: u16,
        to: u16,
        frame: u32,
    },
    /// The guest flips bits of an entry.
    Scribble {
        gref: u32,
        bits: u32,
    },
    Map {
        granter: u16,
        gref: u32,
        write: bool,
    },
    Unmap {
        handle: u32,
    },
    Copy {
        granter: u16,
        gref: u32,
        write: bool,
    },
    Swap {
        a: u32,
        b: u32,
    },
    FullHeap {
        left: Option<u32>,
    },
    Die,
}

fn op(hostile: bool) -> impl Strategy<Value = (u16, Op)> {
    let gref = || 0..REFS;
    let flags = prop_oneof![Just(0), Just(PERMIT), Just(PERMIT | READONLY)];
    let any_flags = prop_oneof![flags, 0..0x200_u16];
    let op = prop_oneof![
        4 => (gref(), any_flags, 0..DOMS, 0..20_u32)
            .prop_map(|(gref, flags, to, frame)| Op::Grant { gref, flags, to, frame }),
        if hostile { 2 } else { 0 } =>
            (gref(), any::<u32>()).prop_map(|(gref, bits)| Op::Scribble { gref, bits }),
        8 => (0..DOMS, gref(), any::<bool>())
            .prop_map(|(granter, gref, write)| Op::Map { granter, gref, write }),
        4 => (0..10_u32).prop_map(|handle| Op::Unmap { handle }),
        2 => (0..DOMS, gref(), any::<bool>())
            .prop_map(|(granter, gref, write)| Op::Copy { granter, gref, write }),
        1 => (gref(), gref()).prop_map(|(a, b)| Op::Swap { a, b }),
        1 => prop::option::of(0..3_u32).prop_map(|left| Op::FullHeap { left }),
        if hostile { 1 } else { 0 } => Just(Op::Die),
    ];
    (0..DOMS, op)
}

struct World {
    tables: Vec<Table>,
    maps: Vec<MapTrack<Frame>>,
    ram: Vec<Ram>,
    /// Mappings that must exist: mapping domain, handle, granting domain, reference, whether writable.
    mapped: Vec<(u16, Handle, u16, u32, bool)>,
    alive: Vec<bool>,
}

impl World {
    fn new(version: Version) -> Self {
        fail_after(None);
        let new = |dom| if version == Version::One { table(dom, 1) } else { table2(dom, 1) };
        Self {
            tables: (0..DOMS).map(new).collect(),
            maps: (0..DOMS).map(|_| MapTrack::new(6)).collect(),
            ram: (0..DOMS).map(|_| Ram::new()).collect(),
            mapped: vec![],
            alive: vec![true; usize::from(DOMS)],
        }
    }

    fn acquire(
        &mut self,
        by: u16,
        granter: u16,
        gref: u32,
        write: bool,
        purpose: Purpose,
    ) -> Result<crate::gnttab::Pinned<Frame>, GrantError> {
        let access = if write { Access::Write } else { Access::Read };
        let at = usize::from(granter);
        let wanted = Wanted { by: DomId(by), access, purpose };
        let entry = head(&self.tables[at], gref);
        let got = self.tables[at].acquire(GrantRef(gref), wanted, self.ram[at].resolve());
        if got.is_ok() {
            assert!(self.alive[at]);
            assert_eq!((entry & 3, entry >> 16), (1, u32::from(by)), "granted to somebody else");
            assert!(!write || entry & u32::from(READONLY) == 0);
        }
        got
    }

    fn step(&mut self, dom: u16, op: &Op) {
        let at = usize::from(dom);
        match *op {
            _ if !self.alive[at] => {}
            Op::Grant { gref, flags, to, frame } => {
                let kept = head(&self.tables[at], gref) as u16 & (READING | WRITING);
                grant(&self.tables[at], gref, flags & !(READING | WRITING) | kept, to, frame);
            }
            Op::Scribble { gref, bits } => {
                let page = self.tables[at].frame(Content::Entries, 0).unwrap();
                let offset = gref as usize * self.tables[at].version().entry_size();
                page.store32(offset, page.load32(offset) ^ bits);
            }
            Op::Map { granter, gref, write } => {
                let Ok(handle) = self.maps[at].reserve() else { return };
                match self.acquire(dom, granter, gref, write, Purpose::Map) {
                    Ok(pin) => {
                        let mapping = Mapping { granter: DomId(granter), at: Gfn(500), pin };
                        self.maps[at].fill(handle, mapping);
                        self.mapped.push((dom, handle, granter, gref, write));
                    }
                    Err(_) => self.maps[at].cancel(handle),
                }
            }
            Op::Unmap { handle } => {
                let handle = Handle(handle);
                let model = self.mapped.iter().position(|m| m.0 == dom && m.1 == handle);
                let taken = self.maps[at].take(handle, Gfn(500));
                assert_eq!(taken.is_ok(), model.is_some());
                if let (Ok(mapping), Some(index)) = (taken, model) {
                    self.mapped.swap_remove(index);
                    self.tables[usize::from(mapping.granter.0)].release(mapping.pin);
                }
            }
            Op::Copy { granter, gref, write } => {
                if let Ok(pin) = self.acquire(dom, granter, gref, write, Purpose::Copy) {
                    self.tables[usize::from(granter)].release(pin);
                }
            }
            Op::Swap { a, b } => {
                let used = |r| self.mapped.iter().any(|m| m.2 == dom && m.3 == r);
                let free = !used(a) && !used(b);
                assert_eq!(self.tables[at].swap(GrantRef(a), GrantRef(b)).is_ok(), free);
            }
            Op::FullHeap { left } => fail_after(left),
            Op::Die => self.die(dom),
        }
    }

    fn die(&mut self, dom: u16) {
        let at = usize::from(dom);
        self.alive[at] = false;
        self.mapped.retain(|m| m.0 != dom);
        let mut cursor = 0;
        loop {
            let mut budget = 2;
            match self.maps[at].take_next(&mut cursor, &mut budget) {
                Some(mapping) => self.tables[usize::from(mapping.granter.0)].release(mapping.pin),
                None if budget > 0 => break,
                None => {}
            }
        }
        let mut cursor = 0;
        while !self.tables[at].destroy_some(&mut cursor, 2) {}
    }

    fn check(&self, honest: bool) {
        for (dom, (table, maps)) in (0..DOMS).zip(self.tables.iter().zip(&self.maps)) {
            assert_eq!(maps.mappings.taken() as usize, self.mapped.iter().filter(|m| m.0 == dom).count());
            let uses = |r| self.mapped.iter().filter(move |m| m.2 == dom && m.3 == r);
            let in_use = (0..REFS).filter(|r| uses(*r).next().is_some()).count();
            let alive = self.alive[usize::from(dom)];
            assert_eq!(table.in_use() as usize, if alive { in_use } else { 0 });
            let lent = uses(0).count() + uses(1).count() + uses(2).count() + uses(3).count();
            let held = if alive { in_use } else { 0 };
            assert_eq!(self.ram[usize::from(dom)].lent(), lent + held, "a page of d{dom} has leaked");
            if honest && alive {
                for gref in 0..REFS {
                    let reading = uses(gref).next().is_some();
                    let writing = uses(gref).any(|m| m.4);
                    let shown = flags(table, gref) & (READING | WRITING);
                    let bits = (u16::from(reading) * READING) | (u16::from(writing) * WRITING);
                    assert_eq!(shown, bits, "d{dom} reference {gref}");
                }
            }
        }
    }

    fn end(&mut self) {
        fail_after(None);
        for dom in 0..DOMS {
            self.die(dom);
        }
        self.check(false);
        assert!(self.ram.iter().all(|ram| ram.lent() == 0));
    }
}

fn run(ops: &[(u16, Op)], honest: bool) {
    for version in [Version::One, Version::Two] {
        let mut world = World::new(version);
        for (dom, op) in ops {
            world.step(*dom, op);
            world.check(honest);
        }
        world.end();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 256 },
        // Miri's isolation has no files to keep failures in.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn uses_are_counted_shown_and_given_back(ops in collection::vec(op(false), 1..100)) {
        run(&ops, true);
    }

    #[test]
    fn hostile_guests_leak_no_page_and_no_handle(ops in collection::vec(op(true), 1..100)) {
        run(&ops, false);
    }
}
