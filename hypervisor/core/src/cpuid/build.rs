//! From the host's leaves to a domain's.

use super::features as f;
use super::topology::Topology;
use super::xstate::{XCR0_AVX, XCR0_AVX512, XCR0_LEGACY, XCR0_PKRU, XState};
use super::{BASIC_LEAVES, Config, EXTENDED, EXTENDED_LEAVES, Host, Offer, Policy};

impl Policy {
    /// Works out what `config`'s guest sees on `host`.
    pub fn new(host: Host<'_>, config: &Config) -> Self {
        let [_, vendor, _, _] = host(0, 0);
        // It decides which leaves exist in which form. Hygon's CPUs are AMD's.
        let is_amd = matches!(&vendor.to_le_bytes(), b"Auth" | b"Hygo");
        let mut policy = Self {
            basic: [[0; 4]; BASIC_LEAVES],
            extended: [[0; 4]; EXTENDED_LEAVES],
            caches: [[0; 4]; 8],
            structured: [[0; 4]; 2],
            xstate: XState::NONE,
            topology: Topology::new(config.vcpus),
            domain: config.domain,
            time: config.time,
        };
        policy.basic_leaves(host, is_amd);
        policy.structured_features(host);
        policy.extended_leaves(host, &config.offer, is_amd);
        policy.extended_state(host, &config.offer);
        policy
    }

    fn basic_leaves(&mut self, host: Host<'_>, is_amd: bool) {
        let [max, vendor_b, vendor_c, vendor_d] = host(0, 0);
        // x2APIC goes with leaf 0xb, so the guest gets that far even where the host does not.
        self.basic[0] = [max.clamp(0xb, BASIC_LEAVES as u32 - 1), vendor_b, vendor_c, vendor_d];

        let [signature, brand, ecx, edx] = host(1, 0);
        let shown_c = ecx & f::LEAF1_ECX | f::HYPERVISOR | f::TSC_DEADLINE | f::X2APIC;
        let mut shown_d = edx & f::LEAF1_EDX;
        if self.topology.is_smp() {
            shown_d |= f::HTT;
        }
        // The APIC id comes at lookup.
        let ids = if self.topology.is_smp() { self.topology.package_ids() << 16 } else { 1 << 16 };
        self.basic[1] = [signature, brand & 0xffff | ids, shown_c, shown_d];

        if !is_amd {
            self.basic[2] = host(2, 0);
            if max >= 4 {
                for (subleaf, cache) in self.caches.iter_mut().enumerate() {
                    let [eax, ebx, ecx, edx] = host(4, subleaf as u32);
                    if eax & 0x1f == 0 {
                        break;
                    }
                    *cache = [self.topology.cache(eax), ebx, ecx, edx];
                }
            }
        }
        self.basic[6] = [f::ARAT, 0, 0, 0];
    }

    fn structured_features(&mut self, host: Host<'_>) {
        if host(0, 0)[0] < 7 {
            return;
        }
        let [subleaves, ebx, ecx, edx] = host(7, 0);
        self.structured[0] = [subleaves.min(1), ebx & f::LEAF7_EBX, ecx & f::LEAF7_ECX, edx & f::LEAF7_EDX];
        if subleaves >= 1 {
            let allowed = f::LEAF7_1_EAX | f::LEAF7_1_EAX_AVX | f::LEAF7_1_EAX_AVX512;
            self.structured[1] = [host(7, 1)[0] & allowed, 0, 0, 0];
        }
    }

