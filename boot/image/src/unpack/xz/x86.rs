//! The x86 filter of xz, undone: packing replaced the relative targets of near calls and jumps by absolute ones.
//!
//! What is taken for a call is any 0xe8 or 0xe9 byte whose operand's highest byte is 0 or 0xff. Since an operand can
//! hold such bytes too, the filter remembers which of the last three bytes looked like an opcode and was passed over.

/// Bytes of an instruction: the opcode and its operand.
const LEN: usize = 5;

/// Undoes the filter on a whole block, whose first byte counts as address `start`.
pub fn decode(block: &mut [u8], start: u32) {
    let mut i = 0;
    // Bit n: the byte n + 1 places back looked like an opcode and was passed over.
    let mut passed: u8 = 0;
    while let Some(next) = find_opcode(block, i) {
        let gap = next - i;
        i = next;
        passed = if gap < 3 { passed << gap & 7 } else { 0 };
        let Some(instruction) = block.get_mut(i..).and_then(|rest| rest.first_chunk_mut::<LEN>()) else {
            return;
        };
        let [_, a, b, c, d] = *instruction;

        if !is_sign(d) || !may_convert(passed, [a, b, c, d]) {
            passed = passed << 1 | 1;
            i += 1;
            continue;
        }
        let next_address = start.wrapping_add(i as u32).wrapping_add(LEN as u32);
        let target = relative(u32::from_le_bytes([a, b, c, d]), next_address, passed);
        // Targets have 25 bits, the highest one is the sign.
        let target = ((target << 7) as i32 >> 7).to_le_bytes();
        instruction[1..].copy_from_slice(&target);
        passed = 0;
        i += LEN;
    }
}

/// Whether the byte is what a call's highest operand byte is: all zeros or all ones.
fn is_sign(byte: u8) -> bool {
    byte == 0 || byte == 0xff
}

/// Which operand byte the latest byte that was passed over would have for its highest, by `passed`.
fn overlap(passed: u8) -> u32 {
    u8::BITS - passed.leading_zeros()
}

/// Whether bytes that were passed over leave this one a candidate.
fn may_convert(passed: u8, operand: [u8; 4]) -> bool {
    match passed {
        0 => true,
        // One: it depends on the byte that would be that one's highest.
        1 | 2 | 4 => !is_sign(operand[3 - overlap(passed) as usize]),
        _ => false,
    }
}

/// From absolute to relative, once more for as long as the byte shared with one passed over looks like a sign.
fn relative(operand: u32, next_address: u32, passed: u8) -> u32 {
    let mut source = operand;
    loop {
        let target = source.wrapping_sub(next_address);
        if passed == 0 {
            return target;
        }
        let shift = 24 - overlap(passed) * 8;
        if !is_sign((target >> shift) as u8) {
            return target;
        }
        source = target ^ ((1 << (shift + 8)) - 1);
    }
}

/// The next byte that looks like an opcode, from `from` on. Eight bytes at a time: most are none.
fn find_opcode(block: &[u8], from: usize) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    let rest = block.get(from..)?;
    let (words, tail) = rest.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        // 0xe8 and 0xe9 become 0; the lowest byte that is 0 has the lowest high bit left.
        let difference = (u64::from_le_bytes(*word) & !ONES) ^ (ONES * 0xe8);
        let zeros = difference.wrapping_sub(ONES) & !difference & HIGHS;
        if zeros != 0 {
            return Some(from + i * 8 + zeros.trailing_zeros() as usize / 8);
        }
    }
    let found = tail.iter().position(|byte| byte & 0xfe == 0xe8)?;
    Some(from + words.len() * 8 + found)
}
