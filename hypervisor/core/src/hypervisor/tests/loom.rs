//! A domain is destroyed while others use it: every interleaving, as far as it takes three preemptions.
//!
//! Everything here is the real code on the test machine. Loom sees all locks, the counts of references to frames, the
//! stage of a domain's life and the scheduler; it takes the tally of a domain's frames and `Arc`'s counts as they are.

use std::sync::Arc;

use hypercall_abi::grant_table::EntryFlags;
use loom::model::Builder;
use loom::thread::{self, JoinHandle};

use super::Hypervisor;
use crate::cpuid::Policy;
use crate::domain::{Domain, DomainConfig, DomainRef, MAX_ENDING};
use crate::evtchn::{EventChannels, State};
use crate::frame::Gfn;
use crate::frames::{FrameRef, Frames};
use crate::gnttab::{Access, Content, GrantRef, MapRequest, Version};
use crate::ids::{DomId, Port};
use crate::machine::CpuMask;
use crate::machine::test::TestMachine;
use crate::p2m::Progress;
use crate::page::GuestPage;

const USER: DomId = DomId(1);
const DYING: DomId = DomId(2);
/// The guest frame with memory.
const PAGE: Gfn = Gfn(0);
/// A guest frame without.
const HOLE: Gfn = Gfn(1);
const GRANT: GrantRef = GrantRef(8);

/// Two domains with a page each. The second one grants it to the first, and they have an event channel.
struct Model {
    machine: TestMachine,
    hv: Hypervisor<TestMachine>,
    user: DomainRef<TestMachine>,
    /// The ports of the channel: of the user, and of the other.
    ports: (Port, Port),
    /// Free frames before there was the other.
    free: u64,
}

fn domain(hv: &Hypervisor<TestMachine>, id: DomId) -> DomainRef<TestMachine> {
    let machine = hv.machine;
    let config = DomainConfig {
        handle: [0; 16],
        max_vcpus: 1,
        max_evtchn_port: 7,
        max_grant_frames: 1,
        max_grant_version: Version::Two,
        max_maptrack_frames: 1,
        flags: 0,
        max_frames: 1,
    };
    let policy = Policy::for_domain(machine, true, id, 1);
    let domain = Domain::new(machine, id, config, policy, None).unwrap();
    let page = FrameRef::alloc_ram_run(machine, id, 0, config.max_frames).unwrap();
    domain.memory.map_run(PAGE, page, 0, || ()).unwrap();
    hv.add_domain(&domain).unwrap();
    domain
}

impl Model {
    fn new() -> Arc<Self> {
        let machine = TestMachine::new(8);
        let hv = Hypervisor::new(machine, true, CpuMask(1), CpuMask(0)).unwrap();
        let user = domain(&hv, USER);
        let free = machine.table().free_frames();
        let dying = domain(&hv, DYING);
        let there = dying.events.lock().alloc_unbound(USER).unwrap();
        let bound = hv.with_events_of(&user, &dying, |pair| EventChannels::bind_interdomain(pair, there));
        let entry = u64::from(EntryFlags::PERMIT_ACCESS.bits()) | u64::from(USER.0) << 16 | PAGE.0 << 32;
        machine
            .page(&dying.grant_frame(machine, Content::Entries, 0).unwrap())
            .store64(GRANT.0 as usize * 8, entry);
        Arc::new(Self { machine, hv, user, ports: (bound.unwrap().0, there), free })
    }

    /// Does something on another CPU.
    fn spawn(self: &Arc<Self>, f: impl FnOnce(&Self) + 'static) -> JoinHandle<()> {
        let model = self.clone();
        thread::spawn(move || f(&model))
    }

    fn destroy(&self) {
        if let Some(domain) = self.hv.domain(DYING) {
            while self.hv.destroy_step(&domain) == Progress::More {}
        }
    }

    /// Nothing is left of it.
    fn is_gone(&self) {
        assert!(self.hv.domain(DYING).is_none(), "it stays in the table");
        assert_eq!(self.machine.table().owned_by(DYING), 0);
        assert_eq!(self.machine.table().free_frames(), self.free);
    }
}

fn model(f: impl Fn(Arc<Model>) + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.max_branches = 10_000;
    builder.check(move || f(Model::new()));
}

#[test]
fn an_event_is_sent_to_a_domain_that_is_destroyed() {
    model(|model| {
        let sender = model.spawn(|model| model.hv.send_event(&model.user, model.ports.0).unwrap());
        model.destroy();
        sender.join().unwrap();
        model.is_gone();
        let end = model.user.events.lock().status(model.ports.0).unwrap();
        assert_eq!(end.state, State::Unbound { remote: DYING });
        model.hv.send_event(&model.user, model.ports.0).unwrap();
    });
}

#[test]
fn both_ends_of_a_channel_close() {
    model(|model| {
        let closer = model.spawn(|model| {
            let Some(peer) = model.hv.domain(DYING) else { return };
            let closed =
                model.hv.with_events_of(&model.user, &peer, |pair| EventChannels::close(pair, model.ports.0));
            assert_eq!(closed, Ok(()));
        });
        model.destroy();
        closer.join().unwrap();
        model.is_gone();
    });
}

#[test]
fn a_grant_is_mapped_and_unmapped_while_its_domain_is_destroyed() {
    model(|model| {
        let user = model.spawn(|model| {
            let request = MapRequest { granter: DYING, gref: GRANT, access: Access::Write, at: HOLE };
            let Ok(mapped) = model.hv.map_grant(&model.user, &request) else { return };
            let mapping = model.user.maptrack.lock().take(mapped.handle, HOLE).unwrap();
            assert_eq!(model.machine.table().owned_by(DYING), 1, "the page is somebody else's");
            let mut ending = [const { None }; MAX_ENDING];
            ending[0] = Some(mapping);
            model.hv.end_mappings(&model.user, ending);
        });
        model.destroy();
        user.join().unwrap();
        model.is_gone();
    });
}

#[test]
fn a_mapped_page_is_given_back_while_its_domain_is_destroyed() {
    model(|model| {
        let request = MapRequest { granter: DYING, gref: GRANT, access: Access::Write, at: HOLE };
        let mapped = model.hv.map_grant(&model.user, &request).unwrap();
        let user = model.spawn(move |model| {
            let mapping = model.user.maptrack.lock().take(mapped.handle, HOLE).unwrap();
            let mut ending = [const { None }; MAX_ENDING];
            ending[0] = Some(mapping);
            model.hv.end_mappings(&model.user, ending);
        });
        model.destroy();
        user.join().unwrap();
        model.is_gone();
    });
}

#[test]
fn a_call_holds_a_page_of_a_domain_that_is_destroyed() {
    model(|model| {
        let caller = model.spawn(|model| {
            let Some(domain) = model.hv.domain(DYING) else { return };
            let Ok(page) = domain.memory.own_page(PAGE) else { return };
            assert_eq!(model.machine.table().owned_by(DYING), 1, "the page is somebody else's");
            drop(page);
            drop(domain);
            model.hv.bury_the_dead();
        });
        model.destroy();
        caller.join().unwrap();
        model.is_gone();
    });
}
