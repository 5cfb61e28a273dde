//! The ACPI tables of domain 0.
//!
//! Domain 0 reads the firmware's own tables where they are, since its memory is identity-mapped. Only the root
//! (RSDP, XSDT) and the MADT are new: the list leaves out what describes hardware that Tenon keeps, or a shape of
//! CPUs and memory that the domain does not have, and the MADT lists its vCPUs with the machine's I/O APICs.

use core::fmt;

use alloc::vec::Vec;

use crate::acpi::{HEADER_LEN as HEADER, checksum, structures};
use crate::frame::{Gaddr, Maddr};
use crate::ids::VcpuId;
use crate::vlapic::{APIC_PAGE, apic_id};

/// Tables that are never passed on: timers and IOMMUs, which are Tenon's; NUMA, memory and CPU topology, which are
/// of the machine and not of the domain; and what is replaced.
const HIDDEN: [[u8; 4]; 13] = [
    *b"HPET", *b"DMAR", *b"IVRS", *b"VIOT", *b"SRAT", *b"SLIT", *b"HMAT", *b"MSCT", *b"MPST", *b"PMTT",
    *b"PPTT", *b"APIC", *b"XSDT",
];
/// Tables that name a serial port; left out while Tenon has it.
const SERIAL: [[u8; 4]; 3] = [*b"SPCR", *b"DBGP", *b"DBG2"];

const RSDP: usize = 36;
const XSDT_AT: usize = 64;

/// Entry types of the MADT (ACPI 6.5, table 5.21).
const LOCAL_APIC: u8 = 0;
const IO_APIC: u8 = 1;
const OVERRIDE: u8 = 2;
const LOCAL_X2APIC: u8 = 9;
const ENABLED: u32 = 1;

/// The firmware's tables have no MADT, so there are no I/O APICs to pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMadt;

impl fmt::Display for NoMadt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("domain 0 needs ACPI's MADT, which this machine does not have")
    }
}

/// A table of the firmware.
#[derive(Clone, Copy, Debug)]
pub struct HostTable<'a> {
    /// Where it is.
    pub address: Maddr,
    /// Its bytes, header included; already checked.
    pub bytes: &'a [u8],
}

impl HostTable<'_> {
    fn signature(&self) -> [u8; 4] {
        self.bytes.first_chunk().copied().unwrap_or_default()
    }
}

/// The new tables, not yet placed.
#[derive(Clone, Debug)]
pub struct Dom0Tables {
    /// OEM and creator fields of the firmware's MADT, which the new tables carry too.
    oem: [u8; HEADER - 10],
    kept: Vec<Maddr>,
    madt: Vec<u8>,
}

