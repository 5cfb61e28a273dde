//! LZMA: literals and matches, coded by a range decoder with adaptive probabilities (Igor Pavlov's LZMA
//! specification, which is in the public domain).
//!
//! Indices are masked to their tables' sizes, which are powers of two, so that the inner loops have no bounds checks.

use alloc::boxed::Box;
use alloc::vec;

use super::range::{EVEN, Prob, Range};
use super::window::Window;
use crate::unpack::UnpackError;

const STATES: usize = 16;
const POS_STATES: usize = 16;
const LITERAL_CONTEXTS: usize = 16;
/// States from here on follow a match.
const FIRST_MATCH_STATE: usize = 7;
const STATE_AFTER_LITERAL: [u8; STATES] = [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5, 0, 0, 0, 0];

const MIN_MATCH: usize = 2;
/// Distances from this slot on have bits of their own.
const FIRST_CODED_SLOT: u32 = 4;
/// Distances from this slot on have bits without a model.
const FIRST_DIRECT_SLOT: u32 = 14;
const ALIGN_BITS: u32 = 4;
/// The distance that ends a run of unknown length.
const END_MARKER: u32 = u32::MAX;

/// One probability per state and position.
type PerPosition = [Prob; STATES * POS_STATES];

struct Lengths {
    choice: [Prob; 2],
    low: [[Prob; 8]; POS_STATES],
    mid: [[Prob; 8]; POS_STATES],
    high: [Prob; 256],
}

struct Probs {
    is_match: PerPosition,
    is_rep: [Prob; STATES],
    is_rep0: [Prob; STATES],
    is_rep0_long: PerPosition,
    is_rep1: [Prob; STATES],
    is_rep2: [Prob; STATES],
    slot: [[Prob; 64]; 4],
    special: [Prob; 128],
    align: [Prob; 1 << ALIGN_BITS],
    match_len: Lengths,
    rep_len: Lengths,
}

/// By context; each has 3 trees of 256, the rest is room for the mask.
type Literals = [[Prob; 1024]; LITERAL_CONTEXTS];

/// How many bits of context are used.
#[derive(Clone, Copy)]
struct Properties {
    literal_context: u32,
    literal_position_mask: usize,
    position_mask: usize,
}

/// A decoder's memory between runs.
pub struct Lzma {
    properties: Properties,
    state: usize,
    reps: [u32; 4],
    probs: Probs,
    literals: Box<Literals>,
}

/// What a run ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With the last byte asked for.
    Length,
    /// With a marker behind that byte.
    Marker,
}

impl Lzma {
    /// A fresh decoder for a properties byte; `None` if it is not one.
    ///
    /// LZMA2 allows at most 4 bits of literal context and position together, Linux's build uses 3; the same holds here.
    pub fn new(properties: u8) -> Option<Self> {
        let mut lzma = Self {
            properties: Properties { literal_context: 0, literal_position_mask: 0, position_mask: 0 },
            state: 0,
            reps: [0; 4],
            probs: Probs::new(),
            // By way of a vector: 32 KiB are too much for a kernel stack.
            literals: vec![[EVEN; 1024]; LITERAL_CONTEXTS].try_into().ok()?,
        };
        lzma.set_properties(properties).then_some(lzma)
    }

    /// Takes new properties and forgets everything.
    pub fn set_properties(&mut self, properties: u8) -> bool {
        let (lc, lp, pb) = (properties % 9, properties / 9 % 5, properties / 45);
        if pb > 4 || lc + lp > 4 {
            return false;
        }
        self.properties = Properties {
            literal_context: u32::from(lc),
            literal_position_mask: (1 << lp) - 1,
            position_mask: (1 << pb) - 1,
        };
        self.reset();
        true
    }

    /// Forgets everything but the properties.
    pub fn reset(&mut self) {
        self.state = 0;
        self.reps = [0; 4];
        self.probs = Probs::new();
        self.literals.as_flattened_mut().fill(EVEN);
    }

    /// Decodes a run that unpacks to `len` bytes.
    pub fn run(
        &mut self,
        packed: &[u8],
        window: &mut Window<'_>,
        len: usize,
        ending: Ending,
    ) -> Result<(), UnpackError> {
        // Both live in registers, so they must be nobody else's.
        let mut rc = Range::new(packed).ok_or(DAMAGED)?;
        let mut local = window.reborrow();
        let ended = self.decode(&mut rc, &mut local, len, ending);
        let written = local.written();
        window.advance(written);
        ended?;
        if rc.is_finished() { Ok(()) } else { Err(DAMAGED) }
    }

