//! The macros that define every structure, constant and flag of this crate, and the table they leave behind.
//!
//! [`MODULES`] names each item's C counterpart with the size, offset or value that Rust gives it; the test
//! `tests/headers.rs` holds it against Debian's `libxen-dev`. A module's table that is not listed here is dead
//! code, which the compiler reports: nothing can be left out by accident.

/// Which compilation of the C headers an entry is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// The 64-bit one.
    X64,
    /// The 32-bit one.
    X32,
    /// Both: the layout does not depend on the data model.
    Both,
}

/// A field of a structure.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name in C, relative to the structure. One that starts with `_pad` is ours alone.
    pub c: &'static str,
    /// Offset in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
}

/// A structure in one data model.
#[derive(Clone, Copy, Debug)]
pub struct Struct {
    /// The type in C.
    pub c: &'static str,
    /// The type in Rust.
    pub rust: &'static str,
    /// Where the layout holds.
    pub model: Model,
    /// Size in bytes.
    pub size: usize,
    /// The fields.
    pub fields: &'static [Field],
}

/// A constant or a flag.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    /// The expression in C.
    pub c: &'static str,
    /// The name in Rust.
    pub rust: &'static str,
    /// Its value.
    pub value: i128,
}

/// What one module defines.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// The module.
    pub name: &'static str,
    /// Its structures.
    pub structs: &'static [&'static [&'static [Struct]]],
    /// Its constants and flags.
    pub constants: &'static [&'static [Constant]],
}

macro_rules! modules {
    ($($name:path: [$($structs:path),*] [$($constants:path),*];)*) => {
        &[$(Module {
            name: stringify!($name),
            structs: &[$($structs),*],
            constants: &[$($constants),*],
        },)*]
    };
}

