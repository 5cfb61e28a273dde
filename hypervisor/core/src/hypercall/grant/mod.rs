//! `grant_table_op` (`public/grant_table.h`): pages lent to other domains.
//!
//! The arguments are an operation, an array and its length. Each element has its own result; the call itself fails only
//! if the array cannot be read or written, or the operation does not exist. A step works through a bounded part of the
//! array, then moves the array's address and length on in the caller's registers.

mod copy;
mod map;
mod setup;

use hypercall_abi::abi::Abi;
use hypercall_abi::grant_table as abi;
use hypercall_abi::plain::Plain;

use super::call::element_at;
use super::{Call, Machine, Outcome, Result, ensure, refuse};
use crate::gnttab::{CacheFlush, GrantError, GrantRef};
use crate::hypervisor::UseError;
use crate::p2m::PageType;

/// Elements of the cheap operations that one step handles.
const BUDGET: u64 = 64;

pub(super) fn grant_table_op<A: Abi, M: Machine>(call: &mut Call<'_, M>) -> Result {
    let op = call.args[0] as u32;
    let array = Array::of(call)?;
    match op {
        abi::OP_MAP_GRANT_REF => return map::map::<A, M>(call, array),
        abi::OP_UNMAP_GRANT_REF => return map::unmap::<A, M>(call, array),
        abi::OP_COPY => return copy::copy::<A, M>(call, array),
        abi::OP_SETUP_TABLE => call.update(array.only()?, |op| setup::setup_table::<A, M>(call, op))?,
        abi::OP_QUERY_SIZE => call.update(array.only()?, |op| setup::query_size(call, op))?,
        abi::OP_GET_VERSION => call.update(array.only()?, |op| setup::get_version(call, op))?,
        abi::OP_SET_VERSION => setup::set_version(call, array.only()?)?,
        abi::OP_GET_STATUS_FRAMES => {
            call.update(array.only()?, |op| setup::status_frames::<A, M>(call, op))?
        }
        abi::OP_SWAP_GRANT_REF => return swap::<A, M>(call, array),
        abi::OP_CACHE_FLUSH => return cache_flush::<A, M>(call, array),
        abi::OP_UNMAP_AND_REPLACE => return map::replace::<A, M>(call, array),
        abi::OP_TRANSFER => return Err(GrantError::ParavirtualOnly.into()),
        op => refuse!(ENOSYS, "grant_table_op {op} is not known"),
    }
    Ok(Outcome::OK)
}

/// The elements that are left to do.
#[derive(Clone, Copy)]
struct Array {
    start: u64,
    len: u64,
}

impl Array {
    fn of<M: Machine>(call: &Call<'_, M>) -> Result<Self> {
        let [_, start, len, ..] = call.args;
        let len = u64::from(len as u32);
        ensure!(len <= i32::MAX as u64, EINVAL, "{len} grant operations in one call");
        Ok(Self { start, len })
    }

    /// The only element, for operations that take one.
    fn only(self) -> Result<u64> {
        ensure!(self.len == 1, EINVAL, "{} elements for a grant operation that takes one", self.len);
        Ok(self.start)
    }

    /// How many elements of type `T`, at most `budget`, this step does, and where each is.
    fn step<T: Plain>(self, budget: u64) -> Result<impl Iterator<Item = u64>> {
        let done = self.len.min(budget);
        // Checked for all of them at once.
        element_at::<T>(self.start, done)?;
        let start = self.start;
        Ok((0..done).map(move |i| start + i * size_of::<T>() as u64))
    }

    /// The call's result once a step is done: it goes on behind those elements, if there are more.
    fn after<A: Abi, T: Plain, M: Machine>(self, call: &mut Call<'_, M>, budget: u64) -> Result {
        if self.len <= budget {
            return Ok(Outcome::OK);
        }
        let next = element_at::<T>(self.start, budget)?;
        call.set_arg::<A>(1, next);
        call.set_arg::<A>(2, self.len - budget);
        Ok(Outcome::Again)
    }
}

/// The result of an element as its `status` field has it; a failure is logged.
fn status<M: Machine>(call: &Call<'_, M>, what: &str, result: Result<(), impl Into<UseError>>) -> i16 {
    let Err(error) = result.map_err(Into::into) else { return abi::STATUS_OKAY };
    call.log(format_args!("grant {what}: {error}"));
    error.status()
}

fn swap<A: Abi, M: Machine>(call: &mut Call<'_, M>, array: Array) -> Result {
    for at in array.step::<abi::SwapGrantRef>(BUDGET)? {
        call.update(at, |op: &mut abi::SwapGrantRef| {
            let swapped = call.domain().grants.lock().swap(GrantRef(op.ref_a), GrantRef(op.ref_b));
            op.status = status(call, "swap", swapped);
            Ok(())
        })?;
    }
    array.after::<A, abi::SwapGrantRef, M>(call, BUDGET)
}

/// x86 keeps caches coherent with devices: what is permitted is done already.
fn cache_flush<A: Abi, M: Machine>(call: &mut Call<'_, M>, array: Array) -> Result {
    for at in array.step::<abi::CacheFlush>(BUDGET)? {
        let CacheFlush::Page(gfn) = CacheFlush::new(&call.read(at)?)? else { continue };
        match call.domain().memory.lookup(gfn).map(|entry| entry.kind) {
            Some(PageType::Ram | PageType::GrantMapped) => {}
            _ => refuse!(EPERM, "guest frame {gfn} is neither the caller's memory nor granted to it"),
        }
    }
    array.after::<A, abi::CacheFlush, M>(call, BUDGET)
}
