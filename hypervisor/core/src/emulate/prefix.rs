//! Reading instruction bytes, and the prefixes in front of the opcode.

use super::{CodeSize, Segment, Unsupported, Width};

/// The architecture's limit on an instruction.
const MAX_LENGTH: usize = 15;

/// The bytes and how far they are read.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn byte(&mut self) -> Result<u8, Unsupported> {
        if self.at >= MAX_LENGTH {
            return Err(Unsupported::TooLong);
        }
        let byte = *self.bytes.get(self.at).ok_or(Unsupported::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn skip(&mut self, count: usize) -> Result<(), Unsupported> {
        for _ in 0..count {
            self.byte()?;
        }
        Ok(())
    }

    /// A little-endian immediate of `width`, extended by its sign.
    pub(super) fn signed(&mut self, width: Width) -> Result<u64, Unsupported> {
        let mut value = 0;
        for i in 0..width.bytes() {
            value |= u64::from(self.byte()?) << (8 * i);
        }
        Ok(width.sign_extend(value))
    }

    /// Bytes read so far; at most 15.
    pub(super) const fn length(&self) -> u8 {
        self.at as u8
    }
}

/// What the prefixes say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Prefixes {
    pub(super) operand: bool,
    pub(super) address: bool,
    pub(super) repeat: bool,
    pub(super) segment: Option<Segment>,
    /// The REX byte; one that is followed by another prefix does not count.
    rex: Option<u8>,
}

impl Prefixes {
    /// Reads the prefixes and returns the first opcode byte with them.
    pub(super) fn read(reader: &mut Reader<'_>, code: CodeSize) -> Result<(Self, u8), Unsupported> {
        let mut p = Self::default();
        loop {
            let byte = reader.byte()?;
            match byte {
                0x66 => p.operand = true,
                0x67 => p.address = true,
                0xf2 | 0xf3 => p.repeat = true,
                0xf0 => {}
                0x26 => p.segment = Some(Segment::Es),
                0x2e => p.segment = Some(Segment::Cs),
                0x36 => p.segment = Some(Segment::Ss),
                0x3e => p.segment = Some(Segment::Ds),
                0x64 => p.segment = Some(Segment::Fs),
                0x65 => p.segment = Some(Segment::Gs),
                0x40..=0x4f if code == CodeSize::Bits64 => {
                    p.rex = Some(byte);
                    continue;
                }
                _ => return Ok((p, byte)),
            }
            p.rex = None;
        }
    }

    pub(super) const fn has_rex(&self) -> bool {
        self.rex.is_some()
    }

    const fn rex_bit(&self, bit: u8) -> bool {
        match self.rex {
            Some(rex) => rex >> bit & 1 != 0,
            None => false,
        }
    }

    /// REX.R as the fourth bit of the register field.
    pub(super) const fn rex_r(&self) -> u8 {
        (self.rex_bit(2) as u8) << 3
    }

    /// REX.B as the fourth bit of the field that names the other register.
    pub(super) const fn rex_b(&self) -> u8 {
        (self.rex_bit(0) as u8) << 3
    }

    /// Operand size of instructions that are not byte-sized.
    pub(super) const fn operand_width(&self, code: CodeSize) -> Width {
        match (code, self.operand) {
            (CodeSize::Bits64, _) if self.rex_bit(3) => Width::Qword,
            (CodeSize::Bits16, true) | (CodeSize::Bits32 | CodeSize::Bits64, false) => Width::Dword,
            (CodeSize::Bits16, false) | (CodeSize::Bits32 | CodeSize::Bits64, true) => Width::Word,
        }
    }

    /// Address size.
    pub(super) const fn address_width(&self, code: CodeSize) -> Width {
        match (code, self.address) {
            (CodeSize::Bits64, false) => Width::Qword,
            (CodeSize::Bits64, true) | (CodeSize::Bits32, false) | (CodeSize::Bits16, true) => Width::Dword,
            (CodeSize::Bits32, true) | (CodeSize::Bits16, false) => Width::Word,
        }
    }
}
