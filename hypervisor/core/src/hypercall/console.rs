//! `console_io` (`public/xen.h`): the hypervisor's console.
//!
//! The control domain's output goes there as it is, and it reads the operator's input. Other domains may write too, a
//! line at a time and marked with their number, as through port 0xe9.

use hypercall_abi::abi::Abi;
use hypercall_abi::xen as abi;

use super::{Call, Machine, Outcome, Result, refuse};
use crate::hv_log;

/// Bytes handled by one call at most: about 100 microseconds of a slow serial line's buffer.
const CHUNK: usize = 256;

pub(super) fn console_io<A: Abi, M: Machine>(call: &mut Call<'_, M>) -> Result {
    let [op, count, buffer, ..] = call.args;
    let Ok(count) = usize::try_from(count as i32) else { refuse!(EINVAL, "a count of {count} bytes") };
    match op as u32 {
        abi::CONSOLEIO_WRITE => write::<A, M>(call, count, buffer),
        abi::CONSOLEIO_READ => {
            call.must_be_privileged()?;
            let mut bytes = [0; CHUNK];
            let room = bytes.get_mut(..count.min(CHUNK)).unwrap_or(&mut []);
            let got = call.hv.machine.console_read(room);
            call.write_bytes(buffer, bytes.get(..got).unwrap_or(&[]))?;
            Ok(Outcome::Done(got as i64))
        }
        op => refuse!(ENOSYS, "console_io {op} is not known"),
    }
}

fn write<A: Abi, M: Machine>(call: &mut Call<'_, M>, count: usize, buffer: u64) -> Result {
    let mut bytes = [0; CHUNK];
    let domain = call.domain().clone();
    let mut done = 0;
    while done < count {
        let chunk = bytes.get_mut(..(count - done).min(CHUNK)).unwrap_or(&mut []);
        call.read_bytes(buffer.wrapping_add(done as u64), chunk)?;
        if domain.privileged {
            call.hv.machine.console_write(chunk);
        } else {
            let mut line = domain.debug_line.lock();
            for byte in chunk.iter() {
                line.push(*byte, |text| hv_log!(call.hv, Guest, "({}) {text}", domain.id));
            }
        }
        done += chunk.len();
        if done >= 4 * CHUNK && done < count {
            // The caller continues with what is left.
            call.set_arg::<A>(1, (count - done) as u64);
            call.set_arg::<A>(2, buffer.wrapping_add(done as u64));
            return Ok(Outcome::Again);
        }
    }
    Ok(Outcome::OK)
}
