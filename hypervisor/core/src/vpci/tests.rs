use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec;

/// Devices as 4 KiB of registers, and which bits of them can be written.
#[derive(Clone, Default)]
struct Machine(BTreeMap<Bdf, (Vec<u8>, Vec<u8>)>);

impl ConfigSpace for Machine {
    fn read_config(&self, at: Register, size: Size) -> u32 {
        self.read(at.bdf, at.offset, size)
    }
    fn write_config(&mut self, at: Register, size: Size, value: u32) {
        self.write(at.bdf, at.offset, size, value);
    }
}

impl Machine {
    fn read(&self, bdf: Bdf, offset: u16, size: Size) -> u32 {
        let Some((bytes, _)) = self.0.get(&bdf) else { return size.ones() };
        (0..size.bytes()).fold(0, |v, i| v | u32::from(bytes[usize::from(offset + i)]) << (8 * i))
    }
    fn write(&mut self, bdf: Bdf, offset: u16, size: Size, value: u32) {
        let Some((bytes, mask)) = self.0.get_mut(&bdf) else { return };
        for i in 0..size.bytes() {
            let at = usize::from(offset + i);
            bytes[at] = bytes[at] & !mask[at] | (value >> (8 * i)) as u8 & mask[at];
        }
    }
}

const DEV: Bdf = Bdf { segment: 0, bus: 1, devfn: 0x10 };
const MSI: u16 = 0x50;
const MSIX: u16 = 0x70;

/// A device with BAR0 (64-bit, 16 KiB) at 0xfe00_0000, a maskable 64-bit MSI, MSI-X with 5 entries at BAR0 +
/// 0x2000, and SR-IOV.
fn machine() -> Machine {
    let (mut bytes, mut mask) = (vec![0u8; 4096], vec![0u8; 4096]);
    let mut set = |at: u16, value: u32, writable: u32| {
        let at = usize::from(at);
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        mask[at..at + 4].copy_from_slice(&writable.to_le_bytes());
    };
    set(0x00, 0x1af4_1041, 0);
    set(0x04, 0x0010_0006, 0x0000_0547);
    set(0x10, 0xfe00_0004, 0xffff_c000);
    set(0x14, 0, 0xffff_ffff);
    set(0x34, 0x40, 0);
    set(0x40, 0x0000_5010, 0);
    set(MSI, 0x0186_7005, 0x0071_0000);
    for at in [0x54, 0x58, 0x5c, 0x60] {
        set(at, 0, 0xffff_ffff);
    }
    set(MSIX, 0x0004_0011, 0xc000_0000);
    set(MSIX + 4, 0x2000, 0);
    set(MSIX + 8, 0x3000, 0);
    set(0x100, 0x1401_0001, 0);
    set(0x140, 0x1801_0010, 0);
    set(0x144, 0, 0xffff_ffff);
    set(0x180, 0x0001_0003, 0);
    Machine(BTreeMap::from([(DEV, (bytes, mask))]))
}

struct Bench {
    hw: Machine,
    pci: VirtualPci,
    effects: Vec<Effect>,
}

impl Bench {
    fn new() -> Self {
        Self { hw: machine(), pci: VirtualPci::default(), effects: Vec::new() }
    }
    fn read(&mut self, offset: u16, size: Size) -> u32 {
        let effects = &mut self.effects;
        self.pci.read(Register { bdf: DEV, offset }, size, &mut self.hw, &mut |e| effects.push(e))
    }
    fn write(&mut self, offset: u16, size: Size, value: u32) -> Vec<Effect> {
        let effects = &mut self.effects;
        self.pci.write(Register { bdf: DEV, offset }, size, value, &mut self.hw, &mut |e| effects.push(e));
        core::mem::take(&mut self.effects)
    }
    fn table(&mut self, at: u64, bytes: u64, value: u64) -> Vec<Effect> {
        let effects = &mut self.effects;
        assert!(self.pci.write_table(Maddr(at), bytes, value, &mut |e| effects.push(e)));
        core::mem::take(&mut self.effects)
    }
}

fn frames(first: u64) -> Frames {
    Frames { first: Gfn(first), count: 1 }
}

#[test]
fn names_and_windows() {
    assert_eq!(Register::by_ports(0, 0, Size::Dword), None);
    let by_ports = |byte, size| Register::by_ports(0x8001_1044, byte, size);
    assert_eq!(by_ports(2, Size::Word), Some(Register { bdf: DEV, offset: 0x46 }));
    assert_eq!(by_ports(3, Size::Word), None);

    let ecam = Ecam { base: Maddr(0xb000_0000), segment: 0, first_bus: 0, last_bus: 255 };
    assert_eq!(ecam.range(), (0xb000_0000, 0x1000_0000));
    assert_eq!(
        ecam.register(0xb019_0146, Size::Word),
        Some(Register { bdf: Bdf { devfn: 0x90, ..DEV }, offset: 0x146 })
    );
    assert_eq!(ecam.register(0xb011_0147, Size::Word), None);
    assert_eq!(ecam.register(0xc000_0000, Size::Byte), None);
    assert_eq!(ecam.register(0xafff_ffff, Size::Byte), None);
    assert_eq!(std::format!("{DEV}"), "0000:01:02.0");
}

