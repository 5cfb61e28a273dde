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

proptest! {
    #[test]
    fn no_table_panics(kind in 0usize..4, body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = table([b"APIC", b"FACP", b"HPET", b"MCFG"][kind], &body);
        let table = Table::new(&bytes).unwrap();
        let _ = table.entries().count();
        if let Ok(madt) = Madt::new(table) {
            prop_assert!(madt.entries().count() <= body.len());
        }
        if let Ok(fadt) = Fadt::new(table) {
            let _ = (fadt.pm1_control(), fadt.pm_timer(), fadt.reset(), fadt.dsdt());
        }
        let _ = hpet(table);
        if let Ok(spaces) = config_spaces(table) {
            let _ = spaces.count();
        }
    }
}
