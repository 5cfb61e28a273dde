//! Where the event bits are in `shared_info` and `vcpu_info` (`public/xen.h`).
//!
//! A guest's word size is its own affair and may change while it boots, so it is a value, not a type. x86 is
//! little-endian: bit n of an array of longs is bit n % 32 of its 32-bit word n / 32 in both layouts, and only the
//! selector depends on the size of a long.

use core::mem::offset_of;

use hypercall_abi::xen::{SharedInfo, VcpuInfo};
use hypercall_abi::{Abi, X32, X64};

/// vCPUs that have their `vcpu_info` in the shared page (`XEN_LEGACY_MAX_VCPUS`).
pub(super) const LEGACY_VCPUS: u32 = 32;
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

/// What the layouts differ in: offsets in `shared_info` and `vcpu_info`, and the size of a long.
struct Places {
    pending: usize,
    mask: usize,
    selector: usize,
    long_bits: u32,
}

impl Places {
    const fn of<A: Abi>() -> Self {
        Self {
            pending: offset_of!(SharedInfo<A>, evtchn_pending),
            mask: offset_of!(SharedInfo<A>, evtchn_mask),
            selector: offset_of!(VcpuInfo<A>, evtchn_pending_sel),
            long_bits: A::BITS,
        }
    }
}

impl Layout {
    const fn places(self) -> Places {
        match self {
            Self::X32 => const { Places::of::<X32>() },
            Self::X64 => const { Places::of::<X64>() },
        }
    }

    /// One past the highest port of the 2-level ABI.
    pub const fn ports(self) -> u32 {
        self.places().long_bits * self.places().long_bits
    }

    /// The alignment a `vcpu_info` needs, in bytes.
    pub const fn align(self) -> usize {
        self.places().long_bits as usize / 8
    }

    /// Bit `n` of the array at `base`, if the layout has the port.
    const fn bit(self, port: u32, base: usize, n: u32) -> Option<Bit> {
        if port < self.ports() {
            Some(Bit { offset: base + (n / 32) as usize * 4, mask: 1 << (n % 32) })
        } else {
            None
        }
    }

    /// The port's bit in `shared_info.evtchn_pending`, if the layout has the port.
    pub(super) const fn pending(self, port: u32) -> Option<Bit> {
        self.bit(port, self.places().pending, port)
    }

    /// The port's bit in `shared_info.evtchn_mask`, if the layout has the port.
    pub(super) const fn mask(self, port: u32) -> Option<Bit> {
        self.bit(port, self.places().mask, port)
    }

    /// The port's bit in `vcpu_info.evtchn_pending_sel`, from the start of the `vcpu_info`.
    pub(super) const fn selector(self, port: u32) -> Option<Bit> {
        self.bit(port, self.places().selector, port / self.places().long_bits)
    }

    /// The whole of `evtchn_pending_sel`: offset in `vcpu_info` and number of 32-bit words.
    pub(super) const fn selector_words(self) -> (usize, usize) {
        (self.places().selector, self.places().long_bits as usize / 32)
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
