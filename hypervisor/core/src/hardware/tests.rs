//! The hardware domain programs a device with MSI-X, as Linux does; what the device gets is looked at, and interrupts
//! that it sends.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::vec::Vec;

use super::{Hardware, HardwareDomain, IoApic};
use crate::cpuid::Policy;
use crate::dom0_map::{Dom0Map, Span};
use crate::domain::{Domain, DomainConfig, VcpuRef};
use crate::frame::{Gaddr, Maddr, Mfn};
use crate::gnttab::Version;
use crate::hypervisor::Hypervisor;
use crate::ids::{CpuId, DomId, VcpuId, Vector};
use crate::machine::test::{Ended, TestMachine};
use crate::machine::{CpuMask, MachineEnd};
use crate::memory_map::{Kind, MemoryMap, Range};
use crate::p2m::{PageType, Progress};
use crate::sched::Cpus;
use crate::sync::{Class, Lock};
use crate::vioapic::VirtualIoApic;
use crate::vpci::{Bdf, Ecam, Size};

const DEVICE: Bdf = Bdf { segment: 0, bus: 0, devfn: 0x18 };
const ECAM: u64 = 0xb000_0000;
const COMMAND: u16 = 4;
const BAR0: u16 = 0x10;
const MSIX: u16 = 0x70;
const MSIX_ENABLE: u64 = 0x8000_0000;
/// Where firmware put BAR 0, and the table in it.
const MEMORY: u64 = 0xfe00_0000;
const TABLE: u64 = 0x2000;
/// Entries of the table: more than the test machine has vectors.
const ENTRIES: u64 = 12;
const IO_APIC: u64 = 0xfec0_0000;
const RAM_END: u64 = 0x20_0000;

struct Rig {
    machine: TestMachine,
    hv: Hypervisor<TestMachine>,
    domain: Arc<Domain<TestMachine>>,
}

impl Rig {
    fn new() -> Self {
        let machine = TestMachine::new(512);
        machine.devices().functions.insert(
            DEVICE,
            BTreeMap::from([
                (0, (0x1041_1af4, 0)),
                (COMMAND, (0x0010_0006, 0x0000_0547)),
                (BAR0, (MEMORY as u32, 0xffff_c000)),
                (0x34, (MSIX.into(), 0)),
                (MSIX, (0x11 | (ENTRIES as u32 - 1) << 16, 0xc000_0000)),
                (MSIX + 4, (TABLE as u32, 0)),
            ]),
        );
        let hv =
            Hypervisor::new(machine, true, CpuMask::first(machine.cpus()), CpuMask(0)).expect("host heap");
        let config = DomainConfig {
            handle: [0; 16],
            max_vcpus: 2,
            max_evtchn_port: 4095,
            max_grant_frames: 4,
            max_grant_version: Version::Two,
            max_maptrack_frames: 4,
            flags: 0,
            max_frames: 512,
        };
        let mut host = MemoryMap::default();
        host.insert(Range::new(0, RAM_END, Kind::Ram)).expect("one range");
        let ecam = Ecam { base: Maddr(ECAM), segment: 0, first_bus: 0, last_bus: 0xff };
        let (start, len) = ecam.range();
        let emulated =
            Vec::from([Span { start, end: start + len }, Span { start: IO_APIC, end: IO_APIC + 0x1000 }]);
        let ram = Vec::from([Span { start: 0, end: RAM_END }]);
        let map = Dom0Map::new(Box::leak(Box::new(host)), ram, Span { start: 0, end: 0 }, emulated);
        let pins = Lock::new(Class::IoApic, VirtualIoApic::new(0, 0, 24));
        let io_apics = Vec::from([IoApic { base: Maddr(IO_APIC), state: pins }]);
        let hardware = HardwareDomain::new(map, io_apics, Vec::from([ecam])).expect("host heap");
        let policy = Policy::for_domain(machine, true, DomId::ZERO, config.max_vcpus);
        let domain = Domain::new(machine, DomId::ZERO, config, policy, Some(Box::new(hardware)))
            .expect("a control domain");
        hv.add_domain(&domain).expect("room for a domain");
        Self { machine, hv, domain }
    }

