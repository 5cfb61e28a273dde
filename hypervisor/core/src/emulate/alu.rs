//! Arithmetic and its flags (SDM vol. 1, 3.4.3.1).

use super::Width;

const CF: u64 = 1 << 0;
const PF: u64 = 1 << 2;
const AF: u64 = 1 << 4;
const ZF: u64 = 1 << 6;
const SF: u64 = 1 << 7;
const OF: u64 = 1 << 11;
const ALL: u64 = CF | PF | AF | ZF | SF | OF;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Or,
    Adc,
    Sbb,
    And,
    Sub,
    Xor,
    Cmp,
    Test,
}

impl Op {
    pub(super) const fn writes(self) -> bool {
        !matches!(self, Self::Cmp | Self::Test)
    }

    /// `a op b`, and the flags after it.
    pub(super) const fn apply(self, a: u64, b: u64, width: Width, flags: u64) -> (u64, u64) {
        let carry = flags & CF;
        let (result, new) = match self {
            Self::Add => add(a, b, 0, width),
            Self::Adc => add(a, b, carry, width),
            Self::Sub | Self::Cmp => subtract(a, b, 0, width),
            Self::Sbb => subtract(a, b, carry, width),
            Self::Or => ((a | b) & width.mask(), 0),
            Self::And | Self::Test => (a & b & width.mask(), 0),
            Self::Xor => ((a ^ b) & width.mask(), 0),
        };
        (result, flags & !ALL | new | result_flags(result, width))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unary {
    Not,
    Negate,
    Increment,
    Decrement,
}

impl Unary {
    pub(super) const fn apply(self, a: u64, width: Width, flags: u64) -> (u64, u64) {
        let ((result, new), kept) = match self {
            Self::Not => return (!a & width.mask(), flags),
            Self::Negate => (subtract(0, a, 0, width), 0),
            Self::Increment => (add(a, 1, 0, width), CF),
            Self::Decrement => (subtract(a, 1, 0, width), CF),
        };
        (result, flags & !(ALL & !kept) | new & !kept | result_flags(result, width))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BitOp {
    Test,
    Set,
    Reset,
    Complement,
}

impl BitOp {
    /// The new value, or `None` where nothing is written, and the flags. The CPU has already moved the address
    /// by the part of the bit number that lies beyond the operand.
    pub(super) const fn apply(self, a: u64, bit: u64, width: Width, flags: u64) -> (Option<u64>, u64) {
        let mask = 1 << (bit & (width.bits() as u64 - 1));
        let flags = flags & !CF | if a & mask != 0 { CF } else { 0 };
        match self {
            Self::Test => (None, flags),
            Self::Set => (Some(a | mask), flags),
            Self::Reset => (Some(a & !mask), flags),
            Self::Complement => (Some(a ^ mask), flags),
        }
    }
}

const fn sign(value: u64, width: Width) -> bool {
    value >> (width.bits() - 1) & 1 != 0
}

const fn result_flags(result: u64, width: Width) -> u64 {
    let mut flags = 0;
    if result == 0 {
        flags |= ZF;
    }
    if sign(result, width) {
        flags |= SF;
    }
    if (result as u8).count_ones() & 1 == 0 {
        flags |= PF;
    }
    flags
}

const fn add(a: u64, b: u64, carry: u64, width: Width) -> (u64, u64) {
    let (a, b) = (a & width.mask(), b & width.mask());
    let wide = a as u128 + b as u128 + carry as u128;
    let result = wide as u64 & width.mask();
    let mut flags = (a ^ b ^ result) & AF;
    if wide >> width.bits() != 0 {
        flags |= CF;
    }
    if sign((a ^ result) & (b ^ result), width) {
        flags |= OF;
    }
    (result, flags)
}

const fn subtract(a: u64, b: u64, borrow: u64, width: Width) -> (u64, u64) {
    let (a, b) = (a & width.mask(), b & width.mask());
    let result = a.wrapping_sub(b).wrapping_sub(borrow) & width.mask();
    let mut flags = (a ^ b ^ result) & AF;
    if (a as u128) < b as u128 + borrow as u128 {
        flags |= CF;
    }
    if sign((a ^ b) & (a ^ result), width) {
        flags |= OF;
    }
    (result, flags)
}
