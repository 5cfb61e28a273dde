use super::*;
use proptest::prelude::*;

struct Fixed;
impl Clock for Fixed {
    fn nanoseconds(&self) -> u64 {
        1_000_000
    }
    fn guest_tsc(&self) -> u64 {
        5_000
    }
}

fn enabled(mode: Mode) -> Vlapic {
    let mut apic = Vlapic::new(VcpuId(1));
    assert_eq!(apic.write_page(0xf0, 0x1ff, &Fixed), Effect::None);
    if mode == Mode::X2Apic {
        assert_eq!(apic.set_base(0xfee0_0c00), Some(Effect::Identity));
    }
    apic
}

#[test]
fn a_software_disabled_apic_takes_nothing() {
    let mut apic = Vlapic::new(VcpuId(0));
    assert!(!apic.accept(Vector(0x40), Trigger::Edge));
    assert_eq!(apic.next_interrupt(), None);
}

#[test]
fn interrupts_nest_by_priority() {
    let mut apic = enabled(Mode::XApic);
    assert!(apic.accept(Vector(0x41), Trigger::Edge));
    assert!(!apic.accept(Vector(0x41), Trigger::Edge));
    assert_eq!(apic.next_interrupt(), Some(Vector(0x41)));
    apic.ack(Vector(0x41));
    apic.accept(Vector(0x4f), Trigger::Edge);
    assert_eq!(apic.next_interrupt(), None, "same class waits");
    apic.accept(Vector(0x52), Trigger::Level);
    assert_eq!(apic.next_interrupt(), Some(Vector(0x52)));
    apic.ack(Vector(0x52));
    assert_eq!(apic.write_page(0xb0, 0, &Fixed), Effect::Eoi(Vector(0x52)));
    assert_eq!(apic.write_page(0xb0, 0, &Fixed), Effect::None);
    assert_eq!(apic.next_interrupt(), Some(Vector(0x4f)));
}

#[test]
fn the_task_priority_holds_back() {
    let mut apic = enabled(Mode::X2Apic);
    apic.accept(Vector(0x41), Trigger::Edge);
    apic.set_cr8(4);
    assert_eq!(apic.next_interrupt(), None);
    assert_eq!(apic.highest_requested(), Some(Vector(0x41)));
    assert_eq!(apic.read_msr(0x808, &Fixed), Some(0x40));
    assert_eq!(apic.write_msr(0x808, 0x3f, &Fixed), Some(Effect::None));
    assert_eq!((apic.cr8(), apic.next_interrupt()), (3, Some(Vector(0x41))));
}

#[test]
fn ids_in_both_modes() {
    let mut apic = enabled(Mode::XApic);
    assert_eq!(apic.read_page(0x20, &Fixed), 2 << 24);
    assert_eq!(apic.read_page(0x23, &Fixed), 2);
    let mut apic = enabled(Mode::X2Apic);
    assert_eq!(apic.read_msr(0x802, &Fixed), Some(2));
    assert_eq!(apic.read_msr(0x80d, &Fixed), Some(1 << 2));
    assert_eq!(apic.read_page(0x20, &Fixed), u32::MAX);
}

#[test]
fn general_protection_where_the_manual_says() {
    let apic = enabled(Mode::XApic);
    assert_eq!(apic.read_msr(0x802, &Fixed), None);
    let mut apic = enabled(Mode::X2Apic);
    for read_refused in [0x80b, 0x80e, 0x831, 0x83f, 0x800, 0x840, 0x8ff] {
        assert!(apic.read_msr(read_refused, &Fixed).is_none(), "{read_refused:#x}");
    }
    for (msr, value) in [
        (0x802, 0),
        (0x803, 0),
        (0x808, 0x100),
        (0x80b, 1),
        (0x80d, 0),
        (0x80f, 1 << 12),
        (0x828, 1),
        (0x831, 0),
        (0x839, 0),
        (0x832, 1 << 20),
        (0x83f, 0x100),
        (0x830, 1 << 13),
    ] {
        assert!(apic.write_msr(msr, value, &Fixed).is_none(), "{msr:#x}");
    }
}

#[test]
fn sending() {
    let mut apic = enabled(Mode::XApic);
    assert_eq!(apic.write_page(0x310, 4 << 24, &Fixed), Effect::None);
    let to = Target::Address(Destination::Physical(4));
    let expected = Effect::Ipi(Ipi { delivery: Delivery::Fixed(Vector(0xfd)), target: to });
    assert_eq!(apic.write_page(0x300, 0xfd, &Fixed), expected);
    let mut apic = enabled(Mode::X2Apic);
    assert_eq!(apic.write_msr(0x830, 0x4_0000_00fd, &Fixed), Some(expected));
    assert_eq!(apic.read_msr(0x830, &Fixed), Some(0x4_0000_00fd));
    let oneself = Ipi { delivery: Delivery::Fixed(Vector(0x99)), target: Target::Oneself };
    assert_eq!(apic.write_msr(0x83f, 0x99, &Fixed), Some(Effect::Ipi(oneself)));
}

