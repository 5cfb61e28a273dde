//! The name of a guest's disk, and the number that stands for it in xenstore.
//!
//! Numbers are those of Xen's `docs/man/xen-vbd-interface.7`: they look like Linux's device numbers for disks of its
//! SCSI, IDE and Xen drivers, and have a range of their own beyond those.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Marks the numbers of the range beyond the classic ones.
const EXTENDED: u32 = 1 << 28;
/// Disks and partitions that the extended range has room for.
const EXTENDED_DISKS: u32 = 1 << 20;
const EXTENDED_PARTITIONS: u32 = 1 << 8;

/// A disk of a guest, or a partition that is presented by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Vdev {
    name: String,
    number: u32,
}

/// A name that stands for no disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotADisk(String);

impl fmt::Display for NotADisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} names no disk; xvda, xvdb, xvdc1, sda or hda do", self.0)
    }
}

impl std::error::Error for NotADisk {}

impl Vdev {
    /// The number in xenstore.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The disk of this number.
    #[must_use]
    pub fn of_number(number: u32) -> Self {
        let letters = |prefix: &str, disk: u32, partition: u32| {
            let mut name = String::new();
            let mut left = disk + 1;
            while left > 0 {
                name.insert(0, char::from(b'a' + ((left - 1) % 26) as u8));
                left = (left - 1) / 26;
            }
            let partition = if partition > 0 { partition.to_string() } else { String::new() };
            format!("{prefix}{name}{partition}")
        };
        let low = number & 0xff;
        let name = match number >> 8 {
            _ if number & EXTENDED != 0 => letters("xvd", (number & !EXTENDED) >> 8, low),
            202 => letters("xvd", low >> 4, low & 15),
            8 => letters("sd", low >> 4, low & 15),
            3 => letters("hd", low >> 6, low & 63),
            22 => letters("hd", 2 + (low >> 6), low & 63),
            _ => number.to_string(),
        };
        Self { name, number }
    }
}

impl FromStr for Vdev {
    type Err = NotADisk;

    fn from_str(name: &str) -> Result<Self, NotADisk> {
        number(name)
            .map(|number| Self { name: name.to_owned(), number })
            .ok_or_else(|| NotADisk(name.to_owned()))
    }
}

/// `xvdb2` and its like.
fn number(name: &str) -> Option<u32> {
    let (kind, rest) = name.split_at_checked(name.find('d')? + 1)?;
    let letters = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
    let (letters, partition) = rest.split_at(letters);
    let mut disk: u32 = 0;
    for letter in letters.bytes() {
        disk = disk.checked_mul(26)?.checked_add(u32::from(letter - b'a') + 1)?;
    }
    let disk = disk.checked_sub(1)?;
    let partition = match partition {
        "" => 0,
        digits if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) => return None,
        digits => digits.parse().ok()?,
    };
    match kind {
        "xvd" if disk < 16 && partition < 16 => Some(202 << 8 | disk << 4 | partition),
        "xvd" if disk < EXTENDED_DISKS && partition < EXTENDED_PARTITIONS => {
            Some(EXTENDED | disk << 8 | partition)
        }
        "sd" if disk < 16 && partition < 16 => Some(8 << 8 | disk << 4 | partition),
        "hd" if disk < 4 && partition < 64 => {
            Some((if disk < 2 { 3 } else { 22 }) << 8 | (disk % 2) << 6 | partition)
        }
        _ => None,
    }
}

impl fmt::Display for Vdev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl From<Vdev> for String {
    fn from(vdev: Vdev) -> Self {
        vdev.name
    }
}

impl TryFrom<String> for Vdev {
    type Error = NotADisk;

    fn try_from(name: String) -> Result<Self, NotADisk> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_interface() {
        for (name, number) in [
            ("xvda", 51712),
            ("xvdb1", 51729),
            ("xvdp15", 51967),
            ("xvdq", EXTENDED | 16 << 8),
            ("xvdaa", EXTENDED | 26 << 8),
            ("xvda16", EXTENDED | 16),
            ("hda", 768),
            ("hdb", 832),
            ("hdc1", 5633),
            ("sda", 2048),
            ("sdb3", 2067),
        ] {
            let vdev: Vdev = name.parse().unwrap();
            assert_eq!((vdev.number(), Vdev::of_number(number).to_string()), (number, name.to_owned()));
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in
            ["", "xvd", "d", "xvdA", "vda", "xvda01", "xvda-1", "sdq", "hde", "hda64", "xvda1x", "xvdäa", "0"]
        {
            assert!(name.parse::<Vdev>().is_err(), "{name}");
        }
        assert!("xvdzzzzzzzzzz".parse::<Vdev>().is_err());
    }

    proptest! {
        #[test]
        fn any_word_is_answered(name in ".{0,12}") {
            let _ = name.parse::<Vdev>();
        }

        #[test]
        fn names_and_numbers_are_one_to_one(disk in 0u32..EXTENDED_DISKS, partition in 0u32..256) {
            let number = EXTENDED | disk << 8 | partition;
            prop_assume!(disk >= 16 || partition >= 16);
            prop_assert_eq!(Vdev::of_number(number).to_string().parse::<Vdev>().unwrap().number(), number);
        }
    }
}
