//! Running a decoded instruction against the device.

use super::decode::{Instruction, Kind, Register, Source};
use super::{Segment, Width};
use crate::guest_cpu::{Gpr, Gprs};

const DIRECTION: u64 = 1 << 10;

/// What the instruction reaches.
pub trait Bus {
    /// Why an access failed; the instruction then has changed nothing and can be run again.
    type Error;
    /// Reads the device address that the exit named.
    ///
    /// # Errors
    /// The implementation's own.
    fn read(&mut self, width: Width) -> Result<u64, Self::Error>;
    /// Writes the device address that the exit named. `value` has no bits beyond `width`.
    ///
    /// # Errors
    /// The implementation's own.
    fn write(&mut self, width: Width, value: u64) -> Result<(), Self::Error>;
    /// Reads the guest's memory at `segment:offset`: the other side of a string move.
    ///
    /// # Errors
    /// The implementation's own, such as a page fault for the guest.
    fn load(&mut self, segment: Segment, offset: u64, width: Width) -> Result<u64, Self::Error>;
    /// Writes the guest's memory at `segment:offset`.
    ///
    /// # Errors
    /// The implementation's own, such as a page fault for the guest.
    fn store(&mut self, segment: Segment, offset: u64, width: Width, value: u64) -> Result<(), Self::Error>;
}

/// Runs `instruction`, or one element of it if it repeats. `is_write` says whether the exit was for a write,
/// which tells the sides of a string move apart.
///
/// # Errors
/// What `bus` failed with. Registers, flags and RIP are then as before.
pub fn execute<B: Bus>(
    instruction: &Instruction,
    registers: &mut Gprs,
    bus: &mut B,
    is_write: bool,
) -> Result<(), B::Error> {
    let width = instruction.width;
    match instruction.kind {
        Kind::Load { register, to, signed } => {
            let value = bus.read(width)? & width.mask();
            let value = if signed { width.sign_extend(value) } else { value };
            set(registers, register, to, value);
        }
        Kind::Store(source) => bus.write(width, get(registers, source, width))?,
        Kind::Modify(op, source) => {
            let old = bus.read(width)?;
            let (new, flags) = op.apply(old, get(registers, source, width), width, registers.rflags);
            if op.writes() {
                bus.write(width, new)?;
            }
            registers.rflags = flags;
        }
        Kind::Combine(op, register) => {
            let own = get(registers, Source::Register(register), width);
            let (new, flags) = op.apply(own, bus.read(width)?, width, registers.rflags);
            if op.writes() {
                set(registers, register, width, new);
            }
            registers.rflags = flags;
        }
        Kind::Exchange(register) => {
            let old = bus.read(width)?;
            bus.write(width, get(registers, Source::Register(register), width))?;
            set(registers, register, width, old);
        }
        Kind::Move(_) | Kind::Fill | Kind::Fetch => return string(instruction, registers, bus, is_write),
    }
    advance(instruction, registers);
    Ok(())
}

/// One element of MOVS, STOS or LODS.
fn string<B: Bus>(
    instruction: &Instruction,
    registers: &mut Gprs,
    bus: &mut B,
    is_write: bool,
) -> Result<(), B::Error> {
    let Instruction { kind, width, address, repeat, .. } = *instruction;
    let count = registers.get(Gpr::Rcx) & address.mask();
    if repeat && count == 0 {
        advance(instruction, registers);
        return Ok(());
    }
    let step = if registers.rflags & DIRECTION == 0 { width.bytes() } else { width.bytes().wrapping_neg() };
    let accumulator = Register { gpr: Gpr::Rax, high: false };
    match kind {
        Kind::Fill => bus.write(width, get(registers, Source::Register(accumulator), width))?,
        Kind::Fetch => set(registers, accumulator, width, bus.read(width)?),
        Kind::Move(segment) if is_write => {
            let value = bus.load(segment, registers.get(Gpr::Rsi) & address.mask(), width)?;
            bus.write(width, value & width.mask())?;
        }
        _ => {
            let value = bus.read(width)? & width.mask();
            bus.store(Segment::Es, registers.get(Gpr::Rdi) & address.mask(), width, value)?;
        }
    }
    if kind != Kind::Fill {
        bump(registers, Gpr::Rsi, step, address);
    }
    if kind != Kind::Fetch {
        bump(registers, Gpr::Rdi, step, address);
    }
    if repeat {
        bump(registers, Gpr::Rcx, u64::MAX, address);
    }
    if !repeat || count == 1 {
        advance(instruction, registers);
    }
    Ok(())
}

fn advance(instruction: &Instruction, registers: &mut Gprs) {
    registers.rip = registers.rip.wrapping_add(u64::from(instruction.length));
}

fn bump(registers: &mut Gprs, gpr: Gpr, by: u64, address: Width) {
    let value = registers.get(gpr).wrapping_add(by);
    set(registers, Register { gpr, high: false }, address, value);
}

fn get(registers: &Gprs, source: Source, width: Width) -> u64 {
    let value = match source {
        Source::Immediate(value) => value,
        Source::Register(Register { gpr, high: false }) => registers.get(gpr),
        Source::Register(Register { gpr, high: true }) => registers.get(gpr) >> 8,
    };
    value & width.mask()
}

/// Writes a register as the CPU does: 32-bit results clear the upper half, smaller ones leave the rest.
fn set(registers: &mut Gprs, register: Register, width: Width, value: u64) {
    let Register { gpr, high } = register;
    let old = registers.get(gpr);
    let new = match (width, high) {
        (Width::Byte, true) => old & !0xff00 | (value & 0xff) << 8,
        (Width::Byte | Width::Word, _) => old & !width.mask() | value & width.mask(),
        (Width::Dword | Width::Qword, _) => value & width.mask(),
    };
    registers.set(gpr, new);
}
