use super::*;
use crate::vlapic::apic_id;
use hypercall_abi::arch::{CPUID_NO_SUBLEAF, CpuidLeaf};
use proptest::prelude::*;
use std::vec::Vec;

/// A CPU with every feature bit set, known to science or not.
fn everything(name: &[u8; 12], leaf: u32, subleaf: u32) -> Regs {
    let word = |i: usize| u32::from_le_bytes(name[i..i + 4].try_into().unwrap());
    match (leaf, subleaf) {
        (0, _) => [0x20, word(0), word(8), word(4)],
        (EXTENDED, _) => [0x8000_0028, word(0), word(8), word(4)],
        (7, 0) => [2, u32::MAX, u32::MAX, u32::MAX],
        (4, 4..) => [0; 4],
        (0x8000_0008, _) => [0x0000_3030, u32::MAX, u32::MAX, u32::MAX],
        (0xd, 0) => [0x602e7, 0x2b08, 0x2b08, 0],
        (0xd, 2) => [256, 576, 0, 0],
        (0xd, 5) => [64, 1088, 0, 0],
        (0xd, 6) => [512, 1152, 0, 0],
        (0xd, 7) => [1024, 1664, 0, 0],
        (0xd, 9) => [8, 2688, 0, 0],
        _ => [u32::MAX; 4],
    }
}

const AMD: fn(u32, u32) -> Regs = |leaf, subleaf| everything(b"AuthenticAMD", leaf, subleaf);
const INTEL: fn(u32, u32) -> Regs = |leaf, subleaf| everything(b"GenuineIntel", leaf, subleaf);

const OFFER: Offer = Offer { xcr0_limit: u64::MAX, physical_bits: 40 };

fn config(vcpus: u32) -> Config {
    Config {
        domain: DomId(7),
        vcpus,
        offer: OFFER,
        time: TimeLeaf {
            reliable: true,
            mode: 0,
            khz: 2_000_000,
            incarnation: 0,
            mul: 0x8000_0000,
            shift: -1,
        },
    }
}

fn vcpu(n: u32) -> Vcpu {
    Vcpu { id: VcpuId(n), apic_id: apic_id(VcpuId(n)), cr4: 0, xcr0: 1 }
}

#[test]
fn what_is_not_virtualized_is_hidden() {
    for host in [AMD, INTEL] {
        let policy = Policy::new(&host, &config(2));
        let [_, _, ecx, edx] = policy.query(1, 0, &vcpu(0));
        for (hidden, name) in [(3, "MONITOR"), (5, "VMX"), (6, "SMX"), (15, "PDCM"), (27, "OSXSAVE")] {
            assert_eq!(ecx >> hidden & 1, 0, "{name}");
        }
        for (shown, name) in [(17, "PCID"), (21, "x2APIC"), (24, "TSC deadline"), (26, "XSAVE"), (31, "HV")] {
            assert_eq!(ecx >> shown & 1, 1, "{name}");
        }
        for (shown, name) in [(4, "TSC"), (7, "MCE"), (9, "APIC"), (12, "MTRR"), (16, "PAT"), (28, "HTT")] {
            assert_eq!(edx >> shown & 1, 1, "{name}");
        }
        let [_, ebx, ecx, edx] = policy.query(7, 0, &vcpu(0));
        assert_eq!(ebx >> 7 & 1, 1, "SMEP");
        assert_eq!(ebx >> 20 & 1, 1, "SMAP");
        assert_eq!(ebx & (1 << 2 | 1 << 4 | 1 << 11 | 1 << 14), 0, "SGX, TSX, MPX");
        assert_eq!(ecx & (1 << 16 | 1 << 4 | 1 << 22), 0, "LA57, OSPKE, RDPID");
        assert_eq!(edx >> 26, 0, "speculation controls need their MSRs");
        let [_, _, ecx, edx] = policy.query(0x8000_0001, 0, &vcpu(0));
        assert_eq!(ecx & (1 << 2 | 1 << 22), 0, "SVM, TOPOEXT");
        assert_eq!(edx & (1 << 20 | 1 << 26 | 1 << 27 | 1 << 29), 1 << 20 | 1 << 26 | 1 << 29, "no RDTSCP");
        assert_eq!(policy.query(0x8000_0007, 0, &vcpu(0)), [0, 0, 0, 1 << 8]);
        let [sizes, ebx, ..] = policy.query(0x8000_0008, 0, &vcpu(0));
        assert_eq!((sizes, ebx & 1 << 12), (0x3028, 0), "no IBPB");
        for empty in [5, 0xa, 0xe, 0x14, 0x8000_000a, 0x8000_001e, 0x8000_001f, 0x8000_0022, 0xc000_0000] {
            assert_eq!(policy.query(empty, 0, &vcpu(0)), [0; 4], "{empty:#x}");
        }
    }
}

