//! Faults on purpose (`debug=`), to see that the paths behind them work.
#![allow(unsafe_code, reason = "provokes faults")]

use core::sync::atomic::{AtomicBool, Ordering};

use tenon_core::options::DebugAction;

/// Address 16 TiB: in no area of the hypervisor.
const UNMAPPED: *const u8 = 0x1000_0000_0000 as *const u8;

static HANGS: AtomicBool = AtomicBool::new(false);

/// Does what the option asks for, and does not come back, but for a hang, which comes later. Not inlined: backtraces name it.
#[inline(never)]
pub fn provoke(action: DebugAction) {
    match action {
        DebugAction::Panic => panic!("asked for by debug=panic"),
        DebugAction::PageFault => {
            // SAFETY: none: this is meant to fault, and does before anything else can happen.
            let byte = unsafe { UNMAPPED.read_volatile() };
            log::error!("unmapped memory reads as {byte:#x}");
        }
        DebugAction::StackOverflow => log::error!("an endless recursion ended with {}", descend(1)),
        // SAFETY: faults, and changes nothing.
        DebugAction::UndefinedInstruction => unsafe { core::arch::asm!("ud2") },
        DebugAction::Hang => HANGS.store(true, Ordering::Relaxed),
    }
}

/// Hangs, if that is what domain 0 gets for asking for a panic.
#[inline(never)]
pub fn hang_if_asked() {
    while HANGS.load(Ordering::Relaxed) {
        core::hint::spin_loop();
    }
}

/// Recurses until the stack ends.
#[inline(never)]
fn descend(depth: u64) -> u64 {
    let mut room = [depth; 32];
    // The optimizer must not see that this never ends, nor that the memory is not needed.
    if core::hint::black_box(&mut room)[0] == 0 {
        return depth;
    }
    descend(depth + 1) + core::hint::black_box(room)[31]
}
