//! Virtual interrupt lines (`VIRQ_*`, `public/xen.h`).

use hypercall_abi::xen as abi;

use super::EvtchnError;

/// How many lines there are (`NR_VIRQS`).
pub const COUNT: usize = abi::NR_VIRQS as usize;

/// A virtual interrupt line, below [`COUNT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Virq(u8);

impl Virq {
    /// The one-shot or periodic timer of a vCPU.
    pub const TIMER: Self = Self(abi::VIRQ_TIMER as u8);
    /// A request to dump debug state (`xl debug-keys`, `xl trigger debug`).
    pub const DEBUG: Self = Self(abi::VIRQ_DEBUG as u8);
    /// Input on the hypervisor's console.
    pub const CONSOLE: Self = Self(abi::VIRQ_CONSOLE as u8);
    /// Some domain shut down, crashed or died.
    pub const DOM_EXC: Self = Self(abi::VIRQ_DOM_EXC as u8);
    /// The trace buffers have records.
    pub const TBUF: Self = Self(abi::VIRQ_TBUF as u8);
    /// A profiling sample.
    pub const XENOPROF: Self = Self(abi::VIRQ_XENOPROF as u8);
    /// The console ring has new bytes.
    pub const CON_RING: Self = Self(abi::VIRQ_CON_RING as u8);
    /// A physical CPU went on or off line.
    pub const PCPU_STATE: Self = Self(abi::VIRQ_PCPU_STATE as u8);
    /// Memory is getting short.
    pub const ENOMEM: Self = Self(abi::VIRQ_ENOMEM as u8);
    /// A performance counter overflowed.
    pub const XENPMU: Self = Self(abi::VIRQ_XENPMU as u8);

    /// The line a guest names.
    ///
    /// # Errors
    /// [`EvtchnError::NoVirq`] from [`COUNT`] up.
    pub const fn from_raw(raw: u32) -> Result<Self, EvtchnError> {
        if raw < COUNT as u32 { Ok(Self(raw as u8)) } else { Err(EvtchnError::NoVirq(raw)) }
    }

    /// The number on the wire.
    pub const fn raw(self) -> u32 {
        self.0 as u32
    }

    /// Whether only a domain that controls the hypervisor may have the line.
    pub const fn is_for_control_domain(self) -> bool {
        matches!(
            self,
            Self::CONSOLE | Self::DOM_EXC | Self::TBUF | Self::CON_RING | Self::PCPU_STATE | Self::ENOMEM
        )
    }

    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether a domain has this line once, and not once per vCPU.
    pub const fn is_global(self) -> bool {
        !matches!(self, Self::TIMER | Self::DEBUG | Self::XENOPROF | Self::XENPMU)
    }
}
