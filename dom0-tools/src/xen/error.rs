//! Why the hypervisor, or the kernel on the way to it, refused something.

use std::{fmt, io};

use hypercall_abi::errno::Errno;

/// A refused call.
#[derive(Debug)]
pub struct XenError {
    /// What was asked for, in the interface's own words: `"domctl createdomain"`.
    pub call: &'static str,
    /// The answer.
    pub cause: io::Error,
}

impl XenError {
    /// `call` was answered with `cause`.
    pub fn new(call: &'static str, cause: impl Into<io::Error>) -> Self {
        Self { call, cause: cause.into() }
    }

    /// The error number in Xen's terms; Linux's numbers agree with Xen's for all that hypercalls return.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        self.cause.raw_os_error().and_then(Errno::from_raw)
    }

    /// Whether the answer was `errno`.
    #[must_use]
    pub fn is(&self, errno: Errno) -> bool {
        self.errno() == Some(errno)
    }
}

impl fmt::Display for XenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno() {
            Some(errno) => write!(f, "{}: {} ({errno:?})", self.call, errno.what()),
            None => write!(f, "{}: {}", self.call, self.cause),
        }
    }
}

impl std::error::Error for XenError {}
