//! One hypercall under way: who called, with what, and the guest's memory.

use alloc::sync::Arc;
use core::fmt::{self, Write};
use core::str;

use hypercall_abi::abi::Abi;
use hypercall_abi::errno::Errno;
use hypercall_abi::plain::Plain;

use super::Result;
use crate::domain::{Context, Domain, VcpuRef};
use crate::frame::Gaddr;
use crate::guest_cpu::GuestCpu;
use crate::hv_log;
use crate::hypervisor::Hypervisor;
use crate::ids::DomId;
use crate::linear;
use crate::machine::Machine;
use crate::refusal::Refusal;
use crate::walk::Access;

/// A hypercall under way.
pub struct Call<'a, M: Machine> {
    /// The hypervisor.
    pub hv: &'a Hypervisor<M>,
    /// Who called.
    pub vcpu: &'a VcpuRef<M>,
    /// Its registers and private state.
    pub context: &'a mut Context<M>,
    /// The arguments, extended to 64 bits.
    pub args: [u64; 6],
    /// It is an entry of a multicall: its arguments did not come in registers.
    pub nested: bool,
}

/// How a hypercall ended, if it was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this result.
    Done(i64),
    /// It is not finished: the guest issues it again.
    Again,
}

impl Outcome {
    /// Success.
    pub const OK: Self = Self::Done(0);
}

/// A refusal: the number for the guest and the reason for the log.
pub struct Refused {
    errno: Errno,
    text: [u8; Self::TEXT],
    len: u8,
}

impl Refused {
    const TEXT: usize = 119;

    /// A refusal for a reason that needs no type of its own.
    #[cold]
    pub fn new(errno: Errno, reason: fmt::Arguments<'_>) -> Self {
        let mut refused = Self { errno, text: [0; Self::TEXT], len: 0 };
        // Cutting never fails.
        let _ = refused.write_fmt(reason);
        refused
    }

    /// The number for the guest.
    pub fn errno(&self) -> Errno {
        self.errno
    }
}

/// The reason, cut where there is no more room.
impl Write for Refused {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (to, from) in self.text.iter_mut().skip(self.len.into()).zip(text.bytes()) {
            *to = from;
            self.len += 1;
        }
        Ok(())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.get(..usize::from(self.len)).unwrap_or(&[]);
        f.write_str(str::from_utf8(text).unwrap_or("(reason cut)"))
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.errno)
    }
}

impl<E: Refusal> From<E> for Refused {
    #[cold]
    fn from(error: E) -> Self {
        Self::new(error.errno(), format_args!("{error}"))
    }
}

/// Refuses with a number and a formatted reason.
macro_rules! refuse {
    ($errno:ident, $($arg:tt)*) => {
        return Err($crate::hypercall::Refused::new(
            hypercall_abi::errno::Errno::$errno,
            format_args!($($arg)*),
        ))
    };
}

/// Refuses unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $errno:ident, $($arg:tt)*) => {
        if !$condition {
            $crate::hypercall::refuse!($errno, $($arg)*);
        }
    };
}
pub(super) use {ensure, refuse};

