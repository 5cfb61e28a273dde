//! `multicall`: several hypercalls by one exit.
//!
//! An entry that is not finished keeps its place: its changed arguments go back into its array element, and the caller
//! issues the multicall again for that element and the rest.

use hypercall_abi::abi::{Abi, Word};
use hypercall_abi::xen::MulticallEntry;

use super::{Call, Machine, Outcome, Result, ensure};

/// Calls that one step makes.
const BUDGET: u64 = 16;

pub(super) fn multicall<A: Abi, M: Machine>(call: &mut Call<'_, M>) -> Result {
    let [list, count, ..] = call.args;
    ensure!(!call.nested, EINVAL, "a multicall in a multicall");
    let count = count & 0xffff_ffff;
    let size = size_of::<MulticallEntry<A>>() as u64;
    for i in 0..count.min(BUDGET) {
        let at = A::Ulong::truncated(list.wrapping_add(i * size)).get();
        let mut entry: MulticallEntry<A> = call.read(at)?;
        let mut inner = Call {
            hv: call.hv,
            vcpu: call.vcpu,
            context: &mut *call.context,
            args: entry.args.map(Word::get),
            nested: true,
        };
        match super::answer::<A, M>(entry.op.get() as u32, &mut inner) {
            Outcome::Done(result) => {
                entry.result = A::Ulong::truncated(result as u64);
                call.write(at, &entry)?;
            }
            Outcome::Again => {
                entry.args = inner.args.map(A::Ulong::truncated);
                call.write(at, &entry)?;
                return Ok(go_on::<A, M>(call, at, count - i));
            }
        }
    }
    match count.checked_sub(BUDGET) {
        None | Some(0) => Ok(Outcome::OK),
        Some(rest) => Ok(go_on::<A, M>(call, list.wrapping_add(BUDGET * size), rest)),
    }
}

fn go_on<A: Abi, M: Machine>(call: &mut Call<'_, M>, list: u64, rest: u64) -> Outcome {
    call.set_arg::<A>(0, list);
    call.set_arg::<A>(1, rest);
    Outcome::Again
}
