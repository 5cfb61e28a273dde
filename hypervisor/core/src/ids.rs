//! Names of things: domains, vCPUs, CPUs, ports, vectors.

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($repr:ty), $fmt:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub $repr);

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, $fmt, self.0)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, $fmt, self.0)
            }
        }
    };
}
pub(crate) use id;

id!(
    /// A domain's number. Values from 0x7ff0 up are reserved names (`DOMID_SELF` and friends, `public/xen.h`).
    DomId(u16), "d{}"
);
id!(
    /// A vCPU's index in its domain.
    VcpuId(u32), "v{}"
);
id!(
    /// A physical CPU's index in Tenon's own numbering (not an APIC id).
    CpuId(u32), "cpu{}"
);
id!(
    /// A CPU pool.
    PoolId(u32), "pool {}"
);
id!(
    /// An event channel port; meaningful only together with its domain.
    Port(u32), "port {}"
);
id!(
    /// An interrupt vector, guest or host as the context says.
    Vector(u8), "vector {:#04x}"
);

impl DomId {
    /// The control domain.
    pub const ZERO: Self = Self(0);
    /// The first of the reserved names.
    pub const FIRST_RESERVED: Self = Self(0x7ff0);

    /// Whether the number can name a real domain.
    pub const fn is_real(self) -> bool {
        self.0 < Self::FIRST_RESERVED.0
    }
}

impl VcpuId {
    /// The id as an index. Whoever indexes checks the bound.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl CpuId {
    /// The id as an index. Whoever indexes checks the bound.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl PoolId {
    /// The control domain's pool, which is there from the start and for good.
    pub const ZERO: Self = Self(0);

    /// The id as an index. Whoever indexes checks the bound.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
