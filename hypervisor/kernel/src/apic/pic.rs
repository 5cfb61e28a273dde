//! The two 8259 interrupt controllers, moved out of the exceptions' way and masked for good.
#![allow(unsafe_code, reason = "programs the 8259s")]

use tenon_core::size::Size;

use crate::cpu::port::Port;

const COMMAND: [Port; 2] = [Port(0x20), Port(0xa0)];
const DATA: [Port; 2] = [Port(0x21), Port(0xa1)];
/// Vectors that a spurious interrupt would still use; [`crate::irq`] ignores them.
const VECTORS: [u32; 2] = [0x20, 0x28];

/// Masks both controllers.
pub fn disable() {
    let steps = |data: [u32; 2]| DATA.into_iter().zip(data);
    // SAFETY: the 8259s are ours: domain 0 gets virtual ones. The sequence is ICW1 to ICW4, then the masks.
    unsafe {
        for port in COMMAND {
            port.write(Size::Byte, 0x11);
        }
        for (port, value) in
            steps(VECTORS).chain(steps([4, 2])).chain(steps([1, 1])).chain(steps([0xff, 0xff]))
        {
            port.write(Size::Byte, value);
        }
    }
}
