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
