//! Instructions as a guest leaves them for the hypervisor to read: what is decoded is as long as it says, and running it
//! reaches nothing but the bus, within its width.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tenon_core::emulate::{
    Bus, CodeSize, Segment, Unsupported, Width, cr8_operand, decode, execute, identify, length_of,
};
use tenon_core::guest_cpu::Gprs;

#[derive(Arbitrary, Debug)]
struct Input {
    code: u8,
    is_write: bool,
    /// What the device answers; nothing is a failure.
    device: Option<u64>,
    gpr: [u64; 16],
    rflags: u64,
    bytes: Vec<u8>,
}

/// A device that checks what it is told.
struct Device(Option<u64>);

impl Bus for Device {
    type Error = ();

    fn read(&mut self, width: Width) -> Result<u64, ()> {
        self.0.map(|value| value & width.mask()).ok_or(())
    }

    fn write(&mut self, width: Width, value: u64) -> Result<(), ()> {
        assert_eq!(value & !width.mask(), 0, "a value wider than its access");
        self.0.map(drop).ok_or(())
    }

    fn load(&mut self, _: Segment, _: u64, width: Width) -> Result<u64, ()> {
        self.read(width)
    }

    fn store(&mut self, _: Segment, _: u64, width: Width, value: u64) -> Result<(), ()> {
        self.write(width, value)
    }
}

fuzz_target!(|input: Input| {
    let code = [CodeSize::Bits16, CodeSize::Bits32, CodeSize::Bits64][usize::from(input.code % 3)];
    let bytes = &input.bytes[..];
    let sane = |length: u8| (1..=bytes.len().min(15)).contains(&usize::from(length));
    if let Some((what, length)) = identify(bytes, code) {
        assert!(sane(length) && length_of(what, bytes, code) == Some(length));
    }
    if let Some((_, length)) = cr8_operand(bytes, code) {
        assert!(sane(length));
    }
    let Ok(instruction) = decode(bytes, code) else { return };
    let length = usize::from(instruction.length);
    assert!(sane(instruction.length));
    assert_eq!(decode(&bytes[..length], code), Ok(instruction), "it looked at what follows");
    assert_eq!(decode(&bytes[..length - 1], code), Err(Unsupported::Truncated));
    let before = Gprs { gpr: input.gpr, rip: u64::MAX, rflags: input.rflags };
    let mut after = before;
    let done = execute(&instruction, &mut after, &mut Device(input.device), input.is_write);
    assert!(done.is_ok() || after == before, "a failed access left traces");
});
