//! Domains that are created, paused, talked to, ballooned, mapped and ended, in any order: in the end all is free again,
//! and the control domain knows each channel that is left.

use super::few_cases;
use hypercall_abi::abi::{Handle64, X64};
use hypercall_abi::domctl;
use hypercall_abi::event_channel as evt;
use hypercall_abi::memory as mem;
use hypercall_abi::plain::Plain;
use hypercall_abi::sched;
use hypercall_abi::vcpu;
use hypercall_abi::xen as nr;
use hypercall_abi::xen::DOMID_SELF;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::rig::*;

/// The control domain, among the actors; the others are guests.
const CONTROL: usize = 2;
/// Where the control domain maps foreign frames.
const FOREIGN: u64 = 0x4000;

#[derive(Clone, Copy, Debug)]
enum Deed {
    Offer { to: usize },
    Bind { from: usize, port: u32 },
    Virq { virq: u32 },
    Send { port: u32 },
    Close { port: u32 },
    Fifo { gfn: u64 },
    Reset,
    Give { gfn: u64 },
    Take { gfn: u64 },
    Move { gfn: u64, to: u64 },
    Shared { gfn: u64 },
    VcpuInfo { gfn: u64 },
    Area { gfn: u64 },
    Foreign { of: usize, gfn: u64 },
    Pause { who: usize },
    Unpause { who: usize },
    Shutdown,
    Resume { who: usize },
    Destroy { who: usize },
    Create { who: usize },
}

fn deed() -> impl Strategy<Value = Deed> {
    use Deed::*;
    let who = 0..CONTROL;
    let gfn = 0x1a0..0x1a8u64;
    let port = 0..12u32;
    prop_oneof![
        3 => (0..3usize).prop_map(|to| Offer { to }),
        5 => (0..3usize, port.clone()).prop_map(|(from, port)| Bind { from, port }),
        1 => (0..5u32).prop_map(|virq| Virq { virq }),
        4 => port.clone().prop_map(|port| Send { port }),
        2 => port.prop_map(|port| Close { port }),
        1 => gfn.clone().prop_map(|gfn| Fifo { gfn }),
        1 => Just(Reset),
        3 => gfn.clone().prop_map(|gfn| Give { gfn }),
        3 => gfn.clone().prop_map(|gfn| Take { gfn }),
        2 => (gfn.clone(), gfn.clone()).prop_map(|(gfn, to)| Move { gfn, to }),
        1 => gfn.clone().prop_map(|gfn| Shared { gfn }),
        1 => gfn.clone().prop_map(|gfn| VcpuInfo { gfn }),
        1 => gfn.clone().prop_map(|gfn| Area { gfn }),
        4 => (who.clone(), gfn).prop_map(|(of, gfn)| Foreign { of, gfn }),
        1 => who.clone().prop_map(|who| Pause { who }),
        1 => who.clone().prop_map(|who| Unpause { who }),
        1 => Just(Shutdown),
        1 => who.clone().prop_map(|who| Resume { who }),
        1 => who.clone().prop_map(|who| Destroy { who }),
        2 => who.prop_map(|who| Create { who }),
    ]
}

struct Scene {
    rig: Rig,
    guests: [Option<Caller>; CONTROL],
    before: (u64, usize),
}

impl Scene {
    fn new() -> Self {
        let rig = Rig::new();
        rig.destroy(rig.create(1));
        let before = rig.holdings();
        Self { rig, guests: [None, None], before }
    }

    /// The number of an actor, or one that nobody has.
    fn id(&self, who: usize) -> u16 {
        match self.guests.get(who) {
            None => 0,
            Some(None) => 0x1234,
            Some(Some(guest)) => guest.domain().id.0,
        }
    }

    fn memory<T: Plain>(&self, by: &Caller, op: u32, mut arg: T) {
        self.rig.op(by, nr::HYPERCALL_MEMORY_OP, op, &mut arg);
    }

    fn event<T: Plain>(&self, by: &Caller, op: u32, mut arg: T) {
        self.rig.op(by, nr::HYPERCALL_EVENT_CHANNEL_OP, op, &mut arg);
    }

    fn extent(&self, by: &Caller, op: u32, gfn: u64) {
        let extent_start = Handle64::from_raw(by.put(&gfn));
        let extent = mem::Reservation::<X64> {
            extent_start,
            nr_extents: 1,
            domid: DOMID_SELF,
            ..mem::Reservation::default()
        };
        self.memory(by, op, extent);
    }

    fn command(&self, cmd: u32, who: usize) {
        // Refusals are as good as anything.
        let _ = self.rig.ctl(cmd, self.id(who), [0u64; 0]);
    }

