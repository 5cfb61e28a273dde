//! Values of options: numbers, sizes, switches.

/// An amount of memory, possibly relative to what the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryAmount {
    /// This many bytes.
    Bytes(u64),
    /// All but this many bytes (`-512M`).
    AllBut(u64),
    /// A percentage of all, plus some bytes (`25%+128M`).
    Share {
        /// 0 to 100.
        percent: u8,
        /// Bytes on top.
        plus: u64,
    },
}

impl MemoryAmount {
    /// Parses an amount; a size without a suffix is in KiB, as in Xen's `dom0_mem`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('-') {
            return parse_size(rest, 10).map(Self::AllBut);
        }
        let Some((percent, rest)) = text.split_once('%') else {
            return parse_size(text, 10).map(Self::Bytes);
        };
        let percent = u8::try_from(parse_number(percent)?).ok().filter(|p| *p <= 100)?;
        let plus = match rest.strip_prefix('+') {
            Some(size) => parse_size(size, 10)?,
            None if rest.is_empty() => 0,
            None => return None,
        };
        Some(Self::Share { percent, plus })
    }

    /// The amount in bytes on a machine with `total` bytes, never more than that.
    pub const fn resolve(self, total: u64) -> u64 {
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::AllBut(kept) => total.saturating_sub(kept),
            Self::Share { percent, plus } => {
                (total / 100).saturating_mul(percent as u64).saturating_add(plus)
            }
        };
        if bytes < total { bytes } else { total }
    }
}

/// Parses a decimal number, or a hexadecimal one after `0x`.
pub fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        // `from_str` takes a leading plus sign, which no option means.
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

/// Parses a size in bytes with a suffix B, K, M, G or T; without one, the unit is `1 << default_shift` bytes.
pub fn parse_size(text: &str, default_shift: u32) -> Option<u64> {
    let shift = match text.as_bytes().last()?.to_ascii_uppercase() {
        // A hexadecimal digit first, a suffix only where it cannot be one.
        b'B' if !text.starts_with("0x") => 0,
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        _ => return parse_number(text)?.checked_mul(1 << default_shift),
    };
    parse_number(&text[..text.len() - 1])?.checked_mul(1 << shift)
}

/// Parses yes, on, true, enable, 1 and their opposites.
pub fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "on" | "true" | "enable" | "1" => Some(true),
        "no" | "off" | "false" | "disable" | "0" => Some(false),
        _ => None,
    }
}
