//! Random operations of three domains: the tables against a model, and no event of an honest guest lost.

use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use proptest::collection;
use proptest::prelude::*;

use super::guest::Guest;
use super::{LINES, Table, VCPUS, line, open_ports, pair, tables};
use crate::evtchn::{EventChannels, Layout, Route, State, Virq};
use crate::ids::{DomId, Port, VcpuId};
use crate::page::{GuestPage, TestPage};

const DOMS: u16 = 3;

#[derive(Clone, Debug)]
enum Op {
    AllocUnbound { remote: u16 },
    Bind { remote: u16, port: u32 },
    Virq { virq: u32, vcpu: u32 },
    Ipi { vcpu: u32 },
    Close { port: u32 },
    Send { port: u32 },
    RaiseVirq { virq: u32, vcpu: u32 },
    BindVcpu { port: u32, vcpu: u32 },
    Priority { port: u32, priority: u32 },
    Mask { port: u32 },
    Unmask { port: u32 },
    Upcall { vcpu: u32 },
    Scribble { page: usize, offset: usize, bits: u32 },
}

fn op() -> impl Strategy<Value = Op> {
    let port = || 0..14_u32;
    let vcpu = || 0..VCPUS + 1;
    prop_oneof![
        (0..DOMS).prop_map(|remote| Op::AllocUnbound { remote }),
        (0..DOMS, port()).prop_map(|(remote, port)| Op::Bind { remote, port }),
        (0..26_u32, vcpu()).prop_map(|(virq, vcpu)| Op::Virq { virq, vcpu }),
        vcpu().prop_map(|vcpu| Op::Ipi { vcpu }),
        port().prop_map(|port| Op::Close { port }),
        port().prop_map(|port| Op::Send { port }),
        port().prop_map(|port| Op::Send { port }),
        (0..24_u32, vcpu()).prop_map(|(virq, vcpu)| Op::RaiseVirq { virq, vcpu }),
        (port(), vcpu()).prop_map(|(port, vcpu)| Op::BindVcpu { port, vcpu }),
        (port(), 0..17_u32).prop_map(|(port, priority)| Op::Priority { port, priority }),
        port().prop_map(|port| Op::Mask { port }),
        port().prop_map(|port| Op::Unmask { port }),
        (0..VCPUS).prop_map(|vcpu| Op::Upcall { vcpu }),
    ]
}

/// Few ports, sent to and moved often.
fn moving_op() -> impl Strategy<Value = Op> {
    let port = || 1..LINES + 1;
    prop_oneof![
        4 => (0..LINES).prop_map(|n| Op::RaiseVirq { virq: line(n).raw(), vcpu: 0 }),
        2 => (0..2_u32).prop_map(|vcpu| Op::Upcall { vcpu }),
        1 => (port(), 0..2_u32).prop_map(|(port, vcpu)| Op::BindVcpu { port, vcpu }),
        1 => (port(), 6..8_u32).prop_map(|(port, priority)| Op::Priority { port, priority }),
        1 => port().prop_map(|port| Op::Mask { port }),
        1 => port().prop_map(|port| Op::Unmask { port }),
    ]
}

fn hostile_op() -> impl Strategy<Value = Op> {
    let scribble = (0..8_usize, 0..1024_usize, any::<u32>()).prop_map(|(page, word, bits)| Op::Scribble {
        page,
        offset: word * 4,
        bits,
    });
    // Mostly where the structures are.
    let near = (0..8_usize, 0..64_usize, any::<u32>()).prop_map(|(page, word, bits)| Op::Scribble {
        page,
        offset: word * 4,
        bits,
    });
    prop_oneof![3 => op(), 1 => scribble, 1 => near]
}

type Model = BTreeMap<(u16, u32), State>;

struct World {
    tables: Vec<Table>,
    guests: Vec<Guest>,
    model: Model,
}

impl World {
    fn new(layout: Layout, fifo: bool) -> Self {
        let mut world = Self {
            tables: tables(DOMS, layout),
            guests: (0..DOMS).map(|_| Guest::default()).collect(),
            model: Model::new(),
        };
        if fifo {
            for (table, guest) in world.tables.iter_mut().zip(&mut world.guests) {
                let _ = guest.use_fifo(table, VCPUS, 1);
            }
        }
        world
    }