impl<M: Machine> Call<'_, M> {
    /// The caller's domain.
    pub fn domain(&self) -> &Arc<Domain<M>> {
        self.vcpu.domain()
    }

    /// Copies a value in from a linear address of the caller.
    ///
    /// # Errors
    /// EFAULT.
    #[inline]
    pub fn read<T: Plain>(&self, at: u64) -> Result<T> {
        let mut value = T::zeroed();
        self.read_bytes(at, value.as_bytes_mut())?;
        Ok(value)
    }

    /// Copies the `index`th value of an array in.
    ///
    /// # Errors
    /// EFAULT.
    pub fn read_element<T: Plain>(&self, array: u64, index: u64) -> Result<T> {
        self.read(element_at::<T>(array, index)?)
    }

    /// Copies an argument in, and back out as `change` leaves it, unless that refuses.
    ///
    /// # Errors
    /// EFAULT, and those of `change`.
    pub fn update<T: Plain>(&self, at: u64, change: impl FnOnce(&mut T) -> Result<()>) -> Result<()> {
        let mut value = self.read(at)?;
        change(&mut value)?;
        self.write(at, &value)
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// EFAULT.
    #[inline]
    pub fn read_bytes(&self, at: u64, into: &mut [u8]) -> Result<()> {
        Ok(linear::read(self.vcpu, self.context, at, into, Access::Read)?)
    }

    /// Copies a value out.
    ///
    /// # Errors
    /// EFAULT.
    #[inline]
    pub fn write<T: Plain>(&self, at: u64, value: &T) -> Result<()> {
        self.write_bytes(at, value.as_bytes())
    }

    /// Copies the `index`th value of an array out.
    ///
    /// # Errors
    /// EFAULT.
    pub fn write_element<T: Plain>(&self, array: u64, index: u64, value: &T) -> Result<()> {
        self.write(element_at::<T>(array, index)?, value)
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// EFAULT.
    #[inline]
    pub fn write_bytes(&self, at: u64, from: &[u8]) -> Result<()> {
        Ok(linear::write(self.vcpu, self.context, at, from)?)
    }

    /// Copies values out to an array that has room for `room` of them; returns how many it got.
    ///
    /// # Errors
    /// EFAULT.
    pub fn write_all<T: Plain>(&self, array: u64, room: u32, values: impl Iterator<Item = T>) -> Result<u32> {
        let mut count = 0;
        for value in values.take(room as usize) {
            self.write_element(array, count.into(), &value)?;
            count += 1;
        }
        Ok(count)
    }

    /// The guest-physical address behind a linear one that the caller may write.
    ///
    /// # Errors
    /// EFAULT.
    pub fn writable_address(&self, at: u64) -> Result<Gaddr> {
        Ok(linear::translate(self.vcpu, self.context, at, Access::Write)?)
    }

    /// The domain that an argument names: `DOMID_SELF`, or one that the caller controls.
    ///
    /// # Errors
    /// ESRCH if there is none, EPERM if it is not the caller's to control.
    pub fn target(&self, id: u16) -> Result<Arc<Domain<M>>> {
        let own = self.domain();
        ensure!(own.privileged || self.domain_id(id) == own.id, EPERM, "{} does not control d{id}", own.id);
        self.other(id)
    }

    /// The number that an argument names, whether or not there is such a domain.
    pub fn domain_id(&self, id: u16) -> DomId {
        if id == hypercall_abi::xen::DOMID_SELF { self.domain().id } else { DomId(id) }
    }

    /// Changes an argument register, so that the call goes on from there when the guest issues it again.
    pub fn set_arg<A: Abi>(&mut self, index: usize, value: u64) {
        let registers = super::argument_registers::<A>();
        if let (Some(register), Some(arg)) = (registers.get(index), self.args.get_mut(index)) {
            *arg = value;
            if !self.nested {
                self.context.guest.gprs_mut().set(*register, value);
            }
        }
    }

    /// The domain that an argument names, whatever the caller's rights.
    ///
    /// # Errors
    /// ESRCH if there is none.
    pub fn other(&self, id: u16) -> Result<Arc<Domain<M>>> {
        match self.hv.domain(self.domain_id(id)) {
            Some(domain) => Ok(domain),
            None => refuse!(ESRCH, "there is no domain {id}"),
        }
    }

    /// Logs what went wrong with the call, if the caller has not made too many such lines lately.
    #[cold]
    pub fn log(&self, what: fmt::Arguments<'_>) {
        if self.domain().may_log(self.hv.machine.now()) {
            hv_log!(self.hv, Debug, "{}: {what}", self.vcpu);
        }
    }

    /// Checks that the caller controls the hypervisor.
    ///
    /// # Errors
    /// EPERM.
    pub fn must_be_privileged(&self) -> Result<()> {
        ensure!(self.domain().privileged, EPERM, "{} does not control the hypervisor", self.domain().id);
        Ok(())
    }
}

/// Where the `index`th element of an array is.
pub(super) fn element_at<T>(array: u64, index: u64) -> Result<u64> {
    match index.checked_mul(size_of::<T>() as u64).and_then(|offset| array.checked_add(offset)) {
        Some(at) => Ok(at),
        None => refuse!(EFAULT, "element {index} of an array at {array:#x} is past the address space"),
    }
}
