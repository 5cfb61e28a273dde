use super::*;
use crate::vlapic::{Delivery, Destination};
use proptest::prelude::*;
use std::vec::Vec;

fn write_entry(apic: &mut VirtualIoApic, pin: u8, low: u32, high: u32) -> Effect {
    assert_eq!(apic.write(SELECT, u32::from(TABLE + 2 * pin + 1)), Effect::None);
    let _ = apic.write(DATA, high);
    let _ = apic.write(SELECT, u32::from(TABLE + 2 * pin));
    apic.write(DATA, low)
}

fn ended(apic: &mut VirtualIoApic, vector: u8) -> Vec<Route> {
    let mut routes = Vec::new();
    apic.end(Vector(vector), |r| routes.push(r));
    routes
}

const LEVEL_LOW: u32 = 1 << 15 | 1 << 13;

#[test]
fn registers() {
    let mut apic = VirtualIoApic::new(2, 24, 24);
    let _ = apic.write(SELECT, 1);
    assert_eq!(apic.read(DATA), 0x17_0020);
    let _ = apic.write(SELECT, 0);
    assert_eq!(apic.read(DATA), 2 << 24);
    let _ = apic.write(SELECT, 0x10);
    assert_eq!(apic.read(DATA), 1 << 16);
    let _ = apic.write(SELECT, 0x40);
    assert_eq!(apic.read(DATA), 0);
    assert_eq!(apic.write(DATA, 1), Effect::None);
    assert!(apic.owns(24) && apic.owns(47) && !apic.owns(23) && !apic.owns(48));
}

#[test]
fn an_edge_is_a_message() {
    let mut apic = VirtualIoApic::new(0, 0, 24);
    assert_eq!(apic.assert(4), None, "masked");
    let Effect::Route { route, deliver: None } = write_entry(&mut apic, 4, 0x34, 2 << 24) else { panic!() };
    assert_eq!((route.gsi, route.masked, route.trigger), (4, false, Trigger::Edge));
    let message = Message {
        delivery: Delivery::Fixed(Vector(0x34)),
        destination: Destination::Physical(2),
        trigger: Trigger::Edge,
    };
    assert_eq!(route.message, Some(message));
    assert_eq!(apic.assert(4), Some(message));
    assert_eq!(apic.assert(4), Some(message));
    assert_eq!(ended(&mut apic, 0x34), []);
}

#[test]
fn a_level_pin_is_closed_until_its_end() {
    let mut apic = VirtualIoApic::new(0, 0, 24);
    let _ = write_entry(&mut apic, 16, LEVEL_LOW | 0x51, 0);
    assert!(apic.assert(16).is_some());
    assert_eq!(apic.assert(16), None, "once until the end");
    assert!(apic.route(16).unwrap().masked);
    let _ = apic.write(SELECT, 0x10 + 32);
    assert_eq!(apic.read(DATA) >> 14 & 1, 1, "remote IRR shows");
    assert_eq!(ended(&mut apic, 0x50), []);
    let routes = ended(&mut apic, 0x51);
    assert_eq!((routes.len(), routes[0].masked, routes[0].polarity), (1, false, Polarity::Low));
    assert!(apic.assert(16).is_some());
}

#[test]
fn masking_meanwhile_keeps_the_pin_closed() {
    let mut apic = VirtualIoApic::new(0, 0, 24);
    let _ = write_entry(&mut apic, 16, LEVEL_LOW | 0x51, 0);
    apic.assert(16).unwrap();
    let _ = write_entry(&mut apic, 16, 1 << 16 | LEVEL_LOW | 0x51, 0);
    assert!(ended(&mut apic, 0x51)[0].masked);
}

#[test]
fn a_vector_changed_in_service_still_ends() {
    let mut apic = VirtualIoApic::new(0, 0, 24);
    let _ = write_entry(&mut apic, 16, LEVEL_LOW | 0x51, 0);
    apic.assert(16).unwrap();
    let _ = write_entry(&mut apic, 16, LEVEL_LOW | 0x61, 0);
    assert_eq!(ended(&mut apic, 0x51).len(), 1);
}

#[test]
fn what_arrived_while_masked_comes_with_the_unmask() {
    let mut apic = VirtualIoApic::new(0, 0, 24);
    let _ = write_entry(&mut apic, 16, 1 << 16 | LEVEL_LOW | 0x51, 0);
    assert_eq!(apic.assert(16), None);
    let Effect::Route { deliver, .. } = write_entry(&mut apic, 16, LEVEL_LOW | 0x51, 0) else { panic!() };
    assert!(deliver.is_some());
}

#[test]
fn two_pins_on_one_vector_end_together() {
    let mut apic = VirtualIoApic::new(0, 0, 24);
    for pin in [16, 17] {
        let _ = write_entry(&mut apic, pin, LEVEL_LOW | 0x51, 0);
        apic.assert(u32::from(pin)).unwrap();
    }
    assert_eq!(apic.write(EOI, 0x51), Effect::Eoi(Vector(0x51)));
    assert_eq!(ended(&mut apic, 0x51).len(), 2);
}

proptest! {
    #[test]
    fn a_level_pin_never_sticks(steps in prop::collection::vec((0u8..4, any::<u32>()), 0..100)) {
        let mut apic = VirtualIoApic::new(0, 0, 4);
        for (what, value) in steps {
            match what {
                0 => { let _ = apic.write((value & 0x70) as u16, value >> 8); }
                1 => { let _ = apic.write(SELECT, 0x10 + value % 10); }
                2 => { let _ = apic.assert(value % 6); }
                _ => apic.end(Vector(value as u8), |_| ()),
            }
        }
        // Whatever happened: configure, end, and it works.
        let _ = write_entry(&mut apic, 1, LEVEL_LOW | 0x60, 0);
        apic.end(Vector(0x60), |_| ());
        prop_assert!(!apic.route(1).unwrap().masked);
        prop_assert!(apic.assert(1).is_some());
    }
}