/// Everything.
pub const MODULES: &[Module] = {
    use crate::io::{blkif, console, netif, ring, xenbus, xs_wire};
    use crate::{
        arch, domctl, elfnote, event_channel, features, grant_table, hvm, memory, physdev, platform,
    };
    use crate::{sched, start_info, sysctl, tenon, trace, vcpu, version, xen};
    modules! {
        xen: [xen::LAYOUTS] [xen::CONSTANTS, xen::FLAGS];
        arch: [arch::LAYOUTS] [arch::CONSTANTS, arch::FLAGS];
        elfnote: [] [elfnote::CONSTANTS];
        event_channel: [event_channel::LAYOUTS, event_channel::FIFO_LAYOUTS]
            [event_channel::CONSTANTS, event_channel::FIFO_CONSTANTS, event_channel::FLAGS];
        features: [] [features::CONSTANTS];
        hvm: [hvm::OP_LAYOUTS, hvm::SAVE_LAYOUTS, hvm::VCPU_LAYOUTS]
            [hvm::OP_CONSTANTS, hvm::PARAM_CONSTANTS, hvm::PARAM_FLAGS, hvm::SAVE_CONSTANTS, hvm::SAVE_FLAGS,
            hvm::VCPU_CONSTANTS];
        memory: [memory::LAYOUTS, memory::MAP_LAYOUTS] [memory::CONSTANTS, memory::FLAGS];
        sched: [sched::LAYOUTS] [sched::CONSTANTS];
        start_info: [start_info::LAYOUTS] [start_info::CONSTANTS];
        trace: [trace::LAYOUTS] [trace::CONSTANTS];
        vcpu: [vcpu::LAYOUTS] [vcpu::CONSTANTS, vcpu::FLAGS];
        version: [version::LAYOUTS] [version::CONSTANTS];
        grant_table: [grant_table::LAYOUTS, grant_table::ENTRY_LAYOUTS]
            [grant_table::CONSTANTS, grant_table::FLAGS, grant_table::ENTRY_FLAGS];
        physdev: [physdev::LAYOUTS, physdev::PCI_LAYOUTS]
            [physdev::CONSTANTS, physdev::FLAGS, physdev::PCI_CONSTANTS, physdev::PCI_FLAGS];
        platform: [platform::LAYOUTS, platform::CPU_LAYOUTS, platform::EFI_LAYOUTS, platform::FW_LAYOUTS,
            platform::PM_LAYOUTS]
            [platform::CONSTANTS, platform::FLAGS, platform::CPU_CONSTANTS, platform::CPU_FLAGS,
            platform::EFI_CONSTANTS, platform::FW_CONSTANTS, platform::PM_CONSTANTS, platform::PM_FLAGS];
        domctl: [domctl::LAYOUTS, domctl::CONTEXT_LAYOUTS, domctl::DEVICE_LAYOUTS, domctl::DOMAIN_LAYOUTS,
            domctl::MEMORY_LAYOUTS, domctl::SCHED_LAYOUTS, domctl::VCPU_LAYOUTS]
            [domctl::CONSTANTS, domctl::CONTEXT_FLAGS, domctl::DEVICE_CONSTANTS, domctl::DEVICE_FLAGS,
            domctl::DOMAIN_CONSTANTS, domctl::DOMAIN_FLAGS, domctl::MEMORY_CONSTANTS, domctl::MEMORY_FLAGS,
            domctl::SCHED_CONSTANTS, domctl::SCHED_FLAGS, domctl::VCPU_CONSTANTS, domctl::VCPU_FLAGS];
        sysctl: [sysctl::LAYOUTS, sysctl::HOST_LAYOUTS, sysctl::PM_LAYOUTS, sysctl::TOPOLOGY_LAYOUTS]
            [sysctl::CONSTANTS, sysctl::HOST_CONSTANTS, sysctl::HOST_FLAGS, sysctl::PM_CONSTANTS,
            sysctl::TOPOLOGY_CONSTANTS];
        tenon: [tenon::LAYOUTS] [];
        blkif: [blkif::LAYOUTS] [blkif::CONSTANTS, blkif::FLAGS];
        console: [console::LAYOUTS] [];
        netif: [netif::LAYOUTS] [netif::CONSTANTS, netif::FLAGS];
        ring: [] [ring::CONSTANTS];
        xenbus: [] [xenbus::CONSTANTS];
        xs_wire: [xs_wire::LAYOUTS] [xs_wire::CONSTANTS, xs_wire::FLAGS];
    }
};