#[test]
fn msi_is_the_guests_to_read_and_ours_to_program() {
    let mut b = Bench::new();
    assert_eq!(b.read(MSI, Size::Dword), 0x0180_7005, "one message, not eight");
    b.effects.clear();
    assert_eq!(b.write(MSI + 4, Size::Dword, 0xfee0_2001), []);
    assert_eq!(b.write(MSI + 8, Size::Dword, 0), []);
    assert_eq!(b.write(MSI + 12, Size::Word, 0x4023), []);
    let effects = b.write(MSI + 2, Size::Word, 0x01f1);
    let hardware = MsiRegisters { at: MSI, is_64bit: true };
    let interrupt = Interrupt { bdf: DEV, entry: 0, location: Location::Capability(hardware) };
    assert_eq!(effects, [Effect::Bind { interrupt, address: 0xfee0_2000, data: 0x4023 }]);
    assert_eq!(b.read(MSI, Size::Dword), 0x0181_7005);
    assert_eq!(b.hw.read(DEV, MSI + 2, Size::Word) & 1, 0, "not before the kernel says so");

    hardware.program(DEV, 0xfee0_1000, 0x77, &mut b.hw);
    assert_eq!(b.hw.read(DEV, MSI + 4, Size::Dword), 0xfee0_1000);
    assert_eq!(b.hw.read(DEV, MSI + 12, Size::Word), 0x77);
    assert_eq!(b.hw.read(DEV, MSI + 2, Size::Word), 0x0187);
    assert_eq!(b.read(MSI + 4, Size::Dword), 0xfee0_2000);
    assert_eq!(b.read(MSI + 12, Size::Word), 0x4023);

    assert_eq!(b.write(MSI + 16, Size::Dword, 1), []);
    assert_eq!((b.read(MSI + 16, Size::Dword), b.hw.read(DEV, MSI + 16, Size::Dword)), (1, 1));
    let moved = b.write(MSI + 4, Size::Dword, 0xfee0_4000);
    assert!(matches!(moved[..], [Effect::Bind { address: 0xfee0_4000, .. }]));
    assert_eq!(b.write(MSI + 2, Size::Word, 0x0180), [Effect::Unbind(DEV)]);
    assert_eq!(b.hw.read(DEV, MSI + 2, Size::Word) & 1, 0);
}

#[test]
fn msix_as_linux_does_it() {
    let mut b = Bench::new();
    assert_eq!(b.read(0, Size::Dword), 0x1af4_1041);
    assert_eq!(core::mem::take(&mut b.effects), [Effect::Trap(frames(0xfe002))]);
    assert!(b.pci.traps(frames(0xfe002)) && !b.pci.traps(frames(0xfe003)));
    assert!(b.pci.traps(Frames { first: Gfn(0xfe000), count: 512 }));

    assert_eq!(b.write(MSIX + 2, Size::Word, 0xc004), []);
    assert_eq!(b.hw.read(DEV, MSIX + 2, Size::Word), 0xc004);
    let interrupt = Interrupt { bdf: DEV, entry: 1, location: Location::Table(Maddr(0xfe00_2010)) };
    let mask = Effect::Mask(interrupt);
    assert_eq!(b.table(0xfe00_201c, 4, 1), [mask], "masked again: the hardware may not be");
    assert_eq!(b.table(0xfe00_2010, 4, 0xfee0_2000), []);
    assert_eq!(b.table(0xfe00_2014, 4, 0), []);
    assert_eq!(b.table(0xfe00_2018, 4, 0x31), []);
    let bind = Effect::Bind { interrupt, address: 0xfee0_2000, data: 0x31 };
    assert_eq!(b.table(0xfe00_201c, 4, 0), [bind]);
    assert_eq!(b.write(MSIX + 2, Size::Word, 0x8004), []);
    assert_eq!(b.pci.read_table(Maddr(0xfe00_2010), 8), Some(0xfee0_2000));
    assert_eq!(b.pci.read_table(Maddr(0xfe00_2018), 4), Some(0x31));
    assert_eq!(b.pci.read_table(Maddr(0xfe00_2050), 4), None, "past the fifth entry");

    assert_eq!(b.table(0xfe00_201c, 4, 1), [mask]);
    let unmask = Effect::Unmask(interrupt);
    assert_eq!(b.table(0xfe00_201c, 4, 0), [unmask]);
    assert_eq!(b.table(0xfe00_201c, 4, 1), [mask]);
    assert_eq!(b.table(0xfe00_2018, 4, 0x32), []);
    assert!(matches!(b.table(0xfe00_201c, 4, 0)[..], [Effect::Bind { data: 0x32, .. }]));

    assert_eq!(b.write(MSIX + 2, Size::Word, 0), [Effect::Unbind(DEV)]);
    assert!(matches!(b.write(MSIX + 3, Size::Byte, 0x80)[..], [Effect::Bind { data: 0x32, .. }]));
}

