//! Making hypercalls: arguments go through pinned memory, results come back typed.
//!
//! The modules beside this one say what can be asked; here is how. Nothing that a caller passes can make the
//! hypervisor touch memory other than the buffers below.
#![allow(
    unsafe_code,
    reason = "the raw hypercall; every buffer is a `Pages` that is borrowed during the call"
)]

use std::cell::RefCell;

use hypercall_abi::domctl::Domctl;
use hypercall_abi::sysctl::Sysctl;
use hypercall_abi::{Plain, xen};

use super::error::XenError;
use super::pages::Pages;
use super::privcmd::Privcmd;

/// The hypervisor, as a process of domain 0 sees it.
#[derive(Debug)]
pub struct Xen {
    privcmd: Privcmd,
    /// For arguments, which are all shorter than a page.
    argument: RefCell<Pages>,
}

/// A buffer that an argument points to. It stays borrowed as long as the argument is in use.
#[derive(Debug)]
pub struct Buffer(Pages);

impl Buffer {
    /// The buffer's contents.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// The buffer's contents, to be filled in.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }

    /// The first `count` values in the buffer, or as many as it holds.
    #[must_use]
    pub fn values<T: Plain>(&self, count: usize) -> Vec<T> {
        self.bytes().chunks_exact(size_of::<T>()).take(count).filter_map(T::read_from).collect()
    }

    /// What an argument says to point here.
    #[must_use]
    pub fn handle(&mut self) -> hypercall_abi::Handle64 {
        self.0.handle()
    }
}

impl Xen {
    /// Opens the way to the hypervisor.
    ///
    /// # Errors
    /// If this is not domain 0, or not root.
    pub fn open() -> Result<Self, XenError> {
        const CALL: &str = "open the hypercall devices";
        let privcmd = Privcmd::open().map_err(|e| XenError::new(CALL, e))?;
        let argument = Pages::new(privcmd.memory_device(), 1).map_err(|e| XenError::new(CALL, e))?;
        Ok(Self { privcmd, argument: RefCell::new(argument) })
    }

    /// The way to map other domains' memory.
    #[must_use]
    pub fn privcmd(&self) -> &Privcmd {
        &self.privcmd
    }

    /// A zeroed buffer of at least `bytes` bytes (at most 63 pages) for an argument to point to.
    ///
    /// # Errors
    /// If the kernel has no such memory left.
    pub fn buffer(&self, bytes: usize) -> Result<Buffer, XenError> {
        Pages::new(self.privcmd.memory_device(), bytes)
            .map(Buffer)
            .map_err(|e| XenError::new("allocate hypercall memory", e))
    }

    /// A buffer that holds `values`.
    ///
    /// # Errors
    /// As for [`Xen::buffer`].
    pub fn buffer_of<T: Plain>(&self, values: &[T]) -> Result<Buffer, XenError> {
        let bytes = hypercall_abi::plain::bytes_of(values);
        let mut buffer = self.buffer(bytes.len())?;
        buffer.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        Ok(buffer)
    }

    /// Calls with `argument` in memory: its handle is the first argument of `domctl` and `sysctl`, and the one
    /// after the operation for the others.
    fn call<T: Plain>(
        &self,
        name: &'static str,
        number: u32,
        operation: Option<u32>,
        argument: &mut T,
    ) -> Result<u32, XenError> {
        let mut page = self.argument.borrow_mut();
        page.put(argument);
        let handle = page.handle().raw();
        let args = match operation {
            Some(operation) => [operation.into(), handle, 0, 0, 0],
            None => [handle, 0, 0, 0, 0],
        };
        // SAFETY: the argument is in a page of ours that stays borrowed. The wrappers in this module's siblings
        // put handles of live buffers into it, of at least the length that they say.
        let result = unsafe { self.privcmd.hypercall(number, args) };
        *argument = page.get();
        result.map_err(|e| XenError::new(name, e))
    }

    pub(super) fn domctl(&self, name: &'static str, domctl: &mut Domctl) -> Result<u32, XenError> {
        self.call(name, xen::HYPERCALL_DOMCTL, None, domctl)
    }

    pub(super) fn sysctl(&self, name: &'static str, sysctl: &mut Sysctl) -> Result<u32, XenError> {
        self.call(name, xen::HYPERCALL_SYSCTL, None, sysctl)
    }

    pub(super) fn memory_op<T: Plain>(
        &self,
        name: &'static str,
        op: u32,
        argument: &mut T,
    ) -> Result<u32, XenError> {
        self.call(name, xen::HYPERCALL_MEMORY_OP, Some(op), argument)
    }

    pub(super) fn event_channel_op<T: Plain>(
        &self,
        name: &'static str,
        op: u32,
        argument: &mut T,
    ) -> Result<u32, XenError> {
        self.call(name, xen::HYPERCALL_EVENT_CHANNEL_OP, Some(op), argument)
    }

    pub(super) fn hvm_op<T: Plain>(
        &self,
        name: &'static str,
        op: u32,
        argument: &mut T,
    ) -> Result<u32, XenError> {
        self.call(name, xen::HYPERCALL_HVM_OP, Some(op), argument)
    }

    pub(super) fn sched_op<T: Plain>(
        &self,
        name: &'static str,
        op: u32,
        argument: &mut T,
    ) -> Result<u32, XenError> {
        self.call(name, xen::HYPERCALL_SCHED_OP, Some(op), argument)
    }

    pub(super) fn version_op<T: Plain>(
        &self,
        name: &'static str,
        op: u32,
        argument: &mut T,
    ) -> Result<u32, XenError> {
        self.call(name, xen::HYPERCALL_XEN_VERSION, Some(op), argument)
    }
}