    #[inline(always)]
    fn decode(
        &mut self,
        rc: &mut Range<'_>,
        window: &mut Window<'_>,
        len: usize,
        ending: Ending,
    ) -> Result<(), UnpackError> {
        let probs = &mut self.probs;
        let Properties { literal_context, literal_position_mask, position_mask } = self.properties;
        let [mut rep0, mut rep1, mut rep2, mut rep3] = self.reps;
        let mut state = self.state;
        let mut left = len;
        while left != 0 || ending == Ending::Marker {
            let position = window.filled();
            let pos_state = position & position_mask;
            let at = (state << 4 | pos_state) & (STATES * POS_STATES - 1);
            let st = state & (STATES - 1);

            if !rc.bit(&mut probs.is_match[at]) {
                let context = (position & literal_position_mask) << literal_context
                    | usize::from(window.back(0)) >> (8 - literal_context);
                let literal = &mut self.literals[context & (LITERAL_CONTEXTS - 1)];
                let byte = if state < FIRST_MATCH_STATE {
                    rc.tree::<8, 256>(literal.first_chunk_mut().unwrap_or(&mut [0; 256])) as u8
                } else {
                    matched_literal(rc, literal, window.back(rep0 as usize))
                };
                window.push(byte)?;
                state = usize::from(STATE_AFTER_LITERAL[st]);
                left = left.wrapping_sub(1);
                continue;
            }

            let match_len;
            if !rc.bit(&mut probs.is_rep[st]) {
                match_len = probs.match_len.decode(rc, pos_state);
                (rep3, rep2, rep1) = (rep2, rep1, rep0);
                rep0 = probs.distance(rc, match_len);
                if rep0 == END_MARKER {
                    return if ending == Ending::Marker && left == 0 { Ok(()) } else { Err(DAMAGED) };
                }
                state = if state < FIRST_MATCH_STATE { 7 } else { 10 };
            } else {
                if !rc.bit(&mut probs.is_rep0[st]) {
                    if !rc.bit(&mut probs.is_rep0_long[at]) {
                        window.repeat(rep0 as usize, 1)?;
                        state = if state < FIRST_MATCH_STATE { 9 } else { 11 };
                        left = left.wrapping_sub(1);
                        continue;
                    }
                } else {
                    let distance;
                    if !rc.bit(&mut probs.is_rep1[st]) {
                        distance = rep1;
                    } else {
                        if !rc.bit(&mut probs.is_rep2[st]) {
                            distance = rep2;
                        } else {
                            distance = rep3;
                            rep3 = rep2;
                        }
                        rep2 = rep1;
                    }
                    rep1 = rep0;
                    rep0 = distance;
                }
                match_len = probs.rep_len.decode(rc, pos_state);
                state = if state < FIRST_MATCH_STATE { 8 } else { 11 };
            }
            left = left.checked_sub(match_len).ok_or(UnpackError::Invalid("a match exceeds its chunk"))?;
            window.repeat(rep0 as usize, match_len)?;
        }
        self.state = state;
        self.reps = [rep0, rep1, rep2, rep3];
        Ok(())
    }
}

const DAMAGED: UnpackError = UnpackError::Invalid("a run of packed data is damaged");

/// A literal after a match: the byte that the match would have gone on with is a context as long as it agrees.
#[inline(always)]
fn matched_literal(rc: &mut Range<'_>, probs: &mut [Prob; 1024], expected: u8) -> u8 {
    let mut expected = usize::from(expected);
    let mut agrees = 0x100;
    let mut node = 1;
    for _ in 0..8 {
        expected <<= 1;
        let wanted = expected & agrees;
        if rc.bit(&mut probs[(agrees + wanted + node) & 1023]) {
            node = node << 1 | 1;
            agrees = wanted;
        } else {
            node <<= 1;
            agrees &= !wanted;
        }
    }
    node as u8
}

impl Lengths {
    fn new() -> Self {
        Self {
            choice: [EVEN; 2],
            low: [[EVEN; 8]; POS_STATES],
            mid: [[EVEN; 8]; POS_STATES],
            high: [EVEN; 256],
        }
    }

    #[inline(always)]
    fn decode(&mut self, rc: &mut Range<'_>, pos_state: usize) -> usize {
        let pos_state = pos_state & (POS_STATES - 1);
        if !rc.bit(&mut self.choice[0]) {
            MIN_MATCH + rc.tree::<3, 8>(&mut self.low[pos_state])
        } else if !rc.bit(&mut self.choice[1]) {
            MIN_MATCH + 8 + rc.tree::<3, 8>(&mut self.mid[pos_state])
        } else {
            MIN_MATCH + 16 + rc.tree::<8, 256>(&mut self.high)
        }
    }
}

impl Probs {
    fn new() -> Self {
        Self {
            is_match: [EVEN; STATES * POS_STATES],
            is_rep: [EVEN; STATES],
            is_rep0: [EVEN; STATES],
            is_rep0_long: [EVEN; STATES * POS_STATES],
            is_rep1: [EVEN; STATES],
            is_rep2: [EVEN; STATES],
            slot: [[EVEN; 64]; 4],
            special: [EVEN; 128],
            align: [EVEN; 1 << ALIGN_BITS],
            match_len: Lengths::new(),
            rep_len: Lengths::new(),
        }
    }

    /// A distance less 1: a slot that gives its two highest bits and their place, then the rest.
    #[inline(always)]
    fn distance(&mut self, rc: &mut Range<'_>, match_len: usize) -> u32 {
        let slot = rc.tree::<6, 64>(&mut self.slot[(match_len - MIN_MATCH).min(3)]) as u32;
        if slot < FIRST_CODED_SLOT {
            return slot;
        }
        let low_bits = (slot >> 1) - 1;
        let high = (2 | slot & 1) << low_bits;
        if slot < FIRST_DIRECT_SLOT {
            let base = (high - slot) as usize;
            return high | rc.reverse_tree(&mut self.special, base, low_bits);
        }
        let middle = rc.direct(low_bits - ALIGN_BITS) << ALIGN_BITS;
        (high | middle) | rc.reverse_tree(&mut self.align, 0, ALIGN_BITS)
    }
}
