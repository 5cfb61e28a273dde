//! Where the event bits are in `shared_info` and `vcpu_info` (`public/xen.h`).
//!
//! A guest's word size is its own affair and may change while it boots, so it is a value, not a type. x86 is
//! little-endian: bit n of an array of longs is bit n % 32 of its 32-bit word n / 32 in both layouts, and only the
//! selector depends on the size of a long.

/// vCPUs that have their `vcpu_info` in the shared page (`XEN_LEGACY_MAX_VCPUS`).
pub const LEGACY_VCPUS: u32 = 32;
/// Bytes of a `vcpu_info`, in both layouts.
pub const VCPU_INFO_SIZE: usize = 64;
/// The byte in `vcpu_info` that asks for an upcall.
pub(super) const UPCALL_PENDING: usize = 0;

const PENDING: usize = LEGACY_VCPUS as usize * VCPU_INFO_SIZE;

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
    #[must_use]
    pub const fn ports(self) -> u32 {
        self.long_bits() * self.long_bits()
    }

    /// The alignment a `vcpu_info` needs, in bytes.
    #[must_use]
    pub const fn align(self) -> usize {
        self.long_bits() as usize / 8
    }

    const fn bit(base: usize, n: u32) -> Bit {
        Bit { offset: base + (n / 32) as usize * 4, mask: 1 << (n % 32) }
    }

    /// The port's bit in `shared_info.evtchn_pending`, if the layout has the port.
    pub(super) const fn pending(self, port: u32) -> Option<Bit> {
        if port < self.ports() { Some(Self::bit(PENDING, port)) } else { None }
    }

    /// The port's bit in `shared_info.evtchn_mask`, if the layout has the port.
    pub(super) const fn mask(self, port: u32) -> Option<Bit> {
        let base = PENDING + self.ports() as usize / 8;
        if port < self.ports() { Some(Self::bit(base, port)) } else { None }
    }

    /// The port's bit in `vcpu_info.evtchn_pending_sel`, from the start of the `vcpu_info`.
    pub(super) const fn selector(self, port: u32) -> Option<Bit> {
        if port < self.ports() { Some(Self::bit(self.align(), port / self.long_bits())) } else { None }
    }

    /// The whole of `evtchn_pending_sel`: offset in `vcpu_info` and number of 32-bit words.
    pub(super) const fn selector_words(self) -> (usize, usize) {
        (self.align(), self.align() / 4)
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