    fn opened(&mut self, dom: u16, port: Port, state: State) {
        let free = (1..).find(|p| !self.model.contains_key(&(dom, *p))).unwrap();
        assert_eq!(port.0, free, "the lowest free port is handed out");
        self.model.insert((dom, port.0), state);
    }

    fn bound(&self, dom: u16, state: State, vcpu: Option<u32>) -> bool {
        let table = &self.tables[usize::from(dom)];
        self.model.iter().any(|(&(d, p), &s)| {
            d == dom && s == state && vcpu.is_none_or(|v| table.status(Port(p)).unwrap().vcpu == VcpuId(v))
        })
    }

    fn step(&mut self, dom: u16, op: &Op) {
        let at = usize::from(dom);
        match *op {
            Op::AllocUnbound { remote } => {
                let state = State::Unbound { remote: DomId(remote) };
                let port = self.tables[at].alloc_unbound(DomId(remote)).unwrap();
                self.opened(dom, port, state);
            }
            Op::Bind { remote, port } => {
                let offered = self.model.get(&(remote, port)) == Some(&State::Unbound { remote: DomId(dom) });
                let pair = pair(&mut self.tables, at, usize::from(remote));
                let bound = EventChannels::bind_interdomain(pair, Port(port));
                assert_eq!(bound.is_ok(), offered);
                if let Ok((local, _)) = bound {
                    let state = State::Interdomain { remote: DomId(remote), remote_port: Port(port) };
                    self.opened(dom, local, state);
                    let back = State::Interdomain { remote: DomId(dom), remote_port: local };
                    self.model.insert((remote, port), back);
                }
            }
            Op::Virq { virq, vcpu } => {
                let Ok(line) = Virq::from_raw(virq) else { return };
                let state = State::Virq { virq: line };
                let free = !self.bound(dom, state, (!line.is_global()).then_some(vcpu));
                let exists = if line.is_global() { vcpu == 0 } else { vcpu < VCPUS };
                let port = self.tables[at].bind_virq(line, VcpuId(vcpu));
                assert_eq!(port.is_ok(), free && exists);
                port.into_iter().for_each(|port| self.opened(dom, port, state));
            }
            Op::Ipi { vcpu } => {
                let port = self.tables[at].bind_ipi(VcpuId(vcpu));
                assert_eq!(port.is_ok(), vcpu < VCPUS);
                port.into_iter().for_each(|port| self.opened(dom, port, State::Ipi));
            }
            Op::Close { port } => self.close(dom, port),
            Op::Send { port } => self.send(dom, port),
            Op::RaiseVirq { virq, vcpu } => {
                let _ = self.tables[at].raise_virq(Virq::from_raw(virq).unwrap(), VcpuId(vcpu));
            }
            Op::BindVcpu { port, vcpu } => {
                let fixed = match self.model.get(&(dom, port)) {
                    None | Some(State::Ipi) => true,
                    Some(State::Virq { virq }) => !virq.is_global(),
                    Some(_) => false,
                };
                let bound = self.tables[at].bind_vcpu(Port(port), VcpuId(vcpu));
                assert_eq!(bound.is_ok(), !fixed && vcpu < VCPUS);
            }
            Op::Priority { port, priority } => {
                let fifo = !self.guests[at].controls.is_empty();
                let open = self.model.contains_key(&(dom, port));
                let set = self.tables[at].set_priority(Port(port), priority);
                assert_eq!(set.is_ok(), fifo && open && priority < 16);
            }
            Op::Mask { port } => self.guests[at].set_mask(&self.tables[at], Port(port), true),
            Op::Unmask { port } => match self.tables[at].unmask(Port(port)) {
                Ok(_) => assert!(!self.guests[at].is_masked(&self.tables[at], Port(port))),
                Err(_) => assert!(!self.model.contains_key(&(dom, port))),
            },
            Op::Upcall { vcpu } => {
                if self.tables[at].upcall_pending(VcpuId(vcpu)) {
                    self.guests[at].upcall(&self.tables[at], VcpuId(vcpu));
                }
            }
            Op::Scribble { page, offset, bits } => self.scribble(at, page, offset, bits),
        }
    }