    fn act(&mut self, who: usize, deed: Deed) {
        let by = match self.guests.get(who) {
            None => &self.rig.control,
            Some(None) => return,
            Some(Some(guest)) => guest,
        };
        let guest = who != CONTROL;
        match deed {
            Deed::Offer { to } => {
                self.event(
                    by,
                    evt::OP_ALLOC_UNBOUND,
                    evt::AllocUnbound { dom: DOMID_SELF, remote_dom: self.id(to), port: 0 },
                );
            }
            Deed::Bind { from, port } => {
                let bind =
                    evt::BindInterdomain { remote_dom: self.id(from), remote_port: port, ..Plain::zeroed() };
                self.event(by, evt::OP_BIND_INTERDOMAIN, bind);
            }
            Deed::Virq { virq } => {
                self.event(by, evt::OP_BIND_VIRQ, evt::BindVirq { virq, vcpu: 0, port: 0 })
            }
            Deed::Send { port } => self.event(by, evt::OP_SEND, evt::Send { port }),
            Deed::Close { port } => self.event(by, evt::OP_CLOSE, evt::Close { port }),
            Deed::Reset => self.event(by, evt::OP_RESET, evt::Reset { dom: DOMID_SELF }),
            Deed::Foreign { of, gfn } if !guest => {
                let (idxs, gpfns) = (by.put(&gfn), by.put(&(FOREIGN | gfn & 3)));
                let errs = by.put(&0i32);
                let batch = mem::AddToPhysmapBatch::<X64> {
                    domid: DOMID_SELF,
                    space: mem::MAPSPACE_GMFN_FOREIGN as u16,
                    size: 1,
                    foreign_domid: self.id(of),
                    idxs: Handle64::from_raw(idxs),
                    gpfns: Handle64::from_raw(gpfns),
                    errs: Handle64::from_raw(errs),
                };
                self.memory(by, mem::ADD_TO_PHYSMAP_BATCH, batch);
            }
            Deed::Pause { who } if !guest => self.command(domctl::PAUSEDOMAIN, who),
            Deed::Unpause { who } if !guest => self.command(domctl::UNPAUSEDOMAIN, who),
            Deed::Resume { who } if !guest => self.command(domctl::RESUMEDOMAIN, who),
            Deed::Destroy { who } if !guest => {
                self.command(domctl::DESTROYDOMAIN, who);
                self.guests[who] = None;
            }
            Deed::Create { who } if !guest && self.guests[who].is_none() => {
                self.guests[who] = Some(self.rig.guest(1));
            }
            _ if !guest => {}
            Deed::Fifo { gfn } => {
                self.event(
                    by,
                    evt::OP_INIT_CONTROL,
                    evt::InitControl { control_gfn: gfn, ..Plain::zeroed() },
                );
                self.event(by, evt::OP_EXPAND_ARRAY, evt::ExpandArray { array_gfn: gfn + 1 });
            }
            Deed::Give { gfn } => self.extent(by, mem::DECREASE_RESERVATION, gfn),
            Deed::Take { gfn } => self.extent(by, mem::POPULATE_PHYSMAP, gfn),
            Deed::Move { gfn, to } => {
                let add = mem::AddToPhysmap::<X64> {
                    domid: DOMID_SELF,
                    space: mem::MAPSPACE_GMFN,
                    idx: gfn,
                    gpfn: to,
                    ..Plain::zeroed()
                };
                self.memory(by, mem::ADD_TO_PHYSMAP, add);
            }
            Deed::Shared { gfn } => {
                let add = mem::AddToPhysmap::<X64> {
                    domid: DOMID_SELF,
                    space: mem::MAPSPACE_SHARED_INFO,
                    gpfn: gfn,
                    ..Plain::zeroed()
                };
                self.memory(by, mem::ADD_TO_PHYSMAP, add);
            }
            Deed::VcpuInfo { gfn } => {
                let at = by.put(&vcpu::RegisterVcpuInfo { mfn: gfn, offset: 64, rsvd: 0 });
                self.rig.call(by, nr::HYPERCALL_VCPU_OP, &[vcpu::OP_REGISTER_VCPU_INFO.into(), 0, at]);
            }
            Deed::Area { gfn } => {
                // Across a page's end.
                let at = by.put(&vcpu::RegisterTimeMemoryArea { addr: (gfn << 12) - 8 });
                self.rig.call(
                    by,
                    nr::HYPERCALL_VCPU_OP,
                    &[vcpu::OP_REGISTER_VCPU_TIME_MEMORY_AREA.into(), 0, at],
                );
            }
            Deed::Shutdown => {
                self.rig.op(
                    by,
                    nr::HYPERCALL_SCHED_OP,
                    sched::OP_SHUTDOWN,
                    &mut sched::Shutdown { reason: 1 },
                );
            }
            _ => {}
        }
    }

    /// Ends the guests and what the control domain has of them.
    fn end(&mut self) {
        for guest in self.guests.iter_mut().filter_map(Option::take) {
            let id = guest.domain().id.0;
            drop(guest);
            self.rig.destroy(id);
        }
        for gpfn in FOREIGN..FOREIGN + 4 {
            let remove = mem::RemoveFromPhysmap::<X64> { domid: DOMID_SELF, gpfn, ..Plain::zeroed() };
            self.memory(&self.rig.control, mem::REMOVE_FROM_PHYSMAP, remove);
        }
        self.rig.hv.bury_the_dead();
    }

    /// No port of the control domain is bound to a domain that is gone.
    fn channels_are_known(&self) {
        for port in 1..64 {
            let mut status = evt::Status { dom: DOMID_SELF, port, ..Plain::zeroed() };
            let result =
                self.rig.op(&self.rig.control, nr::HYPERCALL_EVENT_CHANNEL_OP, evt::OP_STATUS, &mut status);
            if result == 0 && status.status == evt::STATUS_INTERDOMAIN {
                let to: evt::StatusInterdomain = status.u.get();
                assert!(self.rig.hv.domain(crate::ids::DomId(to.dom)).is_some(), "{status:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(few_cases())]

    #[test]
    fn everything_comes_back(deeds in prop::collection::vec((0..3usize, deed()), 1..120)) {
        let mut scene = Scene::new();
        for who in 0..CONTROL {
            scene.act(CONTROL, Deed::Create { who });
        }
        for (who, deed) in deeds {
            scene.act(who, deed);
        }
        scene.channels_are_known();
        scene.end();
        scene.channels_are_known();
        prop_assert_eq!(scene.rig.holdings(), scene.before);
        let domains: Vec<_> = scene.rig.hv.domain_from(crate::ids::DomId(1)).into_iter().collect();
        prop_assert!(domains.is_empty());
    }
}
