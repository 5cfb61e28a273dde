//! The range decoder of LZMA: adaptive bits out of a byte string.

/// An adaptive probability that the next bit is 0, in units of 1 / 2048. (Half as wide would do, and cost a conversion.)
pub type Prob = u32;

/// Even odds.
pub const EVEN: Prob = 1 << (MODEL_BITS - 1);

const MODEL_BITS: u32 = 11;
/// How fast a probability follows the bits: by 1/32 of the distance.
const MOVE_BITS: u32 = 5;
/// Makes the arithmetic shift of a negative distance from certainty round towards 0.
const ROUND_UP: i32 = (1 << MODEL_BITS) - (1 << MOVE_BITS) + 1;
const TOP: u32 = 1 << 24;

/// Bytes that a range-coded run starts with.
pub const INIT_LEN: usize = 5;

/// A range decoder. Past its input it makes up bits, and does not come out even.
pub struct Range<'a> {
    range: u32,
    code: u32,
    input: &'a [u8],
}

impl<'a> Range<'a> {
    /// Starts at the 5 bytes that begin every run; the first is always 0.
    pub fn new(input: &'a [u8]) -> Option<Self> {
        let (init, rest) = input.split_first_chunk::<INIT_LEN>()?;
        let [0, code @ ..] = *init else { return None };
        Some(Self { range: u32::MAX, code: u32::from_be_bytes(code), input: rest })
    }

    /// Whether all input and nothing more was used and the code came out even, as it does after a whole run.
    pub fn is_finished(&mut self) -> bool {
        self.normalize();
        self.code == 0 && self.input.is_empty()
    }

    #[inline(always)]
    fn normalize(&mut self) {
        if self.range < TOP {
            self.range <<= 8;
            self.code <<= 8;
            if let [byte, rest @ ..] = self.input {
                self.code |= u32::from(*byte);
                self.input = rest;
            } else {
                self.code = u32::MAX;
            }
        }
    }

    /// The next bit, by its probability.
    #[inline(always)]
    pub fn bit(&mut self, prob: &mut Prob) -> bool {
        self.normalize();
        let p = *prob;
        let bound = (self.range >> MODEL_BITS) * p;
        if self.code < bound {
            self.range = bound;
            // A step towards 2048, in one instruction less than taking the difference needs.
            *prob = (p as i32 - ((p as i32 - ROUND_UP) >> MOVE_BITS)) as Prob;
            false
        } else {
            self.range -= bound;
            self.code -= bound;
            *prob = (p - (p >> MOVE_BITS)) as Prob;
            true
        }
    }

    /// A number of `BITS` bits, the highest first, by a tree of probabilities with `SIZE = 1 << BITS` entries.
    #[inline(always)]
    pub fn tree<const BITS: u32, const SIZE: usize>(&mut self, probs: &mut [Prob; SIZE]) -> usize {
        let mut node = 1;
        for _ in 0..BITS {
            node = node << 1 | usize::from(self.bit(&mut probs[node & (SIZE - 1)]));
        }
        node & (SIZE - 1)
    }

    /// A number of `bits` bits, the lowest first; the tree's root is at `base`, entries past the end wrap.
    #[inline(always)]
    pub fn reverse_tree<const SIZE: usize>(
        &mut self,
        probs: &mut [Prob; SIZE],
        base: usize,
        bits: u32,
    ) -> u32 {
        let mut node = 1;
        let mut value = 0;
        for i in 0..bits {
            let bit = self.bit(&mut probs[(base + node) & (SIZE - 1)]);
            node = node << 1 | usize::from(bit);
            value |= u32::from(bit) << i;
        }
        value
    }

    /// `bits` bits that have no model.
    #[inline(always)]
    pub fn direct(&mut self, bits: u32) -> u32 {
        let mut value = 0;
        for _ in 0..bits {
            self.normalize();
            self.range >>= 1;
            let is_set = self.code >= self.range;
            if is_set {
                self.code -= self.range;
            }
            value = value << 1 | u32::from(is_set);
        }
        value
    }
}
