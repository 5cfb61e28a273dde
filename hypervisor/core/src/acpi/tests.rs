use super::*;
use crate::frame::Maddr;
use alloc::vec::Vec;
use proptest::prelude::*;

fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from(*signature);
    bytes.extend(((HEADER_LEN + body.len()) as u32).to_le_bytes());
    bytes.resize(HEADER_LEN, 0);
    bytes.extend(body);
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[9] = bytes[9].wrapping_sub(sum);
    bytes
}

#[test]
fn a_table_is_checked() {
    let good = table(b"TEST", &[1, 2, 3]);
    assert_eq!(Table::new(&good).unwrap().signature(), *b"TEST");
    let mut bad = good.clone();
    bad[40 - 2] ^= 1;
    assert_eq!(Table::new(&bad).unwrap_err(), TableError::Checksum);
    assert_eq!(Table::new(&good[..38]).unwrap_err(), TableError::Short { len: 38 });
    assert!(Madt::new(Table::new(&good).unwrap()).is_err());
}

#[test]
fn madt_entries() {
    let mut body = Vec::new();
    body.extend(0xfee0_0000u32.to_le_bytes());
    body.extend(1u32.to_le_bytes());
    body.extend([0, 8, 7, 3, 1, 0, 0, 0]);
    body.extend([1, 12, 2, 0, 0, 0, 0xc0, 0xfe, 24, 0, 0, 0]);
    body.extend([2, 10, 0, 9, 20, 0, 0, 0, 0x0f, 0]);
    body.extend([9, 16, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0]);
    body.extend([4, 6, 0xff, 0, 0, 1]);
    let bytes = table(b"APIC", &body);
    let madt = Madt::new(Table::new(&bytes).unwrap()).unwrap();
    let entries: Vec<_> = madt.entries().collect();
    assert_eq!(
        entries,
        [
            MadtEntry::Cpu { apic_id: 3, uid: 7, enabled: true, online_capable: false },
            MadtEntry::IoApic(IoApic { id: 2, address: Maddr(0xfec0_0000), gsi_base: 24 }),
            MadtEntry::Override(SourceOverride {
                irq: 9,
                gsi: 20,
                polarity: Polarity::Low,
                trigger: Trigger::Level
            }),
            MadtEntry::Cpu { apic_id: 0x100, uid: 5, enabled: false, online_capable: true },
            MadtEntry::Other(4),
        ]
    );
}

#[test]
fn fadt_prefers_the_wide_fields() {
    let mut body = alloc::vec![0; 276 - HEADER_LEN];
    let mut put = |offset: usize, bytes: &[u8]| {
        body[offset - HEADER_LEN..offset - HEADER_LEN + bytes.len()].copy_from_slice(bytes);
    };
    put(64, &[4, 6, 0, 0]);
    put(89, &[2]);
    put(76, &[8, 6, 0, 0]);
    put(112, &(FLAGS).to_le_bytes());
    put(116, &[1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0]);
    put(128, &[0x0f]);
    put(172, &[1, 16, 0, 2, 4, 7, 0, 0, 0, 0, 0, 0]);
    const FLAGS: u32 = 1 << 8 | 1 << 10;
    let bytes = table(b"FACP", &body);
    let fadt = Fadt::new(Table::new(&bytes).unwrap()).unwrap();
    let [a, b] = fadt.pm1_control();
    assert_eq!(a, Some(GenericAddress { space: AddressSpace::Io, bit_width: 16, address: 0x704 }));
    assert_eq!(b, None);
    let (timer, wide) = fadt.pm_timer().unwrap();
    assert_eq!((timer.address, wide), (0x608, true));
    assert_eq!(fadt.reset().map(|(r, v)| (r.address, v)), Some((0xcf9, 0x0f)));
}