    fn hardware(&self) -> Hardware<'_, TestMachine> {
        Hardware::of(&self.hv, &self.domain).expect("the domain has the hardware")
    }

    fn vcpu(&self, id: u32) -> VcpuRef<TestMachine> {
        self.domain.vcpu(VcpuId(id)).expect("a vCPU")
    }

    fn write(&self, at: u64, bytes: u64, value: u64) {
        assert!(self.hardware().claims_memory(Gaddr(at)), "{at:#x}");
        self.hardware().write_memory(Gaddr(at), bytes, value);
    }

    fn read(&self, at: u64, bytes: u64) -> u64 {
        self.hardware().read_memory(Gaddr(at), bytes)
    }

    /// The address of a register of the device in memory-mapped configuration space.
    fn config(offset: u16) -> u64 {
        ECAM + (u64::from(DEVICE.devfn) << 12) + u64::from(offset)
    }

    /// Programs a table entry for a vCPU, as Linux does: closed, message, open.
    fn program(&self, entry: u64, vcpu: u32, vector: u64) {
        let at = MEMORY + TABLE + 16 * entry;
        self.write(at + 12, 4, 1);
        self.write(at, 4, 0xfee0_0000 | u64::from(2 * vcpu) << 12);
        self.write(at + 4, 4, 0);
        self.write(at + 8, 4, vector);
        self.write(at + 12, 4, 0);
    }

    fn enable(&self) {
        let control = self.read(Self::config(MSIX), 4);
        self.write(Self::config(MSIX), 4, control | MSIX_ENABLE);
    }

    /// What the device itself has in a table entry: address, data, control.
    fn entry(&self, entry: u64) -> (u64, u32, u32) {
        let devices = self.machine.devices();
        let word = |at| devices.memory.get(&(MEMORY + TABLE + 16 * entry + at)).copied().unwrap_or(0);
        (u64::from(word(0)) | u64::from(word(4)) << 32, word(8), word(12))
    }

    /// The vectors that wait at a vCPU's local APIC.
    fn posted(&self, vcpu: u32) -> Vec<u8> {
        let posted = self.vcpu(vcpu).posted.drain().unwrap_or_default().vectors;
        (0..=255).filter(|vector| posted.contains(Vector(*vector))).collect()
    }

    fn touch(&self, at: u64) -> bool {
        self.hardware().map_on_demand(Gaddr(at).frame())
    }

    fn mapping(&self, at: u64) -> Option<(Mfn, u32)> {
        let entry = self.domain.memory.lookup(Gaddr(at).frame())?;
        assert_eq!(entry.kind, PageType::MmioDirect);
        Some((entry.mfn, entry.order))
    }
}

#[test]
fn a_device_gets_tenons_message_and_the_domain_its_own() {
    let rig = Rig::new();
    rig.enable();
    rig.program(0, 1, 0x31);
    let (address, data, control) = rig.entry(0);
    assert_eq!((address, control), (0xfee0_1000, 0), "to the CPU where vCPU 1 is");
    assert_eq!(rig.read(MEMORY + TABLE, 8), 0xfee0_2000, "it reads what it wrote");
    assert_eq!(rig.read(MEMORY + TABLE + 8, 4), 0x31);

    let vector = Vector(data as u8);
    rig.hv.message_arrived(vector);
    assert_eq!((rig.posted(0), rig.posted(1)), (Vec::new(), Vec::from([0x31])));

    rig.program(0, 0, 0x45);
    assert_eq!(rig.entry(0), (0xfee0_0000, data, 0), "the vector stays the same");
    rig.hv.message_arrived(vector);
    assert_eq!((rig.posted(0), rig.posted(1)), (Vec::from([0x45]), Vec::new()));

    rig.write(MEMORY + TABLE + 12, 4, 1);
    assert_eq!(rig.entry(0).2, 1);
    rig.write(MEMORY + TABLE + 12, 4, 0);
    assert_eq!(rig.entry(0).2, 0);

    rig.write(Rig::config(MSIX), 4, 0);
    assert!(rig.machine.devices().vectors.is_empty());
    rig.hv.message_arrived(vector);
    assert_eq!(rig.posted(0), [], "one that was on its way is dropped");
}

#[test]
fn without_a_vector_an_interrupt_stays_closed() {
    let rig = Rig::new();
    rig.enable();
    (0..ENTRIES).for_each(|entry| rig.program(entry, 0, 0x30 + entry));
    let open = (0..ENTRIES).filter(|entry| rig.entry(*entry).2 == 0).count();
    assert_eq!(open, rig.machine.devices().vectors.len());
    assert!(open < ENTRIES as usize);
    let log = rig.machine.take_log();
    assert!(log.iter().any(|(_, text)| text.contains("all interrupt vectors are in use")), "{log:?}");
    // Masking and unmasking does not open it behind our back.
    rig.write(MEMORY + TABLE + 16 * (ENTRIES - 1) + 12, 4, 1);
    rig.write(MEMORY + TABLE + 16 * (ENTRIES - 1) + 12, 4, 0);
    assert_eq!(rig.entry(ENTRIES - 1).2, 1);
}

