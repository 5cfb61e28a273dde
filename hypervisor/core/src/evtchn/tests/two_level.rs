use std::vec;

use super::guest::Guest;
use super::{Table, pair, table, table_with, tables};
use crate::evtchn::{EventChannels, EvtchnError, Layout, Poll, Route, Virq, Wake, Woken};
use crate::ids::{DomId, Port, VcpuId};
use crate::page::{GuestPage, TestPage};

fn upcall(vcpu: u32) -> Wake {
    Wake { upcall: Some(VcpuId(vcpu)), more: false }
}

#[test]
fn an_event_sets_its_three_bits_and_asks_once() {
    let mut t = table(1, Layout::X64);
    let port = t.bind_ipi(VcpuId(1)).unwrap();
    assert_eq!(t.route(port), Ok(Route::Delivered(upcall(1))));
    assert_eq!(t.bits.two_level.shared.load64(2048), 1 << port.0);
    assert_eq!(t.bits.two_level.shared.load64(64 + 8), 1);
    assert!(t.upcall_pending(VcpuId(1)) && !t.upcall_pending(VcpuId(0)));
    assert_eq!(t.route(port), Ok(Route::Delivered(Wake::NOBODY)), "it is pending already");
}

#[test]
fn a_masked_event_waits_for_unmask() {
    let mut t = table(1, Layout::X32);
    let guest = Guest::default();
    let port = t.bind_virq(Virq::TIMER, VcpuId(2)).unwrap();
    guest.set_mask(&t, port, true);
    assert_eq!(t.raise_virq(Virq::TIMER, VcpuId(2)), Wake::NOBODY);
    assert!(t.is_pending(port) && Guest::default().is_masked(&t, port));
    assert_eq!(t.unmask(port), Ok(upcall(2)));
    assert_eq!(t.unmask(port), Ok(Wake::NOBODY));
}

#[test]
fn an_interdomain_event_takes_two_steps() {
    let mut d = tables(2, Layout::X64);
    let offered = d[0].alloc_unbound(DomId(1)).unwrap();
    assert_eq!(
        EventChannels::bind_interdomain(pair(&mut d, 1, 1), offered).unwrap_err(),
        EvtchnError::NotOffered { dom: DomId(1), port: offered }
    );
    let (port, wake) = EventChannels::bind_interdomain(pair(&mut d, 1, 0), offered).unwrap();
    assert_eq!(wake, upcall(0), "a new connection is pending at once");
    assert_eq!(d[1].route(port), Ok(Route::Remote { dom: DomId(0), port: offered }));
    assert_eq!(d[0].deliver((DomId(1), Port(9)), offered), Wake::NOBODY, "not the other end");
    assert_eq!(d[0].deliver((DomId(1), port), offered), upcall(0));
}

#[test]
fn an_event_in_flight_is_dropped_when_its_channel_closes() {
    let mut d = tables(2, Layout::X64);
    let offered = d[0].alloc_unbound(DomId(1)).unwrap();
    let (port, _) = EventChannels::bind_interdomain(pair(&mut d, 1, 0), offered).unwrap();
    d[1].route(port).unwrap();
    EventChannels::close(pair(&mut d, 0, 1), offered).unwrap();
    assert_eq!(d[0].bind_ipi(VcpuId(0)), Ok(offered), "the number is used again");
    assert_eq!(d[0].deliver((DomId(1), port), offered), Wake::NOBODY);
    assert!(!d[0].is_pending(offered));
    assert_eq!(d[1].route(port), Ok(Route::Delivered(Wake::NOBODY)), "nobody is connected");
}

#[test]
fn vcpus_without_info_find_all_their_events_when_they_register_one() {
    let mut t = table_with(1, Layout::X64, 34, 4095);
    let port = t.bind_ipi(VcpuId(33)).unwrap();
    assert_eq!(t.route(port), Ok(Route::Delivered(Wake::NOBODY)));
    assert!(t.is_pending(port) && !t.upcall_pending(VcpuId(33)));
    let page = TestPage::default();
    let bad = [(4, EvtchnError::BadOffset(4)), (4096 - 56, EvtchnError::BadOffset(4096 - 56))];
    for (offset, error) in bad {
        assert_eq!(t.register_vcpu_info(VcpuId(33), page.clone(), offset), Err(error));
    }
    assert_eq!(t.register_vcpu_info(VcpuId(33), page.clone(), 4096 - 64), Ok(upcall(33)));
    assert_eq!(t.register_vcpu_info(VcpuId(33), page, 0), Err(EvtchnError::InfoBound(VcpuId(33))));
    let mut guest = Guest::default();
    guest.upcall(&t, VcpuId(33));
    assert_eq!(guest.taken, [port]);
    assert_eq!(t.route(port), Ok(Route::Delivered(upcall(33))));
}

#[test]
fn a_moved_info_keeps_what_was_in_it() {
    let mut t = table(1, Layout::X32);
    t.bits.two_level.shared.store64(32, 0x1234_5678_9abc);
    let page = TestPage::default();
    let _ = t.register_vcpu_info(VcpuId(0), page.clone(), 100).unwrap();
    let mut time = [0; 8];
    page.read(100 + 32, &mut time);
    assert_eq!(u64::from_le_bytes(time), 0x1234_5678_9abc);
    assert_eq!(page.load32(100 + 4), u32::MAX);
}

#[test]
fn ports_past_a_narrowed_layout_touch_nothing() {
    let mut t = table(1, Layout::X64);
    let ports: vec::Vec<Port> = (1..1100).map(|_| t.bind_ipi(VcpuId(0)).unwrap()).collect();
    t.set_layout(Layout::X32);
    let before = page_bytes(&t);
    for port in &ports[1023..] {
        assert_eq!(t.route(*port), Ok(Route::Delivered(Wake::NOBODY)));
        assert_eq!(t.unmask(*port), Ok(Wake::NOBODY));
    }
    assert_eq!(before, page_bytes(&t));
    assert_eq!(t.bind_ipi(VcpuId(0)), Err(EvtchnError::Full { end: 1024 }));
}

fn page_bytes(t: &Table) -> vec::Vec<u8> {
    let mut bytes = vec![0; 4096];
    t.bits.two_level.shared.read(0, &mut bytes);
    bytes
}

#[test]
fn a_poll_ends_with_its_event_even_a_masked_one() {
    let mut t = table(1, Layout::X64);
    let guest = Guest::default();
    let (a, b) = (t.bind_ipi(VcpuId(0)).unwrap(), t.bind_ipi(VcpuId(0)).unwrap());
    for port in [a, b] {
        guest.set_mask(&t, port, true);
    }
    assert_eq!(t.poll(VcpuId(1), &[a]), Ok(Poll::Waiting));
    assert_eq!(t.poll(VcpuId(2), &[a, b]), Ok(Poll::Waiting));
    assert_eq!(t.route(b), Ok(Route::Delivered(Wake { upcall: None, more: true })));
    assert_eq!(t.next_woken(), Some((VcpuId(2), Woken::Poll)));
    assert_eq!(t.next_woken(), None);
    assert_eq!(t.poll(VcpuId(2), &[a, b]), Ok(Poll::Ready));
    assert_eq!(t.route(a), Ok(Route::Delivered(Wake { upcall: None, more: true })));
    assert_eq!(t.next_woken(), Some((VcpuId(1), Woken::Poll)));
    assert_eq!(t.poll(VcpuId(1), &[Port(4000)]), Err(EvtchnError::NotOpen(Port(4000))));
    t.poll_done(VcpuId(1));
    t.poll_done(VcpuId(2));
}
