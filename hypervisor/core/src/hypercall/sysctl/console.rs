//! The console's memory, and keys as if typed on it.

use core::sync::atomic::Ordering;

use hypercall_abi::abi::Word;
use hypercall_abi::sysctl::{DebugKeys, ReadConsole};

use super::{Call, Machine, Result, ensure, refuse};
use crate::hv_log;
use crate::hypercall::domctl::describe;
use crate::ids::DomId;
use crate::machine::MachineEnd;

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

/// Answers the keys that have an answer: `h` for help, `q` for the domains. `C` is the end, to see what a panic reports.
pub(super) fn debug_keys<M: Machine>(call: &Call<'_, M>, op: DebugKeys) -> Result<()> {
    const MAX_KEYS: u32 = 16;
    ensure!(op.nr_keys <= MAX_KEYS, E2BIG, "{} keys at once; {MAX_KEYS} are the most", op.nr_keys);
    for i in 0..op.nr_keys.into() {
        match call.read_element::<u8>(op.keys.get(), i)? {
            b'h' => hv_log!(call.hv, Info, "keys: h this help, q domains, C panic"),
            b'q' => domains(call),
            b'C' => call.hv.machine.end(MachineEnd::Panic),
            key => refuse!(EINVAL, "key {:?} does nothing", char::from(key)),
        }
    }
    Ok(())
}

fn domains<M: Machine>(call: &Call<'_, M>) {
    for domain in call.hv.domains_from(DomId(0)) {
        let info = describe(call.hv, &domain);
        hv_log!(
            call.hv,
            Info,
            "{}: flags {:#x}, {} of {} pages, {} page tables, {} of {} vCPUs on, ran {} ms",
            domain.id,
            info.flags.bits(),
            info.tot_pages,
            info.max_pages,
            domain.memory.tables(),
            info.nr_online_vcpus,
            domain.config.max_vcpus,
            info.cpu_time / 1_000_000
        );
    }
}