#[test]
fn a_message_that_is_no_interrupt_is_not_sent() {
    let rig = Rig::new();
    rig.enable();
    rig.write(MEMORY + TABLE, 8, 0x12_3000);
    rig.write(MEMORY + TABLE + 8, 8, 0x31);
    assert_eq!(rig.entry(0), (0, 0, 1));
    assert!(rig.machine.devices().vectors.is_empty());
}

#[test]
fn a_message_that_is_no_interrupt_ends_the_one_before() {
    let rig = Rig::new();
    rig.enable();
    rig.program(0, 1, 0x31);
    let vector = Vector(rig.entry(0).1 as u8);
    let set_masked = |masked| rig.write(MEMORY + TABLE + 12, 4, masked);
    set_masked(1);
    rig.write(MEMORY + TABLE, 8, 0x12_3000);
    for masked in [0, 1, 0] {
        set_masked(masked);
        assert_eq!(rig.entry(0).2, 1, "closed");
    }
    assert!(rig.machine.devices().vectors.is_empty());
    rig.hv.message_arrived(vector);
    assert_eq!(rig.posted(1), []);

    set_masked(1);
    rig.program(0, 1, 0x32);
    assert_eq!(rig.entry(0).2, 0, "open again with a message that is one");
}

#[test]
fn interrupts_follow_a_vcpu_that_has_moved() {
    let rig = Rig::new();
    rig.enable();
    rig.program(0, 1, 0x31);
    let vector = Vector(rig.entry(0).1 as u8);
    let elsewhere = rig.entry(0).0;
    rig.machine.devices().memory.insert(MEMORY + TABLE, 0xfee0_3000);
    rig.machine.become_cpu(CpuId(3));
    for _ in 0..100 {
        rig.hv.message_arrived(vector);
        assert_eq!(rig.posted(1), [0x31]);
    }
    rig.machine.become_cpu(CpuId(0));
    assert_eq!(rig.entry(0), (elsewhere, u32::from(vector.0), 0));
}

#[test]
fn table_pages_are_not_mapped() {
    let rig = Rig::new();
    assert!(rig.touch(MEMORY));
    assert_eq!(rig.mapping(MEMORY + TABLE), Some((Mfn((MEMORY + TABLE) >> 12), 9)), "in a large page");
    assert!(!rig.hardware().claims_memory(Gaddr(MEMORY + TABLE)));

    rig.read(Rig::config(0), 4);
    assert_eq!(rig.mapping(MEMORY + TABLE), None, "taken away when the device was looked at");
    assert!(rig.hardware().claims_memory(Gaddr(MEMORY + TABLE)) && !rig.touch(MEMORY + TABLE));
    assert_eq!(rig.mapping(MEMORY + 0x1000), Some((Mfn((MEMORY + 0x1000) >> 12), 0)));

    // What else is in the page is the device's.
    rig.write(MEMORY + TABLE + 0x800, 4, 0x1234);
    assert_eq!(rig.machine.devices().memory.get(&(MEMORY + TABLE + 0x800)), Some(&0x1234));
    assert_eq!(rig.read(MEMORY + TABLE + 0x800, 4), 0x1234);

    // The BAR moves, and the page with it.
    rig.write(Rig::config(COMMAND), 2, 0);
    rig.write(Rig::config(BAR0), 4, 0xe000_0000);
    rig.write(Rig::config(COMMAND), 2, 6);
    assert!(rig.touch(MEMORY + TABLE) && !rig.touch(0xe000_0000 + TABLE));
    assert!(rig.touch(0xe000_0000));
    assert_eq!(rig.mapping(0xe000_0000), Some((Mfn(0xe000_0000 >> 12), 0)), "not over the table");
}

