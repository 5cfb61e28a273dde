//! How the core says no: a typed error that names the rule, and the number the caller gets.

use core::fmt;

use hypercall_abi::errno::Errno;

/// An error that a guest or tool caused and can recover from.
///
/// `Display` names the limit or rule that refused; the hypervisor logs it (rate-limited per domain), and
/// [`errno`](Refusal::errno) is what the caller sees.
pub trait Refusal: fmt::Display + fmt::Debug {
    /// The error number of `public/errno.h` that the caller gets.
    fn errno(&self) -> Errno;
}

/// Defines an error and what it says: `Variant(value: Type) => "text {value}";` for each variant.
///
/// Variants after `passes on` hold the error of a part; they say what that one says, and are made from it by `?`.
#[macro_export]
macro_rules! errors {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$doc:meta])* $variant:ident $(($($item:ident: $of:ty),*))? $({$($field:ident: $ty:ty),*})?
                => $text:literal $(, $value:expr)*;)*
        }
        $(passes on { $($(#[$inner_doc:meta])* $inner:ident($error:ty);)* })?
    ) => {
        $(#[$meta])*
        pub enum $name {
            $($(#[$doc])* $variant $(($($of),*))? $({$(
                #[doc = concat!("`", stringify!($field), "` of: ", $text, ".")]
                $field: $ty
            ),*})?,)*
            $($($(#[$inner_doc])* $inner($error),)*)?
        }

        impl core::error::Error for $name {}

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $(Self::$variant $(($($item),*))? $({$($field),*})? => write!(f, $text $(, $value)*),)*
                    $($(Self::$inner(error) => core::fmt::Display::fmt(error, f),)*)?
                }
            }
        }

        $($(impl From<$error> for $name {
            fn from(error: $error) -> Self {
                Self::$inner(error)
            }
        })*)?
    };
}

/// Defines a [`Refusal`](crate::refusal::Refusal): [`errors!`](crate::errors) with the caller's number before each text.
#[macro_export]
macro_rules! refusals {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$doc:meta])* $variant:ident $(($($item:ident: $of:ty),*))? $({$($field:ident: $ty:ty),*})?
                => $errno:ident, $text:literal $(, $value:expr)*;)*
        }
        $(passes on { $($(#[$inner_doc:meta])* $inner:ident($error:ty);)* })?
    ) => {
        $crate::errors! {
            $(#[$meta])*
            pub enum $name {
                $($(#[$doc])* $variant $(($($item: $of),*))? $({$($field: $ty),*})?
                    => $text $(, $value)*;)*
            }
            $(passes on { $($(#[$inner_doc])* $inner($error);)* })?
        }

        impl $crate::refusal::Refusal for $name {
            fn errno(&self) -> hypercall_abi::errno::Errno {
                match self {
                    $(Self::$variant { .. } => hypercall_abi::errno::Errno::$errno,)*
                    $($(Self::$inner(error) => $crate::refusal::Refusal::errno(error),)*)?
                }
            }
        }
    };
}