/// Defines structures, proves them free of padding and records their layout.
///
/// `struct Name = "struct c_name" { field: Type = "c.path", … }`: the C path of a field is its own name unless
/// given. A structure with `<A>` exists in both data models, one with `in X64` or `in X32` is compared only there.
macro_rules! structs {
    ($(
        $(#[$meta:meta])*
        struct $name:ident $(<$abi:ident>)? = $c:literal $(in $model:ident)? {
            $($(#[$fmeta:meta])* $field:ident: $ty:ty $(= $cfield:literal)?,)*
        }
    )*) => {
        $(
            $(#[$meta])*
            #[doc = concat!("\n\nC: `", $c, "`.")]
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[repr(C)]
            pub struct $name $(<$abi: crate::abi::Abi = crate::abi::X64>)? {
                $(
                    $(#[$fmeta])*
                    #[doc = concat!("\n\nC: `", $crate::layout::c_name!($field $($cfield)?), "`.")]
                    pub $field: $ty,
                )*
            }

            #[allow(unsafe_code, reason = "the macro proves what the trait asks for")]
            // SAFETY: every field is `Plain` (`plain_size` asks for it), and the assertions below show for each
            // data model that the fields fill the structure.
            unsafe impl $(<$abi: crate::abi::Abi>)? crate::plain::Plain for $name $(<$abi>)? {}

            impl $(<$abi: crate::abi::Abi>)? $name $(<$abi>)? {
                pub(crate) const FIELDS_SIZE: usize = 0 $(+ crate::plain::plain_size::<$ty>())*;
                pub(crate) const FIELDS: &'static [crate::layout::Field] = &[$(
                    crate::layout::Field {
                        c: $crate::layout::c_name!($field $($cfield)?),
                        offset: core::mem::offset_of!(Self, $field),
                        size: size_of::<$ty>(),
                    },
                )*];
            }

            impl $(<$abi: crate::abi::Abi>)? Default for $name $(<$abi>)? {
                fn default() -> Self {
                    crate::plain::Plain::zeroed()
                }
            }

            $crate::layout::no_padding!($name $(<$abi>)?);
        )*

        pub(crate) const LAYOUTS: &[&[crate::layout::Struct]] =
            &[$($crate::layout::entries!($c, $name $(<$abi>)? $($model)?),)*];
    };
}

macro_rules! c_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $c:literal) => {
        $c
    };
}

macro_rules! no_padding {
    ($name:ident) => {
        const _: () = assert!(size_of::<$name>() == $name::FIELDS_SIZE, "padding");
    };
    ($name:ident <$abi:ident>) => {
        const _: () = {
            use crate::abi::{X32, X64};
            assert!(size_of::<$name<X64>>() == $name::<X64>::FIELDS_SIZE, "padding in the 64-bit layout");
            assert!(size_of::<$name<X32>>() == $name::<X32>::FIELDS_SIZE, "padding in the 32-bit layout");
        };
    };
}

macro_rules! entries {
    ($c:literal, $name:ident) => {
        &[$crate::layout::entry!($c, $name, $name, Both)]
    };
    ($c:literal, $name:ident $model:ident) => {
        &[$crate::layout::entry!($c, $name, $name, $model)]
    };
    ($c:literal, $name:ident <$abi:ident>) => {
        &[
            $crate::layout::entry!($c, $name, $name::<crate::abi::X64>, X64),
            $crate::layout::entry!($c, $name, $name::<crate::abi::X32>, X32),
        ]
    };
}

macro_rules! entry {
    ($c:literal, $name:ident, $ty:ty, $model:ident) => {
        crate::layout::Struct {
            c: $c,
            rust: stringify!($name),
            model: crate::layout::Model::$model,
            size: size_of::<$ty>(),
            fields: <$ty>::FIELDS,
        }
    };
}

/// Defines constants and records their C counterparts: `NAME: type = value, "C expression";`.
macro_rules! constants {
    ($($(#[$meta:meta])* $name:ident: $ty:ty = $value:expr, $c:literal;)*) => {
        $(
            $(#[$meta])*
            #[doc = concat!("\n\nC: `", $c, "`.")]
            pub const $name: $ty = $value;
        )*

        pub(crate) const CONSTANTS: &[crate::layout::Constant] = &[$(
            crate::layout::Constant { c: $c, rust: stringify!($name), value: $name as i128 },
        )*];
    };
}

/// Defines flag words and records their C counterparts: `struct Name: u32 { const A = 1, "C expression"; }`.
macro_rules! flags {
    ($(
        $(#[$meta:meta])*
        struct $name:ident: $ty:ty {
            $($(#[doc = $fdoc:literal])* const $flag:ident = $value:expr, $c:literal;)*
        }
    )*) => {
        $(
            bitflags::bitflags! {
                $(#[$meta])*
                #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
                #[repr(transparent)]
                pub struct $name: $ty {
                    $(
                        $(#[doc = $fdoc])*
                        #[doc = concat!("\n\nC: `", $c, "`.")]
                        const $flag = $value;
                    )*
                }
            }

            #[allow(unsafe_code, reason = "a transparent integer")]
            // SAFETY: transparent over an integer, and unknown bits are kept as they are.
            unsafe impl crate::plain::Plain for $name {}
        )*

        pub(crate) const FLAGS: &[crate::layout::Constant] = &[$($(
            crate::layout::Constant {
                c: $c,
                rust: concat!(stringify!($name), "::", stringify!($flag)),
                value: $name::$flag.bits() as i128,
            },
        )*)*];
    };
}

pub(crate) use {c_name, constants, entries, entry, flags, no_padding, structs};