#[test]
fn only_devices_are_mapped_and_written() {
    let rig = Rig::new();
    assert!(!rig.touch(0x1000) && !rig.touch(ECAM) && !rig.touch(IO_APIC));
    assert!(rig.touch(0x1_4000_0000));
    assert_eq!(rig.mapping(0x1_4000_0000).map(|(_, order)| order), Some(18));
    assert!(rig.touch(IO_APIC + 0x1000));
    assert_eq!(rig.mapping(IO_APIC + 0x1000).map(|(_, order)| order), Some(0));

    // A BAR over memory: the device is not reached there, and neither is the memory.
    rig.enable();
    rig.write(Rig::config(BAR0), 4, 0x10_0000);
    rig.write(0x10_0000 + TABLE, 8, 0xfee0_0000);
    rig.write(0x10_0000 + TABLE + 8, 8, 0x31);
    assert!(rig.machine.devices().memory.is_empty());
}

#[test]
fn ports_lead_to_the_same_registers() {
    let rig = Rig::new();
    let size = |bytes| Size::from_bytes(bytes).expect("a size");
    let read = |port, bytes| rig.hardware().read_port(port, size(bytes));
    let write = |port, bytes, value| rig.hardware().write_port(port, size(bytes), value);
    assert_eq!(read(0xcfc, 4), Some(u32::MAX), "no register is chosen");
    write(0xcf8, 4, 0x8000_1800);
    let registers = [read(0xcf8, 4), read(0xcfc, 4), read(0xcfe, 2)];
    assert_eq!(registers, [0x8000_1800, 0x1041_1af4, 0x1041].map(Some));
    write(0xcf8, 4, 0x8000_1810);
    write(0xcfc, 4, 0xe000_0000);
    assert_eq!(rig.read(Rig::config(BAR0), 4), 0xe000_0000);
    assert_eq!(rig.read(Rig::config(0x13), 2), u64::MAX, "no register has that place");
    write(0xcf8, 4, 0x8000_2000);
    assert_eq!(read(0xcfc, 1), Some(0xff), "nobody there");
    assert_eq!(read(0x61, 1), None);
}

#[test]
fn the_chipsets_reset_ends_the_machine() {
    let rig = Rig::new();
    let write = |value| rig.hardware().write_port(0xcf9, Size::Byte, value);
    write(2);
    let ended = panic::catch_unwind(AssertUnwindSafe(|| write(6))).expect_err("the end");
    assert_eq!(ended.downcast::<Ended>().expect("the machine's end").0, MachineEnd::Reboot);
}

#[test]
fn pins_go_where_the_vcpu_is() {
    let rig = Rig::new();
    // Pin 10: level-triggered, vector 0x52, for vCPU 1.
    for (index, value) in [(0x25, 2 << 24), (0x24, 0x8052)] {
        rig.write(IO_APIC, 4, index);
        rig.write(IO_APIC + 0x10, 4, value);
    }
    let last = || rig.machine.devices().routes.last().map(|(route, cpu)| (route.gsi, route.masked, *cpu));
    assert_eq!(last(), Some((10, false, CpuId(1))));
    rig.hv.gsi(10);
    assert_eq!(rig.posted(1), [0x52]);
    assert_eq!(last(), Some((10, true, CpuId(1))), "closed until the domain has ended it");
    rig.hardware().end_of_interrupt(Vector(0x52));
    assert_eq!(last(), Some((10, false, CpuId(1))));
}

#[test]
fn interrupts_leave_a_cpu_that_is_switched_off() {
    let rig = Rig::new();
    rig.enable();
    rig.program(0, 1, 0x31);
    rig.program(1, 0, 0x32);
    for (index, value) in [(0x25, 2 << 24), (0x24, 0x8052)] {
        rig.write(IO_APIC, 4, index);
        rig.write(IO_APIC + 0x10, 4, value);
    }
    let goes_to = |entry| rig.entry(entry).0 >> 12 & 0xff;
    let pin = || rig.machine.devices().routes.last().map(|(route, cpu)| (route.gsi, *cpu));
    assert_eq!((goes_to(0), goes_to(1), pin()), (1, 0, Some((10, CpuId(1)))));
    // Closed for now; it stays so.
    rig.write(MEMORY + TABLE + 12, 4, 1);
    assert_eq!(rig.hv.switch_cpu_off(CpuId(1)), Ok(Progress::Done));
    let cpu = rig.vcpu(1).sched.home();
    assert_eq!((goes_to(0), goes_to(1), pin()), (cpu.0.into(), 0, Some((10, cpu))));
    assert!(cpu != CpuId(1) && rig.entry(0).2 == 1);
    rig.write(MEMORY + TABLE + 12, 4, 0);
    rig.hv.message_arrived(Vector(rig.entry(0).1 as u8));
    assert_eq!(rig.posted(1), [0x31]);
}
