//! Encodings, word by word as the manuals have them.

use proptest::prelude::*;
use std::format;

use super::amd::{self, Event};
use super::vtd::{self, Capabilities, Unusable};
use super::{DmaRun, Fault, FaultLimit, Reason};
use crate::frame::{Gfn, Maddr, Mfn};
use crate::p2m::Dma;
use crate::time::Nanos;
use crate::vpci::Bdf;

/// What QEMU's unit says of itself: three levels, all pages, invalidation by pages up to order 18.
const CAP: u64 = 1 << 54 | 18 << 48 | 1 << 39 | 3 << 34 | 0x22 << 24 | 38 << 16 | 1 << 9 | 2;
const ECAP: u64 = 0xf << 8 | 1 << 1;
const DEVICE: Bdf = Bdf { segment: 3, bus: 0x12, devfn: 0x81 };

fn of(cap: u64, ecap: u64) -> Result<Capabilities, Unusable> {
    Capabilities::new(cap, ecap, 4096)
}

fn run(gfn: u64, order: u32) -> DmaRun {
    DmaRun { gfn: Gfn(gfn), order }
}

#[test]
fn capabilities_say_what_can_be_done() {
    let can = of(CAP, ECAP).unwrap();
    let format =
        Dma::Vtd { four_levels: false, giant_pages: true, snoop_control: false, caches_holes: false };
    assert_eq!(can.format(), Ok(format));
    assert_eq!(can.fault_records(), (0x220, 1));
    assert!(!can.is_coherent() && !can.has_protected_memory());
    assert_eq!(format!("{can}"), "39 address bits, pages up to 1 GiB, 1 fault records");
    for (cap, ecap, why) in [
        (u64::MAX, u64::MAX, Unusable::Absent),
        (CAP, 0, Unusable::NoQueue),
        (CAP & !(1 << 9), ECAP, Unusable::Levels),
        (CAP & !(1 << 34), ECAP, Unusable::SmallPages),
        (CAP | 0xde << 40, ECAP, Unusable::Records),
    ] {
        assert_eq!(of(cap, ecap), Err(why));
    }
}

#[test]
fn units_together_can_do_what_each_can_and_need_what_any_needs() {
    let one = of(CAP | 1 << 10 | 1 << 7, ECAP | 1).unwrap();
    let other = of(CAP & !(1 << 35), ECAP).unwrap();
    let format =
        Dma::Vtd { four_levels: false, giant_pages: false, snoop_control: false, caches_holes: true };
    assert_eq!(one.common(other).format(), Ok(format));
    let deep = of(CAP & !(1 << 9) | 1 << 10, ECAP).unwrap();
    assert_eq!(deep.common(other).format(), Err(Unusable::Levels));
}

#[test]
fn vtd_commands() {
    let can = of(CAP, ECAP).unwrap();
    assert_eq!(can.forget(run(0x1200, 9)), [0x1_00f2, 0x120_0009]);
    // More than one command about pages covers, or none such: the whole domain.
    assert_eq!(can.forget(run(0, 27)), [0x1_00e2, 0]);
    let blunt = of(CAP & !(1 << 39), ECAP).unwrap();
    assert_eq!(blunt.forget(run(0x1200, 0)), [0x1_00e2, 0]);
    assert_eq!(vtd::FORGET_ALL, [[0x11, 0], [0xd2, 0]]);
    assert_eq!(vtd::wait(Maddr(0x5000), 7), [0x7_0000_0025, 0x5000]);
}

#[test]
fn vtd_tables() {
    assert_eq!(vtd::root_entry(Mfn(5)), [0x5001, 0]);
    let format =
        |four_levels| Dma::Vtd { four_levels, giant_pages: true, snoop_control: false, caches_holes: false };
    assert_eq!(vtd::context_entry(Mfn(9), format(false)), [0x9001, 0x101]);
    assert_eq!(vtd::context_entry(Mfn(9), format(true)), [0x9001, 0x102]);
}

