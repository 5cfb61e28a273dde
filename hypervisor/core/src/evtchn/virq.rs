//! Virtual interrupt lines (`VIRQ_*`, `public/xen.h`).

use super::EvtchnError;

/// How many lines there are (`NR_VIRQS`).
pub const COUNT: usize = 24;

/// A virtual interrupt line, below [`COUNT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Virq(u8);

impl Virq {
    /// The one-shot or periodic timer of a vCPU.
    pub const TIMER: Self = Self(0);
    /// A request to dump debug state (`xl debug-keys`, `xl trigger debug`).
    pub const DEBUG: Self = Self(1);
    /// Input on the hypervisor's console.
    pub const CONSOLE: Self = Self(2);
    /// Some domain shut down, crashed or died.
    pub const DOM_EXC: Self = Self(3);
    /// The trace buffers have records.
    pub const TBUF: Self = Self(4);
    /// A domain paused for its debugger.
    pub const DEBUGGER: Self = Self(6);
    /// A profiling sample.
    pub const XENOPROF: Self = Self(7);
    /// The console ring has new bytes.
    pub const CON_RING: Self = Self(8);
    /// A physical CPU went on or off line.
    pub const PCPU_STATE: Self = Self(9);
    /// Memory is getting short.
    pub const ENOMEM: Self = Self(12);
    /// A performance counter overflowed.
    pub const XENPMU: Self = Self(13);
    /// The first of the eight lines that belong to the architecture; on x86 machine checks use it.
    pub const ARCH_0: Self = Self(16);

    /// The line a guest names.
    ///
    /// # Errors
    /// [`EvtchnError::NoVirq`] from [`COUNT`] up.
    pub const fn from_raw(raw: u32) -> Result<Self, EvtchnError> {
        if raw < COUNT as u32 { Ok(Self(raw as u8)) } else { Err(EvtchnError::NoVirq(raw)) }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0 as u32
    }

    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether a domain has this line once, and not once per vCPU.
    #[must_use]
    pub const fn is_global(self) -> bool {
        !matches!(self, Self::TIMER | Self::DEBUG | Self::XENOPROF | Self::XENPMU)
    }
}
