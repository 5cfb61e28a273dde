use std::vec::Vec;

use hypercall_abi::Plain;
use hypercall_abi::event_channel as abi;

use super::guest::Guest;
use super::{open_ports, pair, table, table_with, tables};
use crate::evtchn::{EventChannels, EvtchnError, Layout, State, Teardown, Virq};
use crate::fallible::fail_after;
use crate::ids::{DomId, Port, VcpuId};
use crate::page::TestPage;

#[test]
fn lines_are_bound_once_and_free_again_after_close() {
    let mut t = [table(1, Layout::X64)];
    let timer = t[0].bind_virq(Virq::TIMER, VcpuId(1)).unwrap();
    assert_eq!(timer, Port(1), "port 0 is never handed out");
    assert_eq!(t[0].bind_virq(Virq::TIMER, VcpuId(1)), Err(EvtchnError::VirqBound(timer)));
    assert_eq!(t[0].bind_virq(Virq::TIMER, VcpuId(9)), Err(EvtchnError::NoVcpu(VcpuId(9))));
    assert_eq!(t[0].bind_virq(Virq::DOM_EXC, VcpuId(1)), Err(EvtchnError::GlobalVirq(3)));
    assert_eq!(t[0].bind_vcpu(timer, VcpuId(0)), Err(EvtchnError::WrongKind(timer)));
    let global = t[0].bind_virq(Virq::DOM_EXC, VcpuId(0)).unwrap();
    assert_eq!(t[0].bind_vcpu(global, VcpuId(2)), Ok(()));
    assert_eq!(t[0].raise_virq(Virq::DOM_EXC, VcpuId(1)).upcall, Some(VcpuId(2)));
    for port in [timer, global] {
        assert_eq!(EventChannels::close(pair(&mut t, 0, 0), port), Ok(()));
        assert_eq!(EventChannels::close(pair(&mut t, 0, 0), port), Err(EvtchnError::NotOpen(port)));
    }
    assert!(t[0].bind_virq(Virq::TIMER, VcpuId(1)).is_ok());
    assert!(t[0].bind_virq(Virq::DOM_EXC, VcpuId(0)).is_ok());
    assert!(Virq::from_raw(23).is_ok() && Virq::from_raw(24).is_err());
}

#[test]
fn closing_one_end_reopens_the_other() {
    let mut d = tables(3, Layout::X64);
    let offered = d[0].alloc_unbound(DomId(1)).unwrap();
    let (port, _) = EventChannels::bind_interdomain(pair(&mut d, 1, 0), offered).unwrap();
    assert_eq!(d[1].peer(port), Ok(Some(DomId(0))));
    assert_eq!(EventChannels::close(pair(&mut d, 1, 2), port), Err(EvtchnError::Raced(port)));
    assert_eq!(EventChannels::close(pair(&mut d, 1, 0), port), Ok(()));
    assert_eq!(d[0].status(offered).unwrap().state, State::Unbound { remote: DomId(1) });
    assert!(EventChannels::bind_interdomain(pair(&mut d, 1, 0), offered).is_ok());
}

#[test]
fn a_loopback_channel_needs_one_table() {
    let mut d = tables(1, Layout::X64);
    let offered = d[0].alloc_unbound(DomId(0)).unwrap();
    let (port, _) = EventChannels::bind_interdomain(pair(&mut d, 0, 0), offered).unwrap();
    d[0].route(port).unwrap();
    assert!(d[0].is_pending(offered));
    assert_eq!(d[0].peer(port), Ok(None));
    EventChannels::close(pair(&mut d, 0, 0), offered).unwrap();
    assert_eq!(d[0].status(port).unwrap().state, State::Unbound { remote: DomId(0) });
}

/// Closes everything as a caller does, `budget` ports at a time; returns the number of steps.
fn teardown(d: &mut [super::Table], dom: usize, budget: u32) -> usize {
    let mut from = Port(0);
    for step in 1.. {
        match d[dom].close_all(from, budget) {
            Teardown::Done => return step,
            Teardown::More { from: next } => {
                assert!(next > from);
                from = next;
            }
            Teardown::Close { port, remote } => {
                EventChannels::close(pair(d, dom, remote.0.into()), port).unwrap();
                from = port;
            }
        }
    }
    unreachable!()
}

#[test]
fn destruction_leaves_no_port_open_anywhere() {
    let mut d = tables(3, Layout::X64);
    let offers: Vec<Port> = (0..100).map(|n| d[n % 3].alloc_unbound(DomId(1)).unwrap()).collect();
    for (n, offer) in offers.into_iter().enumerate() {
        let _ = EventChannels::bind_interdomain(pair(&mut d, 1, n % 3), offer).unwrap();
    }
    d[1].begin_destroy();
    assert_eq!(d[1].bind_ipi(VcpuId(0)), Err(EvtchnError::Dying(DomId(1))));
    let offer = d[1].alloc_unbound(DomId(0));
    assert_eq!(offer, Err(EvtchnError::Dying(DomId(1))));
    assert!(teardown(&mut d, 1, 8) > 100 / 3);
    assert_eq!(open_ports(&d[1]).count(), 0);
    assert!(open_ports(&d[0]).all(|(_, s)| s.state == State::Unbound { remote: DomId(1) }));
    assert_eq!(open_ports(&d[0]).count(), 34);
}

