use super::guest::Guest;
use super::{VCPUS, line, table, table_with};
use crate::evtchn::{EvtchnError, Layout, Route, Virq, Wake, Woken};
use crate::ids::{Port, VcpuId};
use crate::page::TestPage;

#[test]
fn events_come_in_order_of_priority_then_of_arrival() {
    let mut t = table(1, Layout::X64);
    let mut guest = Guest::default();
    assert!(!guest.use_fifo(&mut t, VCPUS, 1).more);
    let ports = [(); 5].map(|()| t.bind_ipi(VcpuId(0)).unwrap());
    t.set_priority(ports[3], 0).unwrap();
    t.set_priority(ports[0], 15).unwrap();
    for port in ports {
        t.route(port).unwrap();
        t.route(port).unwrap();
    }
    guest.upcall(&t, VcpuId(0));
    assert_eq!(guest.taken, [ports[3], ports[1], ports[2], ports[4], ports[0]]);
    assert!(ports.iter().all(|p| !t.is_pending(*p)));
}

#[test]
fn a_port_that_moves_does_not_drag_its_old_queue_along() {
    let mut t = table(1, Layout::X64);
    let mut guest = Guest::default();
    let _ = guest.use_fifo(&mut t, VCPUS, 1);
    let [a, b, c] = [0, 1, 2].map(|n| t.bind_virq(line(n), VcpuId(0)).unwrap());
    let _ = t.raise_virq(line(0), VcpuId(0));
    guest.upcall(&t, VcpuId(0));
    // `a` is the consumed tail of vCPU 0's queue and now heads vCPU 1's, followed by `b`.
    t.bind_vcpu(a, VcpuId(1)).unwrap();
    t.bind_vcpu(b, VcpuId(1)).unwrap();
    let _ = t.raise_virq(line(0), VcpuId(0));
    let _ = t.raise_virq(line(1), VcpuId(0));
    assert_eq!(t.raise_virq(line(2), VcpuId(0)), Wake { upcall: Some(VcpuId(0)), more: false });
    guest.upcall(&t, VcpuId(1));
    assert_eq!(guest.taken, [a, a, b]);
    guest.upcall(&t, VcpuId(0));
    assert_eq!(guest.taken, [a, a, b, c]);
}

#[test]
fn events_before_the_array_page_wait_for_it() {
    let mut t = table(1, Layout::X64);
    let timer = t.bind_virq(Virq::TIMER, VcpuId(1)).unwrap();
    let ipi = t.bind_ipi(VcpuId(2)).unwrap();
    assert_eq!(t.raise_virq(Virq::TIMER, VcpuId(1)).upcall, Some(VcpuId(1)));
    let mut guest = Guest::default();
    guest.init_control(&mut t, 1);
    guest.init_control(&mut t, 2);
    // The flag of the 2-level time is still set; a guest clears it with its first upcall.
    guest.upcall(&t, VcpuId(1));
    assert!(t.is_pending(timer));
    assert_eq!(t.route(ipi), Ok(Route::Delivered(Wake::NOBODY)));
    let page = TestPage::default();
    guest.array.push(page.clone());
    assert_eq!(t.expand_array(page), Ok(Wake { upcall: None, more: true }));
    assert_eq!(t.next_woken(), Some((VcpuId(1), Woken::Upcall)));
    assert_eq!(t.next_woken(), Some((VcpuId(2), Woken::Upcall)));
    assert_eq!(t.next_woken(), None);
    guest.upcall(&t, VcpuId(2));
    guest.upcall(&t, VcpuId(1));
    assert_eq!(guest.taken, [ipi, timer]);
}

#[test]
fn bad_arguments_are_refused_by_name() {
    let mut t = table_with(1, Layout::X64, 2, 131_071);
    assert_eq!(t.expand_array(TestPage::default()), Err(EvtchnError::NoControlBlock));
    assert_eq!(t.set_priority(Port(1), 3), Err(EvtchnError::NotFifo));
    for offset in [4, 4096 - 64, u32::MAX] {
        assert_eq!(
            t.init_control(VcpuId(0), TestPage::default(), offset),
            Err(EvtchnError::BadOffset(offset))
        );
    }
    let none = EvtchnError::NoVcpu(VcpuId(2));
    assert_eq!(t.init_control(VcpuId(2), TestPage::default(), 0), Err(none));
    assert_eq!(t.init_control(VcpuId(0), TestPage::default(), 4096 - 72), Ok(17));
    let bound = EvtchnError::ControlBound(VcpuId(0));
    assert_eq!(t.init_control(VcpuId(0), TestPage::default(), 0), Err(bound));
    let port = t.bind_ipi(VcpuId(1)).unwrap();
    assert_eq!(t.set_priority(port, 16), Err(EvtchnError::BadPriority(16)));
    assert_eq!(t.set_priority(Port(77), 1), Err(EvtchnError::NotOpen(Port(77))));
    let page = TestPage::default();
    for _ in 0..128 {
        assert_eq!(t.expand_array(page.clone()), Ok(Wake::NOBODY));
    }
    assert_eq!(t.expand_array(page), Err(EvtchnError::ArrayFull));
    assert_eq!(t.route(port), Ok(Route::Delivered(Wake::NOBODY)), "vCPU 1 has no control block");
    assert!(t.is_pending(port));
}

#[test]
#[cfg_attr(miri, ignore = "131071 ports take too long")]
fn every_port_can_be_used_and_no_more() {
    let mut t = table_with(1, Layout::X64, 1, u32::MAX);
    let mut guest = Guest::default();
    let _ = guest.use_fifo(&mut t, 1, 128);
    for n in 1..131_072 {
        assert_eq!(t.bind_ipi(VcpuId(0)), Ok(Port(n)));
    }
    assert_eq!(t.bind_ipi(VcpuId(0)), Err(EvtchnError::Full { end: 131_072 }));
    t.route(Port(131_071)).unwrap();
    t.route(Port(1)).unwrap();
    guest.upcall(&t, VcpuId(0));
    assert_eq!(guest.taken, [Port(131_071), Port(1)]);
}
