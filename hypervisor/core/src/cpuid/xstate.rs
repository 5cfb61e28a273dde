//! Leaf 0xd: the extended state that XSAVE knows, and its sizes.

use super::{HostCpuid, Regs};

/// Bytes of the legacy area and the XSAVE header.
const LEGACY: u32 = 576;
/// Components 2 to 18 are looked at; 19 and up need more than XCR0.
const COMPONENTS: usize = 20;

/// x87 and SSE.
pub(super) const XCR0_LEGACY: u64 = 0b11;
/// The upper halves of the YMM registers.
pub(super) const XCR0_AVX: u64 = 1 << 2;
/// Opmask, upper ZMM halves, ZMM16 to 31.
pub(super) const XCR0_AVX512: u64 = 0b111 << 5;
/// The protection key register.
pub(super) const XCR0_PKRU: u64 = 1 << 9;

#[derive(Clone, Copy, Debug, Default)]
struct Component {
    size: u32,
    offset: u32,
    aligned: bool,
}

/// What leaf 0xd answers from.
#[derive(Clone, Debug)]
pub(super) struct XState {
    allowed: u64,
    /// Subleaf 1 EAX.
    pub(super) extras: u32,
    components: [Component; COMPONENTS],
}

impl XState {
    /// No XSAVE at all.
    pub(super) const NONE: Self = Self {
        allowed: 0,
        extras: 0,
        components: [Component { size: 0, offset: 0, aligned: false }; COMPONENTS],
    };

    /// The components of `wanted` that the host has, whole feature groups or none of their bits.
    pub(super) fn new(host: &impl HostCpuid, wanted: u64, extras: u32) -> Self {
        let [low, _, _, high] = host.leaf(0xd, 0);
        let mut allowed = wanted & (u64::from(low) | u64::from(high) << 32);
        if allowed & XCR0_AVX512 != XCR0_AVX512 || allowed & XCR0_AVX == 0 {
            allowed &= !XCR0_AVX512;
        }
        let components = core::array::from_fn(|i| {
            if i < 2 || allowed >> i & 1 == 0 {
                return Component::default();
            }
            let [size, offset, flags, _] = host.leaf(0xd, i as u32);
            Component { size, offset, aligned: flags & 2 != 0 }
        });
        Self { allowed, extras, components }
    }

    /// Every XCR0 bit that the guest may set.
    pub(super) const fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Drops components.
    pub(super) const fn restrict(&mut self, to: u64) {
        self.allowed &= to;
    }

    fn present(&self, mask: u64) -> impl Iterator<Item = &Component> {
        let mask = mask & self.allowed;
        self.components.iter().enumerate().skip(2).filter(move |(i, _)| mask >> i & 1 != 0).map(|(_, c)| c)
    }

    fn size(&self, mask: u64) -> u32 {
        self.present(mask).map(|c| c.offset.saturating_add(c.size)).fold(LEGACY, u32::max)
    }

    fn compacted_size(&self, mask: u64) -> u32 {
        self.present(mask).fold(LEGACY, |at, c| {
            let start = if c.aligned { at.checked_next_multiple_of(64).unwrap_or(at) } else { at };
            start.saturating_add(c.size)
        })
    }

    /// The answer to leaf 0xd with XCR0 and XSS as the vCPU has them. No supervisor state is offered.
    pub(super) fn leaf(&self, subleaf: u32, xcr0: u64) -> Regs {
        if self.allowed == 0 {
            return [0; 4];
        }
        match subleaf {
            0 => [self.allowed as u32, self.size(xcr0), self.size(self.allowed), (self.allowed >> 32) as u32],
            1 => {
                let compacts = self.extras & 0b1010 != 0;
                [self.extras, if compacts { self.compacted_size(xcr0) } else { 0 }, 0, 0]
            }
            _ => match self.components.get(subleaf as usize) {
                Some(c) if self.allowed >> subleaf & 1 != 0 => {
                    [c.size, c.offset, if c.aligned { 2 } else { 0 }, 0]
                }
                _ => [0; 4],
            },
        }
    }

    /// The subleaves up to the last that holds something; the first two are always there.
    pub(super) fn subleaves(&self) -> core::ops::Range<u32> {
        0..(u64::BITS - self.allowed.leading_zeros()).max(2)
    }
}