#[test]
fn nobody_connects_to_a_dying_domain() {
    let mut d = tables(2, Layout::X64);
    let offer = d[0].alloc_unbound(DomId(1)).unwrap();
    d[0].begin_destroy();
    let error = EventChannels::bind_interdomain(pair(&mut d, 1, 0), offer).unwrap_err();
    assert_eq!(error, EvtchnError::Dying(DomId(0)));
}

#[test]
fn reset_goes_back_to_the_2_level_abi() {
    let mut d = [table_with(0, Layout::X64, 2, 131_071)];
    let mut guest = Guest::default();
    let _ = guest.use_fifo(&mut d[0], 2, 1);
    let port = d[0].bind_ipi(VcpuId(0)).unwrap();
    d[0].route(port).unwrap();
    teardown(&mut d, 0, 1000);
    d[0].reset_abi();
    assert_eq!(d[0].expand_array(TestPage::default()), Err(EvtchnError::NoControlBlock));
    let mut guest = Guest::default();
    let _ = guest.use_fifo(&mut d[0], 2, 1);
    let port = d[0].bind_ipi(VcpuId(0)).unwrap();
    d[0].route(port).unwrap();
    guest.upcall(&d[0], VcpuId(0));
    assert_eq!(guest.taken, [port]);
}

#[test]
fn limits_are_the_domains_own() {
    let mut t = table_with(1, Layout::X64, 1, 70);
    for n in 1..=70 {
        assert_eq!(t.bind_ipi(VcpuId(0)), Ok(Port(n)));
    }
    assert_eq!(t.bind_ipi(VcpuId(0)), Err(EvtchnError::Full { end: 71 }));
    assert_eq!(t.status(Port(70)).unwrap().state, State::Ipi);
    assert_eq!(t.status(Port(4096)), Err(EvtchnError::NotOpen(Port(4096))));
    assert_eq!(t.status(Port(0)).unwrap().state, State::Reserved);
}

#[test]
fn a_full_heap_refuses_and_changes_nothing() {
    let mut d = tables(2, Layout::X64);
    for left in 0..2 {
        fail_after(Some(left));
        assert_eq!(d[0].alloc_unbound(DomId(1)), Err(EvtchnError::NoMemory));
        assert_eq!(d[0].bind_virq(Virq::TIMER, VcpuId(0)), Err(EvtchnError::NoMemory));
    }
    fail_after(None);
    let offer = d[0].alloc_unbound(DomId(1)).unwrap();
    fail_after(Some(0));
    let error = EventChannels::bind_interdomain(pair(&mut d, 1, 0), offer).unwrap_err();
    let fifo = d[0].init_control(VcpuId(0), TestPage::default(), 0);
    fail_after(None);
    assert_eq!(error, EvtchnError::NoMemory);
    assert_eq!(fifo, Err(EvtchnError::NoMemory));
    assert_eq!(d[0].status(offer).unwrap().state, State::Unbound { remote: DomId(1) });
    assert!(d[0].bind_virq(Virq::TIMER, VcpuId(0)).is_ok());
}

#[test]
fn status_reads_as_the_interface_says() {
    let mut d = tables(2, Layout::X64);
    let offered = d[0].alloc_unbound(DomId(1)).unwrap();
    let unbound = wire(&d[0], offered);
    assert_eq!((unbound.status, unbound.vcpu, unbound.u.get::<u16>()), (abi::STATUS_UNBOUND, 0, 1));
    let (port, _) = EventChannels::bind_interdomain(pair(&mut d, 1, 0), offered).unwrap();
    let end = wire(&d[0], offered).u.get::<abi::StatusInterdomain>();
    assert_eq!((end.dom, end.port), (1, port.0));
    let ipi = d[0].bind_ipi(VcpuId(2)).unwrap();
    assert_eq!((wire(&d[0], ipi).status, wire(&d[0], ipi).vcpu), (abi::STATUS_IPI, 2));
    let virq = d[0].bind_virq(Virq::DOM_EXC, VcpuId(0)).unwrap();
    assert_eq!((wire(&d[0], virq).status, wire(&d[0], virq).u.get::<u32>()), (abi::STATUS_VIRQ, 3));
    assert_eq!(wire(&d[0], Port(0)).status, abi::STATUS_CLOSED);
}

fn wire(table: &super::Table, port: Port) -> abi::Status {
    let mut out = abi::Status::zeroed();
    out.u.set([u32::MAX; 2]);
    table.status(port).unwrap().write_to(&mut out);
    out
}
