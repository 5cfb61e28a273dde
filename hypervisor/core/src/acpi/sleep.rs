//! The sleep types of S5, from the DSDT.
//!
//! `_S5` is by convention a constant package, `Name (_S5, Package () { a, b, .. })`, so its bytes are found and read
//! without an AML interpreter (ACPI 6.5, 7.4.2 and 20.2).

const NAME: &[u8; 4] = b"_S5_";
const NAME_OP: u8 = 0x08;
const ROOT: u8 = b'\\';
const PACKAGE_OP: u8 = 0x12;
const ZERO_OP: u8 = 0x00;
const ONE_OP: u8 = 0x01;
const BYTE_PREFIX: u8 = 0x0a;
const WORD_PREFIX: u8 = 0x0b;
const DWORD_PREFIX: u8 = 0x0c;

/// The sleep types for PM1a and PM1b that switch the machine off; `None` if the table does not say so in the usual way.
pub fn soft_off(dsdt: &[u8]) -> Option<(u8, u8)> {
    let mut at = 0;
    while let Some(found) = dsdt.get(at..)?.windows(NAME.len()).position(|bytes| bytes == NAME) {
        let start = at + found;
        if let Some(types) = package(dsdt, start) {
            return Some(types);
        }
        at = start + NAME.len();
    }
    None
}

fn package(dsdt: &[u8], name: usize) -> Option<(u8, u8)> {
    let before = |n: usize| name.checked_sub(n).and_then(|i| dsdt.get(i)).copied();
    let named = before(1) == Some(NAME_OP) || (before(1) == Some(ROOT) && before(2) == Some(NAME_OP));
    let rest = dsdt.get(name + NAME.len()..)?;
    let (&PACKAGE_OP, rest) = rest.split_first()? else { return None };
    // The length's first byte says how many follow it; then comes the number of elements.
    let length_bytes = 1 + usize::from(rest.first()? >> 6);
    let elements = rest.get(length_bytes + 1..)?;
    let (a, elements) = integer(elements)?;
    let (b, _) = integer(elements).unwrap_or((0, &[]));
    named.then_some((a, b))
}

fn integer(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (op, rest) = bytes.split_first()?;
    let len = match *op {
        ZERO_OP => return Some((0, rest)),
        ONE_OP => return Some((1, rest)),
        BYTE_PREFIX => 1,
        WORD_PREFIX => 2,
        DWORD_PREFIX => 4,
        _ => return None,
    };
    Some((*rest.first()?, rest.get(len..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn usual_forms() {
        let qemu = b"..\x08_S5_\x12\x06\x04\x00\x00\x00\x00..";
        assert_eq!(soft_off(qemu), Some((0, 0)));
        let other = b"_S5_x\x08\\_S5_\x12\x0a\x04\x0a\x05\x0a\x07\x00\x00";
        assert_eq!(soft_off(other), Some((5, 7)));
        assert_eq!(soft_off(b"\x08_S5_\x12"), None);
        assert_eq!(soft_off(b""), None);
    }

    proptest! {
        #[test]
        fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..64), at in 0usize..60) {
            if bytes.len() >= at + 4 {
                bytes[at..at + 4].copy_from_slice(NAME);
            }
            let _ = soft_off(&bytes);
        }
    }
}