#[test]
fn the_table_follows_the_bar() {
    let mut b = Bench::new();
    let _ = b.read(0, Size::Word);
    b.effects.clear();
    assert_eq!(b.write(4, Size::Word, 0x4), [Effect::Untrap(frames(0xfe002))]);
    assert_eq!(b.write(0x10, Size::Dword, u32::MAX), []);
    assert_eq!(b.read(0x10, Size::Dword), 0xffff_c004);
    assert_eq!(b.write(0x10, Size::Dword, 0xd000_0000), []);
    assert_eq!(b.write(0x14, Size::Dword, 1), []);
    assert_eq!(b.write(4, Size::Word, 0x6), [Effect::Trap(frames(0x1_d0002))]);
    assert!(b.pci.read_table(Maddr(0x1_d000_2000), 4).is_some());
    assert_eq!(
        b.write(0x10, Size::Dword, u32::MAX),
        [Effect::Untrap(frames(0x1_d0002))],
        "sizing with decoding on"
    );
    assert_eq!(b.write(0x10, Size::Dword, 0xd000_0000), [Effect::Trap(frames(0x1_d0002))]);
}

#[test]
fn some_things_are_not_shown() {
    let mut b = Bench::new();
    assert_eq!(b.read(0x100, Size::Dword), 0x1401_0001);
    assert_eq!(b.read(0x140, Size::Dword), 0x1800_0000, "no SR-IOV, the list goes on");
    assert_eq!(b.read(0x180, Size::Dword), 0x0001_0003);
    let nobody = Register { bdf: Bdf { bus: 9, ..DEV }, offset: 0 };
    assert_eq!(b.pci.read(nobody, Size::Word, &mut b.hw, &mut |_| ()), 0xffff);
}

#[test]
fn what_firmware_left_on_is_switched_off() {
    let mut b = Bench::new();
    b.hw.write(DEV, MSI + 2, Size::Word, 1);
    b.hw.write(DEV, MSIX + 2, Size::Word, 0x8000);
    assert_eq!(b.read(MSI, Size::Dword) >> 16 & 1, 0);
    assert_eq!(b.hw.read(DEV, MSI + 2, Size::Word) & 1, 0);
    assert_eq!(b.hw.read(DEV, MSIX + 2, Size::Word), 4);
}

fn any_size() -> impl Strategy<Value = Size> {
    prop_oneof![Just(Size::Byte), Just(Size::Word), Just(Size::Dword)]
}

proptest! {
    /// Any accesses to any device: traps and bindings stay balanced, nothing panics.
    #[test]
    fn any_device_and_any_guest_are_safe(
        noise in prop::collection::vec(any::<u8>(), 256),
        steps in prop::collection::vec((0u16..0x100, any_size(), any::<u32>(), any::<bool>()), 0..200),
        wild: bool,
    ) {
        let mut b = Bench::new();
        if wild {
            let (bytes, mask) = b.hw.0.get_mut(&DEV).unwrap();
            bytes[0x06..0x100].copy_from_slice(&noise[0x06..]);
            bytes[0x06] |= 0x10;
            mask[..0x100].fill(0xff);
        }
        let mut trapped: Vec<Frames> = Vec::new();
        for (offset, size, value, write) in steps {
            let offset = offset & !(size.bytes() - 1);
            if write {
                let effects = b.write(offset, size, value);
                b.effects.extend(effects);
            } else {
                let _ = b.read(offset, size);
            }
            for effect in core::mem::take(&mut b.effects) {
                match effect {
                    Effect::Trap(f) => trapped.push(f),
                    Effect::Untrap(f) => {
                        prop_assert_eq!(trapped.pop(), Some(f));
                    }
                    _ => {}
                }
            }
            if let Some(f) = trapped.last() {
                prop_assert!(b.pci.traps(*f));
                b.pci.write_table(f.first.addr().0.checked_add(u64::from(value) & 0xfff).map(Maddr).unwrap(),
                    4, u64::from(value), &mut |_| ());
            }
        }
        prop_assert!(trapped.len() <= 1);
    }
}
