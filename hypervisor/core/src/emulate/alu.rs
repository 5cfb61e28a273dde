//! Arithmetic and its flags (SDM vol. 1, 3.4.3.1).

use super::Width;

const CF: u64 = 1 << 0;
const PF: u64 = 1 << 2;
const AF: u64 = 1 << 4;
const ZF: u64 = 1 << 6;
const SF: u64 = 1 << 7;
const OF: u64 = 1 << 11;
const ALL: u64 = CF | PF | AF | ZF | SF | OF;

/// What an instruction makes of the value `a` of its first operand and `b` of its second, if it has one.
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
    Not,
    Neg,
    Inc,
    Dec,
    Bt,
    Bts,
    Btr,
    Btc,
}

impl Op {
    pub(super) const fn writes(self) -> bool {
        !matches!(self, Self::Cmp | Self::Test | Self::Bt)
    }

    /// The result, and the flags after it.
    pub(super) const fn apply(self, a: u64, b: u64, width: Width, flags: u64) -> (u64, u64) {
        let carry = flags & CF;
        // The CPU has already moved the address by the part of the bit number that lies beyond the operand.
        let bit = 1 << (b & (width.bits() as u64 - 1));
        let tested = if a & bit != 0 { CF } else { 0 };
        let (result, new) = match self {
            Self::Add => add(a, b, 0, width),
            Self::Adc => add(a, b, carry, width),
            Self::Inc => add(a, 1, 0, width),
            Self::Sub | Self::Cmp => subtract(a, b, 0, width),
            Self::Sbb => subtract(a, b, carry, width),
            Self::Dec => subtract(a, 1, 0, width),
            Self::Neg => subtract(0, a, 0, width),
            Self::Not => (!a, 0),
            Self::Or => (a | b, 0),
            Self::And | Self::Test => (a & b, 0),
            Self::Xor => (a ^ b, 0),
            Self::Bt => (a, tested),
            Self::Bts => (a | bit, tested),
            Self::Btr => (a & !bit, tested),
            Self::Btc => (a ^ bit, tested),
        };
        let changed = match self {
            Self::Not => 0,
            Self::Inc | Self::Dec => ALL & !CF,
            Self::Bt | Self::Bts | Self::Btr | Self::Btc => CF,
            _ => ALL,
        };
        let result = result & width.mask();
        (result, flags & !changed | (new | result_flags(result, width)) & changed)
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