#[test]
fn faults_name_device_address_and_way() {
    let record = |info: u64| vtd::fault([0x1234_5000, 1 << 63 | info << 32 | 0x1281], 3);
    let fault = Fault { device: DEVICE, address: 0x1234_5000, write: true, reason: Reason::Mapping };
    assert_eq!(record(5), Some(fault));
    assert_eq!(record(6 | 1 << 30), Some(Fault { write: false, ..fault }));
    assert_eq!(record(2), Some(Fault { reason: Reason::Other(2), ..fault }));
    assert_eq!(vtd::fault([0x1234_5000, 0x1281], 3), None);
    assert_eq!(format!("{fault}"), "device 0003:12:10.1: write to 0x12345000 blocked");
    let other = Fault { write: false, reason: Reason::Other(2), ..fault };
    assert_eq!(format!("{other}"), "device 0003:12:10.1: read from 0x12345000 blocked (reason 0x2)");
}

#[test]
fn amd_tables_and_commands() {
    assert_eq!(amd::device_entry(Mfn(9)), [0x6000_0000_0000_9803, 1, 0, 0]);
    assert_eq!(amd::forget_device(0x1281), [0x2000_0000_0000_1281, 0]);
    assert_eq!(amd::forget(run(0x1200, 0)), [0x3000_0001_0000_0000, 0x120_0002]);
    assert_eq!(amd::forget(run(0x1200, 1)), [0x3000_0001_0000_0000, 0x120_0003]);
    assert_eq!(amd::forget(run(0x1200, 9)), [0x3000_0001_0000_0000, 0x12f_f003]);
    assert_eq!(amd::forget_all(), [0x3000_0001_0000_0000, 0x7fff_ffff_ffff_f003]);
    assert_eq!(amd::wait(Maddr(0x5000), 7), [0x1000_0000_0000_5001, 7]);
}

#[test]
fn amd_events() {
    let fault = Fault { device: DEVICE, address: 0x1234_5678, write: true, reason: Reason::Mapping };
    let event = |code: u64, flags: u64| amd::event([code << 60 | flags | 0x1281, 0x1234_5678], 3);
    assert_eq!(event(2, 1 << 53), Some(Event::Fault(fault)));
    assert_eq!(event(2, 0), Some(Event::Fault(Fault { write: false, ..fault })));
    let reserved = Fault { reason: Reason::Other(2), ..fault };
    assert_eq!(event(2, 1 << 53 | 1 << 52 | 1 << 55), Some(Event::Fault(reserved)));
    assert_eq!(event(1, 1 << 53), Some(Event::Fault(Fault { reason: Reason::Other(1), ..fault })));
    assert!(matches!(event(5, 0), Some(Event::Trouble(5, _))));
    assert_eq!(event(0, 0), None);
}

#[test]
fn a_device_does_not_fill_the_log() {
    let limit = FaultLimit::new();
    let logged = (0..1000).filter(|i| limit.admit(Nanos(*i)).0).count();
    assert_eq!(logged, 10);
    assert_eq!(limit.admit(Nanos(2_000_000_000)), (true, 990));
    assert_eq!(limit.admit(Nanos(2_000_000_001)), (true, 0));
}

proptest! {
    #[test]
    fn no_record_panics(words in any::<[u64; 2]>(), gfn in 0u64..1 << 36, order in 0u32..36) {
        let _ = vtd::fault(words, 0).map(|fault| format!("{fault}"));
        let _ = amd::event(words, 0);
        let run = run(gfn >> order << order, order);
        let can = of(CAP, ECAP).unwrap();
        // A unit's address bits say how much: nothing below the run's start, nothing of what follows it.
        let covered = amd::forget(run)[1];
        prop_assert_eq!(covered >> 12 >> order, run.gfn.0 >> order);
        let [low, high] = can.forget(run);
        prop_assert!(low >> 4 & 3 == 2 || high >> 12 == run.gfn.0 && high & 0xfff == u64::from(order));
    }
}
