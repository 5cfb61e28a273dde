//! Where the event bits are in `shared_info` and `vcpu_info` (`public/xen.h`).
//!
//! A guest's word size is its own affair and may change while it boots, so it is a value, not a type. x86 is
//! little-endian: bit n of an array of longs is bit n % 32 of its 32-bit word n / 32 in both layouts, and only the
//! selector depends on the size of a long.

use core::mem::offset_of;

use hypercall_abi::xen::{SharedInfo, VcpuInfo};
use hypercall_abi::{X32, X64};

/// vCPUs that have their `vcpu_info` in the shared page (`XEN_LEGACY_MAX_VCPUS`).
pub const LEGACY_VCPUS: u32 = 32;
/// Bytes of a `vcpu_info`, in both layouts.
pub const VCPU_INFO_SIZE: usize = size_of::<VcpuInfo<X64>>();
/// The byte in `vcpu_info` that asks for an upcall.
pub(super) const UPCALL_PENDING: usize = offset_of!(VcpuInfo<X64>, evtchn_upcall_pending);

// What both layouts have in common, and the code below takes for granted.
const _: () = {
    assert!(size_of::<VcpuInfo<X32>>() == VCPU_INFO_SIZE);
    assert!(
        UPCALL_PENDING == offset_of!(VcpuInfo<X32>, evtchn_upcall_pending)
            && UPCALL_PENDING.is_multiple_of(4)
    );
};

/// The layout of the pages a guest shares with the hypervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// 32-bit guest.
    X32,
    /// 64-bit guest.
    X64,
}

/// A bit in a shared page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bit {
    pub offset: usize,
    pub mask: u32,
}

impl Layout {
    /// Bits in one of the guest's longs.
    const fn long_bits(self) -> u32 {
        match self {
            Self::X32 => 32,
            Self::X64 => 64,
        }
    }

    /// One past the highest port of the 2-level ABI.
    pub const fn ports(self) -> u32 {
        self.long_bits() * self.long_bits()
    }

    /// The alignment a `vcpu_info` needs, in bytes.
    pub const fn align(self) -> usize {
        self.long_bits() as usize / 8
    }

    const fn bit(base: usize, n: u32) -> Bit {
        Bit { offset: base + (n / 32) as usize * 4, mask: 1 << (n % 32) }
    }

    /// The port's bit in `shared_info.evtchn_pending`, if the layout has the port.
    pub(super) const fn pending(self, port: u32) -> Option<Bit> {
        let base = match self {
            Self::X32 => offset_of!(SharedInfo<X32>, evtchn_pending),
            Self::X64 => offset_of!(SharedInfo<X64>, evtchn_pending),
        };
        if port < self.ports() { Some(Self::bit(base, port)) } else { None }
    }

    /// The port's bit in `shared_info.evtchn_mask`, if the layout has the port.
    pub(super) const fn mask(self, port: u32) -> Option<Bit> {
        let base = match self {
            Self::X32 => offset_of!(SharedInfo<X32>, evtchn_mask),
            Self::X64 => offset_of!(SharedInfo<X64>, evtchn_mask),
        };
        if port < self.ports() { Some(Self::bit(base, port)) } else { None }
    }

    /// The port's bit in `vcpu_info.evtchn_pending_sel`, from the start of the `vcpu_info`.
    pub(super) const fn selector(self, port: u32) -> Option<Bit> {
        let (base, _) = self.selector_words();
        if port < self.ports() { Some(Self::bit(base, port / self.long_bits())) } else { None }
    }

    /// The whole of `evtchn_pending_sel`: offset in `vcpu_info` and number of 32-bit words.
    pub(super) const fn selector_words(self) -> (usize, usize) {
        match self {
            Self::X32 => (offset_of!(VcpuInfo<X32>, evtchn_pending_sel), 1),
            Self::X64 => (offset_of!(VcpuInfo<X64>, evtchn_pending_sel), 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_have_the_header_offsets() {
        assert_eq!(Layout::X64.pending(0), Some(Bit { offset: 2048, mask: 1 }));
        assert_eq!(Layout::X64.pending(4095), Some(Bit { offset: 2048 + 508, mask: 1 << 31 }));
        assert_eq!(Layout::X64.mask(64), Some(Bit { offset: 2560 + 8, mask: 1 }));
        assert_eq!(Layout::X64.selector(33 * 64), Some(Bit { offset: 12, mask: 2 }));
        assert_eq!(Layout::X32.mask(0), Some(Bit { offset: 2048 + 128, mask: 1 }));
        assert_eq!(Layout::X32.selector(1023), Some(Bit { offset: 4, mask: 1 << 31 }));
        assert_eq!(Layout::X32.pending(1024), None);
        assert_eq!(Layout::X64.mask(4096), None);
    }
}
