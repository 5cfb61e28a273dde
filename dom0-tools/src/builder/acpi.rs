//! The ACPI tables of a PVH guest (ACPI 5.1): a reduced-hardware machine with its vCPUs and nothing else.
//!
//! A guest learns its vCPUs from the MADT: all that it may have. Linux keeps no APIC id of a processor that is not
//! enabled there, and could never start it; it switches those off that xenstore calls offline before its userspace
//! starts. Everything else that a guest needs it finds through Xen's interface.

/// Guest-physical address of the local APIC.
const LAPIC: u32 = 0xfee0_0000;
const OEM: &[u8; 6] = b"TENON\0";
const OEM_TABLE: &[u8; 8] = b"PVHGUEST";
const HEADER: usize = 36;
/// FADT flag: no fixed ACPI hardware (ACPI 5.1, table 5-35).
const HW_REDUCED: u32 = 1 << 20;
/// FADT boot flags: no VGA, no CMOS clock (ACPI 5.1, table 5-36).
const NO_VGA_NO_RTC: u16 = 1 << 2 | 1 << 5;
/// MADT local APIC flag: the processor is usable now.
const LAPIC_ENABLED: u32 = 1;

/// The local APIC id of a vCPU, as Xen numbers them.
#[must_use]
pub const fn apic_id(vcpu: u32) -> u32 {
    vcpu * 2
}

/// The tables of a guest with `maxvcpus` vCPUs, to be placed at guest-physical `base`, where its root pointer (RSDP)
/// will be. `maxvcpus` is at most 128.
#[must_use]
pub fn tables(base: u64, maxvcpus: u32) -> Vec<u8> {
    let mut image = Image { base, bytes: vec![0; 48] };
    // One empty scope: an interpreter that wants some AML in a DSDT gets `Scope(\_SB) {}`.
    let dsdt = image.add(table(b"DSDT", 2, b"\x10\x06\\_SB_"));
    let fadt = image.add(fadt(dsdt));
    let madt = image.add(madt(maxvcpus));
    let pointers: Vec<u8> = [fadt, madt].iter().flat_map(|a| a.to_le_bytes()).collect();
    let xsdt = image.add(table(b"XSDT", 1, &pointers));
    image.bytes[..36].copy_from_slice(&rsdp(xsdt));
    image.bytes
}

struct Image {
    base: u64,
    bytes: Vec<u8>,
}

impl Image {
    /// Appends a table, aligned to 16 bytes, and returns its guest-physical address.
    fn add(&mut self, table: Vec<u8>) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(16), 0);
        let address = self.base + self.bytes.len() as u64;
        self.bytes.extend(table);
        address
    }
}

/// The byte that makes all bytes sum up to 0.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0_u8, |sum, b| sum.wrapping_add(*b)).wrapping_neg()
}

/// A table with the common header (ACPI 5.1, section 5.2.6).
fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let length = (HEADER + body.len()) as u32;
    let mut table = Vec::from(signature);
    table.extend(length.to_le_bytes());
    table.extend([revision, 0]);
    table.extend(OEM);
    table.extend(OEM_TABLE);
    table.extend(1_u32.to_le_bytes());
    table.extend(b"TENO");
    table.extend(1_u32.to_le_bytes());
    table.extend(body);
    table[9] = checksum(&table);
    table
}

/// The root pointer (ACPI 5.1, section 5.2.5.3).
fn rsdp(xsdt: u64) -> [u8; 36] {
    let mut rsdp = [0; 36];
    rsdp[..8].copy_from_slice(b"RSD PTR ");
    rsdp[9..15].copy_from_slice(OEM);
    rsdp[15] = 2;
    rsdp[20..24].copy_from_slice(&36_u32.to_le_bytes());
    rsdp[24..32].copy_from_slice(&xsdt.to_le_bytes());
    rsdp[8] = checksum(&rsdp[..20]);
    rsdp[32] = checksum(&rsdp);
    rsdp
}

/// The fixed description table, revision 5 (ACPI 5.1, section 5.2.9).
fn fadt(dsdt: u64) -> Vec<u8> {
    let mut fadt = [0_u8; 268 - HEADER];
    let mut put = |offset: usize, bytes: &[u8]| {
        fadt[offset - HEADER..][..bytes.len()].copy_from_slice(bytes);
    };
    put(109, &NO_VGA_NO_RTC.to_le_bytes());
    put(112, &HW_REDUCED.to_le_bytes());
    put(140, &dsdt.to_le_bytes());
    table(b"FACP", 5, &fadt)
}

/// The interrupt controllers (ACPI 5.1, section 5.2.12): a local APIC per vCPU.
fn madt(maxvcpus: u32) -> Vec<u8> {
    let mut body = Vec::from(LAPIC.to_le_bytes());
    body.extend(0_u32.to_le_bytes());
    for vcpu in 0..maxvcpus {
        // Both fit: there are at most 128 vCPUs. The processor id is what Linux takes for Xen's vCPU id.
        body.extend([0, 8, vcpu as u8, apic_id(vcpu) as u8]);
        body.extend(LAPIC_ENABLED.to_le_bytes());
    }
    table(b"APIC", 2, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0xfc00_0000;

    fn at(image: &[u8], address: u64) -> &[u8] {
        let bytes = &image[(address - BASE) as usize..];
        &bytes[..u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize]
    }

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum, b| sum.wrapping_add(*b))
    }

    fn pointer(bytes: &[u8], offset: usize) -> u64 {
        u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
    }

    #[test]
    fn every_table_is_found_from_the_root_and_sums_to_zero() {
        let image = tables(BASE, 5);
        assert_eq!((sum(&image[..20]), sum(&image[..36])), (0, 0));
        let xsdt = at(&image, pointer(&image, 24));
        let (fadt, madt) = (at(&image, pointer(xsdt, 36)), at(&image, pointer(xsdt, 44)));
        let dsdt = at(&image, pointer(fadt, 140));
        for (table, signature) in [(xsdt, b"XSDT"), (fadt, b"FACP"), (madt, b"APIC"), (dsdt, b"DSDT")] {
            assert_eq!(&table[..4], signature);
            assert_eq!(sum(table), 0, "{signature:?}");
        }
        assert_eq!(fadt.len(), 268);
    }

    #[test]
    fn the_madt_lists_every_vcpu() {
        let madt = madt(128);
        let entries: Vec<&[u8]> = madt[44..].chunks(8).collect();
        assert_eq!(entries.len(), 128);
        assert_eq!(entries[1], [0, 8, 1, 2, 1, 0, 0, 0]);
        assert_eq!(entries[127], [0, 8, 127, 254, 1, 0, 0, 0]);
    }
}