#[test]
fn the_vcpu_shows_through() {
    let policy = Policy::new(&AMD, &config(4));
    let mut v = vcpu(3);
    assert_eq!(policy.query(1, 0, &v)[1] >> 16, 6 << 8 | 8);
    v.cr4 = CR4_OSXSAVE | CR4_PKE;
    assert_eq!(policy.query(1, 0, &v)[2] >> 27 & 1, 1);
    assert_eq!(policy.query(7, 0, &v)[2] >> 4 & 1, 1);
    assert_eq!(policy.query(0xb, 0, &v), [1, 1, 0x100, 6]);
    assert_eq!(policy.query(0xb, 1, &v), [3, 4, 0x201, 6]);
    assert_eq!(policy.query(0xb, 2, &v), [0, 0, 2, 6]);
    assert_eq!(policy.query(0x8000_0008, 0, &v)[2], 3 | 3 << 12);
}

#[test]
fn extended_state_sizes() {
    let policy = Policy::new(&INTEL, &config(1));
    assert_eq!(policy.xstate.allowed(), 0x2e7);
    let at = |xcr0| policy.query(0xd, 0, &Vcpu { xcr0, ..vcpu(0) });
    assert_eq!(at(1), [0x2e7, 576, 2696, 0]);
    assert_eq!(at(7)[1], 832);
    assert_eq!(at(0x2e7)[1], 2696);
    let compacted = policy.query(0xd, 1, &Vcpu { xcr0: 0x207, ..vcpu(0) });
    assert_eq!(compacted, [0x7, 576 + 256 + 8, 0, 0]);
    assert_eq!(policy.query(0xd, 17, &vcpu(0)), [0; 4]);
    assert_eq!(policy.query(0xd, u32::MAX, &vcpu(0)), [0; 4]);
}

#[test]
fn features_go_with_their_state() {
    let policy = Policy::new(&INTEL, &Config { offer: Offer { xcr0_limit: 0b111, ..OFFER }, ..config(1) });
    assert_eq!(policy.xstate.allowed(), 7);
    let [_, ebx, ecx, _] = policy.query(7, 0, &vcpu(0));
    assert_eq!((ebx >> 5 & 1, ebx >> 16 & 1, ecx >> 3 & 1), (1, 0, 0));
    let policy = Policy::new(&INTEL, &Config { offer: Offer { xcr0_limit: 0, ..OFFER }, ..config(1) });
    assert_eq!(policy.query(1, 0, &vcpu(0))[2] & (1 << 26 | 1 << 28), 0);
    assert_eq!(policy.query(0xd, 0, &vcpu(0)), [0; 4]);
}

#[test]
fn xen_leaves() {
    let policy = Policy::new(&AMD, &config(2));
    let [max, b, c, d] = policy.query(0x4000_0000, 0, &vcpu(1));
    let name: Vec<u8> = [b, c, d].iter().flat_map(|w| w.to_le_bytes()).collect();
    assert_eq!((max, name.as_slice()), (0x4000_0004, b"XenVMMXenVMM".as_slice()));
    assert_eq!(policy.query(0x4000_0001, 0, &vcpu(1)), [0x4_0011, 0, 0, 0]);
    assert_eq!(policy.query(0x4000_0002, 0, &vcpu(1)), [1, 0x4000_0000, 0, 0]);
    assert_eq!(policy.query(0x4000_0003, 0, &vcpu(1)), [0b010, 0, 2_000_000, 0]);
    assert_eq!(policy.query(0x4000_0003, 1, &vcpu(1)), [0, 0, 0x8000_0000, 0xff]);
    assert_eq!(policy.query(0x4000_0003, 2, &vcpu(1)), [2_000_000, 0, 0, 0]);
    assert_eq!(policy.query(0x4000_0004, 0, &vcpu(1)), [0x5a, 1, 7, 0]);
    assert_eq!(policy.query(0x4000_0005, 0, &vcpu(1)), [0; 4]);
    assert_eq!(policy.query(0x4000_0100, 0, &vcpu(1)), [0; 4]);
}

