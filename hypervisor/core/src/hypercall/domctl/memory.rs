//! How much memory a domain may have, for itself and for its page tables.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use hypercall_abi::domctl as abi;
use hypercall_abi::domctl::Domctl;

use crate::domain::Domain;
use crate::frame::{PAGE_SHIFT, PAGE_SIZE};
use crate::hypercall::{Outcome, Refused};
use crate::machine::Machine;
use crate::refuse;

/// Pages in a MiB.
const MIB: u32 = 256;

pub(super) fn max_mem<M: Machine>(domain: &Arc<Domain<M>>, ctl: &Domctl) -> Result<Outcome, Refused> {
    let abi::MaxMem { max_memkb } = ctl.payload();
    let Ok(frames) = u32::try_from(max_memkb >> (PAGE_SHIFT - 10)) else {
        refuse!(EINVAL, "a memory limit of {max_memkb} KiB is more than any machine has")
    };
    domain.memory.max_frames.store(frames, Ordering::Relaxed);
    Ok(Outcome::OK)
}

pub(super) fn shadow_op<M: Machine>(domain: &Arc<Domain<M>>, ctl: &mut Domctl) -> Result<Outcome, Refused> {
    let mut op: abi::ShadowOp = ctl.payload();
    match op.op {
        abi::SHADOW_OP_GET_ALLOCATION => {
            op.mb = domain.memory.max_tables().div_ceil(MIB);
            ctl.set_payload(op);
        }
        abi::SHADOW_OP_SET_ALLOCATION => set_pool(domain, op.mb.saturating_mul(MIB))?,
        abi::SHADOW_OP_OFF => {}
        abi::SHADOW_OP_ENABLE_TEST | abi::SHADOW_OP_ENABLE => {
            refuse!(EOPNOTSUPP, "shadow paging is not supported")
        }
        abi::SHADOW_OP_ENABLE_LOGDIRTY | abi::SHADOW_OP_CLEAN | abi::SHADOW_OP_PEEK => {
            refuse!(EOPNOTSUPP, "recording of writes (log-dirty) is not supported: domains cannot be moved")
        }
        op => refuse!(EINVAL, "paging operation {op} is not known"),
    }
    Ok(Outcome::OK)
}

pub(super) fn paging_pool<M: Machine>(domain: &Arc<Domain<M>>, ctl: &mut Domctl) -> Result<Outcome, Refused> {
    if ctl.cmd == abi::GET_PAGING_MEMPOOL_SIZE {
        ctl.set_payload(abi::PagingMempool { size: u64::from(domain.memory.max_tables()) << PAGE_SHIFT });
        return Ok(Outcome::OK);
    }
    let abi::PagingMempool { size } = ctl.payload();
    if size % PAGE_SIZE as u64 != 0 {
        refuse!(EINVAL, "a page table pool of {size} bytes is not whole pages");
    }
    match u32::try_from(size >> PAGE_SHIFT) {
        Ok(pages) => set_pool(domain, pages)?,
        Err(_) => refuse!(EINVAL, "a page table pool of {size} bytes is more than any machine has"),
    }
    Ok(Outcome::OK)
}

fn set_pool<M: Machine>(domain: &Arc<Domain<M>>, pages: u32) -> Result<(), Refused> {
    let used = domain.memory.tables();
    if u64::from(pages) < used as u64 {
        refuse!(EBUSY, "a page table pool of {pages} pages is too small: {} uses {used}", domain.id);
    }
    domain.memory.set_max_tables(pages);
    Ok(())
}
