//! Leaf 0xd: the extended state that XSAVE knows, and its sizes.

use super::{Host, Regs};

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

/// In ECX of a component's subleaf: in the compacted form it is aligned to 64 bytes.
const ALIGNED: u32 = 1 << 1;

/// What leaf 0xd answers from.
#[derive(Clone, Debug)]
pub(super) struct XState {
    allowed: u64,
    /// Subleaf 1 EAX.
    pub(super) extras: u32,
    /// The components' subleaves: size, offset, alignment.
    components: [Regs; COMPONENTS],
}

impl XState {
    /// No XSAVE at all.
    pub(super) const NONE: Self = Self { allowed: 0, extras: 0, components: [[0; 4]; COMPONENTS] };

    /// The components of `wanted` that the host has, whole feature groups or none of their bits.
    pub(super) fn new(host: Host<'_>, wanted: u64, extras: u32) -> Self {
        let [low, _, _, high] = host(0xd, 0);
        let mut allowed = wanted & (u64::from(low) | u64::from(high) << 32);
        if allowed & XCR0_AVX512 != XCR0_AVX512 || allowed & XCR0_AVX == 0 {
            allowed &= !XCR0_AVX512;
        }
        let components = core::array::from_fn(|i| {
            if i < 2 || allowed >> i & 1 == 0 {
                return [0; 4];
            }
            let [size, offset, flags, _] = host(0xd, i as u32);
            [size, offset, flags & ALIGNED, 0]
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

    fn present(&self, mask: u64) -> impl Iterator<Item = &Regs> {
        let mask = mask & self.allowed;
        self.components.iter().enumerate().skip(2).filter(move |(i, _)| mask >> i & 1 != 0).map(|(_, c)| c)
    }

    fn size(&self, mask: u64) -> u32 {
        self.present(mask).map(|[size, offset, ..]| offset.saturating_add(*size)).fold(LEGACY, u32::max)
    }

    fn compacted_size(&self, mask: u64) -> u32 {
        self.present(mask).fold(LEGACY, |at, [size, _, flags, _]| {
            let start = if flags & ALIGNED != 0 { at.checked_next_multiple_of(64).unwrap_or(at) } else { at };
            start.saturating_add(*size)
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
                let compacts = self.extras & 0b10 != 0;
                [self.extras, if compacts { self.compacted_size(xcr0) } else { 0 }, 0, 0]
            }
            _ => match self.components.get(subleaf as usize) {
                Some(regs) if self.allowed >> subleaf & 1 != 0 => *regs,
                _ => [0; 4],
            },
        }
    }

    /// The subleaves up to the last that holds something; the first two are always there.
    pub(super) fn subleaves(&self) -> core::ops::Range<u32> {
        0..(u64::BITS - self.allowed.leading_zeros()).max(2)
    }
}
