//! How much memory a domain may have, for itself and for its page tables.

use core::sync::atomic::Ordering;

use hypercall_abi::domctl as abi;
use hypercall_abi::domctl::{MaxMem, PagingMempool, ShadowOp};

use super::{Machine, On, Result, refuse};
use crate::frame::{PAGE_SHIFT, PAGE_SIZE};

/// Pages in a MiB.
const MIB: u32 = 256;

pub(super) fn max_mem<M: Machine>(on: &On<'_, M>, MaxMem { max_memkb }: MaxMem) -> Result<()> {
    let Ok(frames) = u32::try_from(max_memkb >> (PAGE_SHIFT - 10)) else {
        refuse!(EINVAL, "a memory limit of {max_memkb} KiB is more than any machine has")
    };
    on.domain.memory.max_frames.store(frames, Ordering::Relaxed);
    Ok(())
}

pub(super) fn shadow_op<M: Machine>(on: &On<'_, M>, op: &mut ShadowOp) -> Result<()> {
    match op.op {
        abi::SHADOW_OP_GET_ALLOCATION => op.mb = on.domain.memory.max_tables().div_ceil(MIB),
        abi::SHADOW_OP_SET_ALLOCATION => set_pool(on, op.mb.saturating_mul(MIB))?,
        abi::SHADOW_OP_OFF => {}
        abi::SHADOW_OP_ENABLE_TEST | abi::SHADOW_OP_ENABLE => {
            refuse!(EOPNOTSUPP, "shadow paging is not supported")
        }
        abi::SHADOW_OP_ENABLE_LOGDIRTY | abi::SHADOW_OP_CLEAN | abi::SHADOW_OP_PEEK => {
            refuse!(EOPNOTSUPP, "recording of writes (log-dirty) is not supported: domains cannot be moved")
        }
        op => refuse!(EINVAL, "paging operation {op} is not known"),
    }
    Ok(())
}

pub(super) fn paging_pool<M: Machine>(on: &On<'_, M>) -> PagingMempool {
    PagingMempool { size: u64::from(on.domain.memory.max_tables()) << PAGE_SHIFT }
}

pub(super) fn set_paging_pool<M: Machine>(on: &On<'_, M>, op: PagingMempool) -> Result<()> {
    let size = op.size;
    if !size.is_multiple_of(PAGE_SIZE as u64) {
        refuse!(EINVAL, "a page table pool of {size} bytes is not whole pages");
    }
    match u32::try_from(size >> PAGE_SHIFT) {
        Ok(pages) => set_pool(on, pages),
        Err(_) => refuse!(EINVAL, "a page table pool of {size} bytes is more than any machine has"),
    }
}

fn set_pool<M: Machine>(on: &On<'_, M>, pages: u32) -> Result<()> {
    let memory = &on.domain.memory;
    let used = memory.tables();
    if u64::from(pages) < used as u64 {
        refuse!(EBUSY, "a page table pool of {pages} pages is too small: {} uses {used}", on.domain.id);
    }
    memory.set_max_tables(pages);
    Ok(())
}
