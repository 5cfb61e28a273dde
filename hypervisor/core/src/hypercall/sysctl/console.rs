//! The console's memory.

use core::sync::atomic::Ordering;

use hypercall_abi::abi::Word;
use hypercall_abi::sysctl::ReadConsole;

use super::{Call, Machine, Result};

/// Bytes copied at a time.
const PIECE: usize = 512;
/// Bytes that one call copies at most, so that it stays short. The tools ask on until nothing comes.
const MAX_BYTES: u32 = 16 * 1024;

/// Copies the log from the oldest byte that is neither overwritten nor cleared, or from where the caller stopped. The
/// caller's index is the low half of a position.
pub(super) fn read<M: Machine>(call: &Call<'_, M>, op: &mut ReadConsole) -> Result<()> {
    let (end, _) = call.hv.machine.console_history(u64::MAX, &mut []);
    let mut at = call.hv.console_cleared.load(Ordering::Relaxed);
    if op.incremental != 0 {
        let behind = (end as u32).wrapping_sub(op.index);
        at = at.max(end.saturating_sub(behind.into()));
    }
    let wanted = op.count.min(MAX_BYTES);
    let mut done = 0;
    let mut piece = [0; PIECE];
    while done < wanted {
        let room = piece.get_mut(..((wanted - done) as usize).min(PIECE)).unwrap_or(&mut []);
        let (next, count) = call.hv.machine.console_history(at, room);
        at = next;
        if count == 0 {
            break;
        }
        call.write_bytes(op.buffer.get().wrapping_add(done.into()), piece.get(..count).unwrap_or(&[]))?;
        done += count as u32;
    }
    if op.clear != 0 {
        call.hv.console_cleared.fetch_max(at, Ordering::Relaxed);
    }
    op.count = done;
    op.index = at as u32;
    Ok(())
}