#[test]
fn a_small_old_cpu_still_gets_its_apic() {
    let vendor = u32::from_le_bytes(*b"Genu");
    let host = |leaf, _| match leaf {
        0 => [2, vendor, 0, 0],
        1 => [0x663, 0x800, 0, 0x0383_fbff],
        _ => [0; 4],
    };
    let policy = Policy::new(&host, &config(1));
    assert_eq!(policy.query(0, 0, &vcpu(0))[0], 0xb);
    assert_eq!(policy.query(7, 0, &vcpu(0)), [0; 4]);
    assert_eq!(policy.query(EXTENDED, 0, &vcpu(0)), [0; 4]);
    assert_eq!(policy.query(0xb, 0, &vcpu(0))[3], 0);
}

#[test]
fn the_list_says_the_same_and_restricts() {
    let mut policy = Policy::new(&INTEL, &config(2));
    let entries: Vec<CpuidLeaf> = policy.entries().collect();
    assert!(entries.iter().any(|e| e.leaf == 0xd && e.subleaf == 9));
    for e in &entries {
        let subleaf = if e.subleaf == CPUID_NO_SUBLEAF { 0 } else { e.subleaf };
        assert_eq!(policy.query(e.leaf, subleaf, &Vcpu::BOOT), [e.a, e.b, e.c, e.d]);
        policy.restrict(e).unwrap();
    }
    assert_eq!(policy.entries().collect::<Vec<_>>(), entries, "its own list changes nothing");

    let no_avx = entry(1, None, |_, _| [0, 0, !(1 << 12 | 1 << 28 | 1 << 29), u32::MAX]);
    policy.restrict(&no_avx).unwrap();
    assert_eq!(policy.xstate.allowed(), 0x203);
    assert_eq!(policy.query(7, 0, &vcpu(0))[1] >> 5 & 1, 0, "no AVX2 without AVX");
    let nothing = entry(1, None, |_, _| [0; 4]);
    policy.restrict(&nothing).unwrap();
    assert_eq!(policy.query(1, 0, &vcpu(0))[2], 1 << 21 | 1 << 31);
    let too_far = entry(0, None, |_, _| [0x20, 0, 0, 0]);
    assert_eq!(policy.restrict(&too_far), Err(RestrictError::BeyondLimit(0, CPUID_NO_SUBLEAF)));
}

proptest! {
    #[test]
    fn any_query_is_answered(leaf: u32, subleaf: u32, cr4: u64, xcr0: u64, vcpus: u32) {
        let policy = Policy::new(&AMD, &config(vcpus));
        let v = Vcpu { cr4, xcr0, ..vcpu(0) };
        let _ = policy.query(leaf, subleaf, &v);
        let _ = policy.query(leaf & 0x8000_003f, subleaf & 0x3f, &v);
    }

    #[test]
    fn no_host_breaks_the_build(words: [u32; 16], leaf in 0u32..0x40, subleaf in 0u32..0x40) {
        let noise = |leaf: u32, subleaf: u32| {
            core::array::from_fn(|i| words[(leaf as usize * 7 + subleaf as usize * 3 + i) % 16])
        };
        let policy = Policy::new(&noise, &config(3));
        let _ = policy.query(leaf, subleaf, &vcpu(0));
        let _ = policy.query(leaf | EXTENDED, subleaf, &vcpu(0));
        prop_assert!(policy.entries().count() < 100);
    }
}