    fn close(&mut self, dom: u16, port: u32) {
        let at = usize::from(dom);
        let state = self.model.remove(&(dom, port));
        let peer = match self.tables[at].peer(Port(port)) {
            Ok(peer) => peer,
            Err(_) => return assert_eq!(state, None),
        };
        if let Some(State::Interdomain { remote, remote_port }) = state {
            assert_eq!(peer, (remote != DomId(dom)).then_some(remote));
            self.model.insert((remote.0, remote_port.0), State::Unbound { remote: DomId(dom) });
        }
        let other = peer.map_or(at, |p| usize::from(p.0));
        EventChannels::close(pair(&mut self.tables, at, other), Port(port)).unwrap();
    }

    fn send(&mut self, dom: u16, port: u32) {
        let state = self.model.get(&(dom, port)).copied();
        match self.tables[usize::from(dom)].route(Port(port)) {
            Ok(Route::Remote { dom: to, port: remote_port }) => {
                assert_eq!(state, Some(State::Interdomain { remote: to, remote_port }));
                let table = &mut self.tables[usize::from(to.0)];
                let _ = table.deliver((DomId(dom), Port(port)), remote_port);
                assert!(table.is_pending(remote_port));
            }
            Ok(Route::Delivered(_)) => assert!(matches!(
                state,
                Some(State::Ipi | State::Unbound { .. } | State::Interdomain { remote: DomId(_), .. })
            )),
            Err(_) => assert!(matches!(state, None | Some(State::Virq { .. }))),
        }
    }

    /// The guest flips bits anywhere it can reach.
    fn scribble(&self, at: usize, page: usize, offset: usize, bits: u32) {
        let guest = &self.guests[at];
        let controls = guest.controls.iter().flatten().map(|(page, _)| page);
        let pages: Vec<&TestPage> = core::iter::once(&self.tables[at].bits.two_level.shared)
            .chain(&guest.array)
            .chain(controls)
            .collect();
        let page = pages[page % pages.len()];
        page.store32(offset, page.load32(offset) ^ bits);
    }

    /// Takes every upcall that is due; afterwards no event may be left that its guest wants.
    fn drain(&mut self) {
        for (table, guest) in self.tables.iter().zip(&mut self.guests) {
            for vcpu in (0..VCPUS).map(VcpuId) {
                if table.upcall_pending(vcpu) {
                    guest.upcall(table, vcpu);
                }
            }
            for (port, status) in open_ports(table) {
                let left = table.is_pending(port) && !guest.is_masked(table, port);
                assert!(!left, "{port} ({status:?}) is pending, unmasked, and nobody was told");
            }
        }
    }

    fn check(&self) {
        for (dom, table) in (0..DOMS).zip(&self.tables) {
            let open: Vec<(u32, State)> = open_ports(table).map(|(p, s)| (p.0, s.state)).collect();
            let model: Vec<(u32, State)> =
                self.model.iter().filter(|((d, _), _)| *d == dom).map(|((_, p), s)| (*p, *s)).collect();
            assert_eq!(open, model, "d{dom}");
        }
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
    fn tables_agree_with_the_model_and_lose_no_event(
        fifo: bool,
        wide: bool,
        ops in collection::vec((0..DOMS, op()), 1..120),
    ) {
        let mut world = World::new(if wide { Layout::X64 } else { Layout::X32 }, fifo);
        for (dom, op) in &ops {
            world.step(*dom, op);
            world.check();
        }
        world.drain();
    }

    #[test]
    fn ports_that_change_queues_lose_no_event(
        fifo in prop_oneof![1 => Just(false), 4 => Just(true)],
        ops in collection::vec(moving_op(), 1..60),
    ) {
        let mut world = World::new(Layout::X64, fifo);
        for n in 0..LINES {
            world.step(0, &Op::Virq { virq: line(n).raw(), vcpu: 0 });
        }
        for op in &ops {
            world.step(0, op);
        }
        world.drain();
    }

    #[test]
    fn a_hostile_guest_changes_no_table(
        fifo: bool,
        wide: bool,
        ops in collection::vec((0..DOMS, hostile_op()), 1..120),
    ) {
        let mut world = World::new(if wide { Layout::X64 } else { Layout::X32 }, fifo);
        for (dom, op) in &ops {
            // The honest consumer does not survive its own vandalism.
            if !matches!(op, Op::Upcall { .. }) {
                world.step(*dom, op);
                world.check();
            }
        }
    }
}