#[test]
fn errors_are_latched_and_raise_their_entry() {
    let mut apic = enabled(Mode::X2Apic);
    assert_eq!(apic.write_msr(0x837, 0xfe, &Fixed), Some(Effect::None));
    assert_eq!(apic.write_msr(0x830, 0x05, &Fixed), Some(Effect::None));
    assert_eq!(apic.next_interrupt(), Some(Vector(0xfe)));
    assert_eq!(apic.read_msr(0x828, &Fixed), Some(0));
    assert_eq!(apic.write_msr(0x828, 0, &Fixed), Some(Effect::None));
    assert_eq!(apic.read_msr(0x828, &Fixed), Some(0x20));
    assert_eq!(apic.write_msr(0x828, 0, &Fixed), Some(Effect::None));
    assert_eq!(apic.read_msr(0x828, &Fixed), Some(0));
}

#[test]
fn the_deadline_timer_fires_through_its_entry() {
    let mut apic = enabled(Mode::X2Apic);
    assert_eq!(apic.write_msr(0x832, 2 << 17 | 0xec, &Fixed), Some(Effect::Timer));
    assert_eq!(apic.write_msr(0x6e0, 9_000, &Fixed), Some(Effect::Timer));
    assert_eq!(apic.poll_timer(&Fixed), Some(Deadline::Tsc(9_000)));
    assert_eq!(apic.next_interrupt(), None);
    let _ = apic.write_msr(0x6e0, 5_000, &Fixed);
    assert_eq!(apic.poll_timer(&Fixed), None);
    assert_eq!(apic.next_interrupt(), Some(Vector(0xec)));
}

#[test]
fn disabling_masks_the_table() {
    let mut apic = enabled(Mode::XApic);
    let _ = apic.write_page(0x350, 0x700, &Fixed);
    assert_eq!(apic.read_page(0x350, &Fixed), 0x700);
    let _ = apic.write_page(0xf0, 0xff, &Fixed);
    assert_eq!(apic.read_page(0x350, &Fixed), 0x1_0700);
    let _ = apic.write_page(0x350, 0x700, &Fixed);
    assert_eq!(apic.read_page(0x350, &Fixed), 0x1_0700);
}

#[test]
fn posted_interrupts_arrive_with_their_trigger() {
    let mut apic = enabled(Mode::X2Apic);
    let posted = PostedInterrupts::default();
    let _ = posted.post(Vector(0x51), Trigger::Level);
    let _ = posted.post(Vector(0x05), Trigger::Edge);
    apic.accept_posted(&posted);
    assert_eq!(apic.next_interrupt(), Some(Vector(0x51)));
    apic.ack(Vector(0x51));
    assert_eq!(apic.end_of_interrupt(), Some(Vector(0x51)));
    assert_eq!(apic.write_msr(0x828, 0, &Fixed), Some(Effect::None));
    assert_eq!(apic.read_msr(0x828, &Fixed), Some(0x40));
}

#[test]
fn init_keeps_mode_and_id() {
    let mut apic = enabled(Mode::X2Apic);
    apic.accept(Vector(0x51), Trigger::Level);
    apic.init();
    assert_eq!(apic.identity().mode, Mode::X2Apic);
    assert_eq!(apic.identity().id, 2);
    assert_eq!(apic.highest_requested(), None);
    assert!(!apic.is_software_enabled());
}

proptest! {
    #[test]
    fn no_access_breaks_it(
        x2apic: bool,
        steps in prop::collection::vec((0u8..6, 0u32..0x1000, any::<u64>()), 0..200),
    ) {
        let mut apic = enabled(if x2apic { Mode::X2Apic } else { Mode::XApic });
        for (what, place, value) in steps {
            match what {
                0 => { let _ = apic.write_msr(0x800 + place % 0x50, value & 0xffff_000f_ffff, &Fixed); }
                1 => { let _ = apic.read_msr(0x800 + place % 0x50, &Fixed); }
                2 => { let _ = apic.write_page(place as u16, value as u32, &Fixed); }
                3 => { let _ = apic.read_page(place as u16, &Fixed); }
                4 => { apic.accept(Vector(value as u8), Trigger::Level); }
                _ => { apic.poll_timer(&Fixed); }
            }
            if let Some(vector) = apic.next_interrupt() {
                prop_assert!(vector.0 >> 4 > apic.processor_priority() >> 4);
                prop_assert!(vector.0 >= 16);
                apic.ack(vector);
                prop_assert!(apic.processor_priority() >= vector.0 & 0xf0);
            }
        }
    }
}