impl Dom0Tables {
    /// Decides what a domain 0 with `vcpus` vCPUs sees of `host`. `report` gets each table's name and whether it
    /// is passed on.
    ///
    /// # Errors
    /// [`NoMadt`].
    pub fn new(
        host: &[HostTable<'_>],
        vcpus: u32,
        serial_is_ours: bool,
        mut report: impl FnMut([u8; 4], bool),
    ) -> Result<Self, NoMadt> {
        let madt = host.iter().find(|t| &t.signature() == b"APIC").ok_or(NoMadt)?;
        let oem = madt.bytes.get(10..HEADER).and_then(|b| b.try_into().ok()).ok_or(NoMadt)?;
        let mut kept = Vec::with_capacity(host.len());
        for table in host {
            let name = table.signature();
            let keep = !(HIDDEN.contains(&name) || serial_is_ours && SERIAL.contains(&name));
            if keep {
                kept.push(table.address);
            }
            report(name, keep);
        }
        Ok(Self { oem, kept, madt: madt_of(madt.bytes, vcpus) })
    }

    /// Bytes that [`place`](Self::place) returns.
    pub fn size(&self) -> usize {
        self.madt_at() + HEADER + self.madt.len()
    }

    fn madt_at(&self) -> usize {
        (XSDT_AT + HEADER + 8 * (self.kept.len() + 1)).next_multiple_of(16)
    }

    /// The tables as they have to lie at `at` in guest memory. The RSDP is at the start.
    pub fn place(&self, at: Gaddr) -> Vec<u8> {
        let mut out = self.rsdp(at.0.wrapping_add(XSDT_AT as u64));
        out.resize(XSDT_AT, 0);
        let madt = Maddr(at.0.wrapping_add(self.madt_at() as u64));
        let list: Vec<u8> = self.kept.iter().chain([&madt]).flat_map(|table| table.0.to_le_bytes()).collect();
        out.extend(self.table(*b"XSDT", 1, &list));
        out.resize(self.madt_at(), 0);
        out.extend(self.table(*b"APIC", 4, &self.madt));
        out
    }

    /// The root pointer (ACPI 6.5, 5.2.5.3), with two checksums.
    fn rsdp(&self, xsdt: u64) -> Vec<u8> {
        let length = (RSDP as u32).to_le_bytes();
        let mut rsdp =
            [b"RSD PTR \0", &self.oem[..6], &[2, 0, 0, 0, 0], &length, &xsdt.to_le_bytes()].concat();
        rsdp.resize(RSDP, 0);
        rsdp[8] = checksum(&rsdp[..20]);
        rsdp[32] = checksum(&rsdp);
        rsdp
    }

    fn table(&self, signature: [u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
        let length = ((HEADER + body.len()) as u32).to_le_bytes();
        let mut table = [&signature[..], &length, &[revision, 0], &self.oem, body].concat();
        table[9] = checksum(&table);
        table
    }
}

/// The MADT without its header: the vCPUs, then the machine's I/O APICs and the wiring of ISA interrupts. The
/// flag for 8259s stays off: the domain has none.
fn madt_of(host: &[u8], vcpus: u32) -> Vec<u8> {
    let mut madt = [(APIC_PAGE as u32).to_le_bytes(), 0u32.to_le_bytes()].concat();
    for uid in 0..vcpus {
        let id = apic_id(VcpuId(uid));
        match (u8::try_from(id), u8::try_from(uid)) {
            (Ok(id), Ok(uid)) if id != 0xff => {
                madt.extend_from_slice(&[LOCAL_APIC, 8, uid, id]);
                madt.extend_from_slice(&ENABLED.to_le_bytes());
            }
            _ => {
                madt.extend_from_slice(&[LOCAL_X2APIC, 16, 0, 0]);
                madt.extend([id, ENABLED, uid].iter().flat_map(|word| word.to_le_bytes()));
            }
        }
    }
    for (_, entry) in structures(host).filter(|(kind, _)| matches!(*kind, IO_APIC | OVERRIDE)) {
        madt.extend_from_slice(entry);
    }
    madt
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;

    const MADT_ENTRIES: usize = HEADER + 8;

    fn host_table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut t = signature.to_vec();
        t.extend_from_slice(&((HEADER + body.len()) as u32).to_le_bytes());
        t.extend_from_slice(&[3, 0]);
        t.extend_from_slice(b"BOCHS BXPC    ");
        t.resize(HEADER, 1);
        t.extend_from_slice(body);
        t
    }

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |s, b| s.wrapping_add(*b))
    }

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    fn host_madt() -> Vec<u8> {
        let mut body = vec![0, 0, 0xe0, 0xfe, 1, 0, 0, 0];
        body.extend_from_slice(&[0, 8, 0, 0, 1, 0, 0, 0]);
        body.extend_from_slice(&[1, 12, 2, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
        body.extend_from_slice(&[2, 10, 0, 9, 9, 0, 0, 0, 0xd, 0]);
        body.extend_from_slice(&[4, 6, 0xff, 0, 0, 1]);
        host_table(b"APIC", &body)
    }

    #[test]
    fn root_list_and_madt() {
        let madt = host_madt();
        let others =
            [*b"FACP", *b"HPET", *b"MCFG", *b"DMAR", *b"SSDT", *b"SPCR"].map(|s| host_table(&s, &[7; 4]));
        let mut host = vec![HostTable { address: Maddr(0x7000), bytes: &madt }];
        for (i, t) in others.iter().enumerate() {
            host.push(HostTable { address: Maddr(0x8000 + 0x100 * i as u64), bytes: t });
        }
        let mut hidden = Vec::new();
        let tables = Dom0Tables::new(&host, 129, true, |name, kept| {
            if !kept {
                hidden.push(name);
            }
        })
        .unwrap();
        assert_eq!(hidden, [*b"APIC", *b"HPET", *b"DMAR", *b"SPCR"]);

        let at = 0x9_f000;
        let bytes = tables.place(Gaddr(at));
        assert_eq!(bytes.len(), tables.size());
        assert_eq!(&bytes[..8], b"RSD PTR ");
        assert_eq!((sum(&bytes[..20]), sum(&bytes[..36]), bytes[15]), (0, 0, 2));

        let xsdt = &bytes[(u64_at(&bytes, 24) - at) as usize..];
        let length = u32_at(xsdt, 4) as usize;
        assert_eq!((&xsdt[..4], sum(&xsdt[..length])), (&b"XSDT"[..], 0));
        let list: Vec<u64> = (HEADER..length).step_by(8).map(|i| u64_at(xsdt, i)).collect();
        assert_eq!(list[..3], [0x8000, 0x8200, 0x8400]);
        assert_eq!(list.len(), 4);

        let madt = &bytes[(list[3] - at) as usize..];
        assert_eq!((&madt[..4], sum(madt), u32_at(madt, 4) as usize), (&b"APIC"[..], 0, madt.len()));
        assert_eq!(&madt[10..16], b"BOCHS ");
        assert_eq!((u32_at(madt, 36), u32_at(madt, 40)), (0xfee0_0000, 0));
        assert_eq!(madt[44..60], [0, 8, 0, 0, 1, 0, 0, 0, 0, 8, 1, 2, 1, 0, 0, 0]);
        let wide = 44 + 127 * 8 + 8;
        assert_eq!(madt[44 + 126 * 8..][..4], [0, 8, 126, 252]);
        assert_eq!(madt[wide - 8..][..4], [0, 8, 127, 254]);
        assert_eq!(madt[wide..wide + 16], [9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 128, 0, 0, 0]);
        assert_eq!(madt[wide + 16..][..2], [1, 12]);
        assert_eq!(madt[wide + 28..][..2], [2, 10]);
        assert_eq!(madt.len(), wide + 38);
    }

    #[test]
    fn no_madt_is_said() {
        assert_eq!(Dom0Tables::new(&[], 1, false, |_, _| ()).err(), Some(NoMadt));
    }

    proptest! {
        #[test]
        fn a_broken_madt_gives_a_right_one(body in prop::collection::vec(any::<u8>(), 0..200), vcpus in 0u32..300) {
            let bytes = host_table(b"APIC", &body);
            let host = [HostTable { address: Maddr(0), bytes: &bytes }];
            let tables = Dom0Tables::new(&host, vcpus, false, |_, _| ()).unwrap();
            let placed = tables.place(Gaddr(0x1000));
            prop_assert_eq!(placed.len(), tables.size());
            let madt = &placed[tables.madt_at()..];
            prop_assert_eq!(sum(madt), 0);
            let mut at = MADT_ENTRIES;
            while at < madt.len() {
                prop_assert!(madt[at + 1] >= 2);
                at += usize::from(madt[at + 1]);
            }
            prop_assert_eq!(at, madt.len());
        }
    }
}