    fn extended_leaves(&mut self, host: Host<'_>, offer: &Offer, is_amd: bool) {
        let [max, ebx, ecx, edx] = host(EXTENDED, 0);
        if max < EXTENDED {
            return;
        }
        let max = max.min(EXTENDED + EXTENDED_LEAVES as u32 - 1);
        let host_leaf =
            |offset: u32| if EXTENDED + offset <= max { host(EXTENDED + offset, 0) } else { [0; 4] };
        self.extended[0] = [max, ebx, ecx, edx];

        let [signature, brand, ecx, edx] = host_leaf(1);
        let mut shown_c = ecx & (f::EXT1_ECX | f::EXT1_ECX_NEEDS_AVX);
        let mut shown_d = edx & f::EXT1_EDX;
        if is_amd {
            shown_d |= edx & self.basic[1][3] & f::EXT1_EDX_COMMON;
            if self.topology.is_smp() {
                shown_c |= f::CMP_LEGACY;
            }
        }
        self.extended[1] = [signature, brand, shown_c, shown_d];

        // The brand string and the old cache leaves.
        for offset in 2..=6 {
            self.extended[offset as usize] = host_leaf(offset);
        }
        let invariant = if self.time.reliable { f::INVARIANT_TSC } else { 0 };
        self.extended[7] = [0, 0, 0, host_leaf(7)[3] & invariant];

        let [sizes, ebx, _, _] = host_leaf(8);
        let cores = if is_amd { self.topology.amd_cores() } else { 0 };
        let physical = (sizes & 0xff).min(u32::from(offer.physical_bits));
        self.extended[8] = [sizes & 0xff00 | physical, ebx & f::EXT8_EBX, cores, 0];

        if is_amd {
            // TLBs of 1 GiB pages; width of the vector units.
            self.extended[0x19] = host_leaf(0x19);
            self.extended[0x1a] = host_leaf(0x1a);
            self.extended[0x21] = [host_leaf(0x21)[0] & f::EXT21_EAX, 0, 0, 0];
        }
    }

    /// Leaf 0xd from what was shown so far, and away with what needs state that is not there.
    fn extended_state(&mut self, host: Host<'_>, offer: &Offer) {
        if self.basic[1][2] & f::XSAVE != 0 && host(0, 0)[0] >= 0xd {
            let wanted = offer.xcr0_limit & (XCR0_LEGACY | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU);
            self.xstate = XState::new(host, wanted, host(0xd, 1)[0] & f::XSAVE_EXTRAS);
        }
        self.settle();
    }

    /// Makes features and extended state agree, after either was cut.
    pub(super) fn settle(&mut self) {
        if self.basic[1][2] & f::XSAVE == 0 || self.xstate.allowed() & XCR0_LEGACY != XCR0_LEGACY {
            self.xstate = XState::NONE;
            self.basic[1][2] &= !f::XSAVE;
        }
        if self.structured[0][1] & f::LEAF7_EBX_AVX512 == 0 {
            self.xstate.restrict(!XCR0_AVX512);
        }
        if self.structured[0][2] & f::PKU == 0 {
            self.xstate.restrict(!XCR0_PKRU);
        }
        if self.basic[1][2] & f::LEAF1_ECX_NEEDS_AVX == 0 {
            self.xstate.restrict(!(XCR0_AVX | XCR0_AVX512));
        }
        let allowed = self.xstate.allowed();
        if allowed & XCR0_AVX == 0 {
            self.basic[1][2] &= !f::LEAF1_ECX_NEEDS_AVX;
            self.structured[0][1] &= !f::LEAF7_EBX_NEEDS_AVX;
            self.structured[0][2] &= !f::LEAF7_ECX_NEEDS_AVX;
            self.structured[1][0] &= !f::LEAF7_1_EAX_AVX;
            self.extended[1][2] &= !f::EXT1_ECX_NEEDS_AVX;
        }
        if allowed & XCR0_AVX512 == 0 {
            self.structured[0][1] &= !f::LEAF7_EBX_AVX512;
            self.structured[0][2] &= !f::LEAF7_ECX_AVX512;
            self.structured[1][0] &= !f::LEAF7_1_EAX_AVX512;
        }
        if allowed & XCR0_PKRU == 0 {
            self.structured[0][2] &= !f::PKU;
        }
    }
}