#[test]
fn root_tables_of_both_widths() {
    let narrow = table(b"RSDT", &[0, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(Table::new(&narrow).unwrap().entries().collect::<Vec<_>>(), [0x10000]);
    let wide = table(b"XSDT", &[0, 0, 0, 0, 1, 0, 0, 0, 9]);
    assert_eq!(Table::new(&wide).unwrap().entries().collect::<Vec<_>>(), [1 << 32]);
}

/// A structure: kind, flags, length and the rest, as each table has them.
fn unit(flags: u8, segment: u16, registers: u64) -> Vec<u8> {
    let mut bytes = Vec::from([0, 0, 16, 0, flags, 0]);
    bytes.extend(segment.to_le_bytes());
    bytes.extend(registers.to_le_bytes());
    bytes
}

fn reserved(start: u64, last: u64) -> Vec<u8> {
    let mut bytes = Vec::from([1, 0, 24, 0, 0, 0, 0, 0]);
    bytes.extend(start.to_le_bytes());
    bytes.extend(last.to_le_bytes());
    bytes
}

fn dmar(structures: &[Vec<u8>]) -> Result<Dmar, IommuError> {
    let mut body = alloc::vec![0; 12];
    body.extend(structures.concat());
    Dmar::new(Table::new(&table(b"DMAR", &body)).unwrap())
}

#[test]
fn dmar_lists_units_and_what_devices_need() {
    let other = Vec::from([9, 0, 5, 0, 0]);
    let read = dmar(&[unit(1, 2, 0xfed9_0000), other, reserved(0x7c00_0000, 0x7c7f_ffff)]).unwrap();
    let registers = Maddr(0xfed9_0000);
    assert_eq!(read.units, [VtdUnit { registers, len: 4096, segment: 2, rest_of_segment: true }]);
    assert_eq!(read.reserved, [Reserved { start: 0x7c00_0000, end: 0x7c80_0000, write: true }]);
}

#[test]
fn a_damaged_dmar_is_refused_by_name() {
    let good = unit(0, 0, 0xfed9_0000);
    let cut = |bytes: &[u8]| Vec::from(bytes);
    for (structures, why) in [
        (Vec::new(), IommuError::NoUnit),
        (alloc::vec![good.clone(), cut(&[0, 0, 40, 0])], IommuError::Length { at: 64 }),
        (alloc::vec![cut(&[0, 0, 3, 0])], IommuError::Length { at: 48 }),
        (alloc::vec![cut(&[0, 0])], IommuError::Length { at: 48 }),
        (alloc::vec![cut(&[0, 0, 8, 0, 0, 0, 0, 0])], IommuError::Short { at: 48 }),
        (alloc::vec![unit(0, 0, 0x1234)], IommuError::Registers { at: 48, registers: Maddr(0x1234) }),
        (
            alloc::vec![good.clone(), reserved(0x5000, 0x4fff)],
            IommuError::Range { at: 64, start: 0x5000, end: 0x5000 },
        ),
        (
            alloc::vec![good.clone(), reserved(0x5000, u64::MAX)],
            IommuError::Range { at: 64, start: 0x5000, end: u64::MAX },
        ),
    ] {
        assert_eq!(dmar(&structures), Err(why));
    }
}

#[test]
fn ivrs_lists_each_unit_once_and_what_devices_need() {
    let block = |kind: u8, flags: u8, id: u16, registers: u64| {
        let mut bytes = Vec::from([kind, flags, 24, 0]);
        bytes.extend(id.to_le_bytes());
        bytes.extend([0x40, 0]);
        bytes.extend(registers.to_le_bytes());
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    };
    let memory = |flags: u8, start: u64, len: u64| {
        let mut bytes = Vec::from([0x20, flags, 32, 0]);
        bytes.resize(16, 0);
        bytes.extend(start.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes
    };
    let ivrs = |structures: &[Vec<u8>]| {
        let mut body = alloc::vec![0; 12];
        body.extend(structures.concat());
        Ivrs::new(Table::new(&table(b"IVRS", &body)).unwrap())
    };
    let unit = block(0x10, 0x2f, 0x0010, 0xfed8_0000);
    let again = block(0x11, 0x2f, 0x0010, 0xfed8_0000);
    let read =
        ivrs(&[unit.clone(), again, memory(3, 0x8000, 0x1800), memory(0, 0, 0), memory(8, 0, 1)]).unwrap();
    let function = crate::vpci::Bdf { segment: 1, bus: 0, devfn: 0x10 };
    assert_eq!(read.units, [AmdUnit { function, registers: Maddr(0xfed8_0000), flags: 0x2f }]);
    let unity = Reserved { start: 0x8000, end: 0xa000, write: false };
    assert_eq!(read.reserved, [unity, Reserved { start: 0, end: 0x1000, write: true }]);
    assert_eq!(ivrs(&[]), Err(IommuError::NoUnit));
    let endless = ivrs(&[unit, memory(1, u64::MAX, 2)]);
    assert_eq!(endless, Err(IommuError::Range { at: 72, start: u64::MAX, end: 2 }));
    assert_eq!(ivrs(&[block(0x10, 0, 0, 0)]), Err(IommuError::Registers { at: 48, registers: Maddr(0) }));
}

proptest! {
    #[test]
    fn no_table_panics(kind in 0usize..6, body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = table([b"APIC", b"FACP", b"HPET", b"MCFG", b"DMAR", b"IVRS"][kind], &body);
        let table = Table::new(&bytes).unwrap();
        let _ = table.entries().count();
        if let Ok(madt) = Madt::new(table) {
            prop_assert!(madt.entries().count() <= body.len());
        }
        if let Ok(fadt) = Fadt::new(table) {
            let _ = (fadt.pm1_control(), fadt.pm_timer(), fadt.reset(), fadt.dsdt());
        }
        let _ = hpet(table);
        let reserved = Dmar::new(table).map(|read| read.reserved);
        let reserved = reserved.or_else(|_| Ivrs::new(table).map(|read| read.reserved));
        prop_assert!(reserved.iter().flatten().all(|range| range.start < range.end));
        if let Ok(spaces) = config_spaces(table) {
            let _ = spaces.count();
        }
    }
}
