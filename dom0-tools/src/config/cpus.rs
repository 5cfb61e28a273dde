//! Which CPUs: as administrators write it, in xl's syntax, and what it comes to on a machine.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `0-3,^2`, `all`, `nodes:0,^0`: what is taken in and, after `^`, out again, from left to right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CpuList(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    takes_out: bool,
    cpus: Cpus,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cpus {
    /// Also those of node 0: there is no other.
    All,
    These(RangeInclusive<u32>),
}

/// CPUs of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CpuSet(BTreeSet<u32>);

/// What is wrong with a list of CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CpuListError {
    /// It is none.
    Syntax(String),
    /// A range that ends before it begins.
    Backwards(RangeInclusive<u32>),
    /// `^all`.
    AllOut,
    /// A NUMA node other than the one.
    NoSuchNode,
    /// It names a CPU that runs no guests, or is not there.
    NoSuchCpu {
        /// The CPU.
        cpu: u32,
        /// Those that run guests.
        machine: CpuSet,
    },
    /// It names no CPU.
    Nothing(CpuList),
}

impl fmt::Display for CpuListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(part) => {
                write!(f, "{part:?} is no CPU, no range of CPUs like 0-3, and not \"all\"; ^ excludes")
            }
            Self::Backwards(range) => write!(f, "{}-{} is no range", range.start(), range.end()),
            Self::AllOut => write!(f, "\"^all\" would leave no CPU"),
            Self::NoSuchNode => write!(f, "node 0 is the only one"),
            Self::NoSuchCpu { cpu, machine } => {
                write!(f, "CPU {cpu} does not run guests here; these do: {machine}")
            }
            Self::Nothing(list) => write!(f, "\"{list}\" leaves no CPU"),
        }
    }
}

impl std::error::Error for CpuListError {}

impl CpuList {
    /// One CPU.
    #[must_use]
    pub fn one(cpu: u32) -> Self {
        Self(vec![Term { takes_out: false, cpus: Cpus::These(cpu..=cpu) }])
    }

    /// The CPUs that this means on a machine where those of `machine` run guests: at least one.
    ///
    /// # Errors
    /// It names others, or none.
    pub fn on(&self, machine: &CpuSet) -> Result<CpuSet, CpuListError> {
        let mut set = BTreeSet::new();
        for Term { takes_out, cpus } in &self.0 {
            let range = match cpus {
                Cpus::All => 0..=u32::MAX,
                Cpus::These(range) => range.clone(),
            };
            if *takes_out {
                set.retain(|cpu| !range.contains(cpu));
                continue;
            }
            if let Cpus::These(range) = cpus
                && let Some(cpu) = range.clone().find(|cpu| !machine.0.contains(cpu))
            {
                return Err(CpuListError::NoSuchCpu { cpu, machine: machine.clone() });
            }
            set.extend(machine.0.range(range));
        }
        if set.is_empty() { Err(CpuListError::Nothing(self.clone())) } else { Ok(CpuSet(set)) }
    }
}

impl FromStr for CpuList {
    type Err = CpuListError;

    fn from_str(text: &str) -> Result<Self, CpuListError> {
        // An item that is empty says nothing, as for xl, but there must be one that is not.
        let items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
        if items.is_empty() {
            return Err(CpuListError::Syntax(text.to_owned()));
        }
        items.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Term {
    type Err = CpuListError;

    fn from_str(text: &str) -> Result<Self, CpuListError> {
        let syntax = || CpuListError::Syntax(text.to_owned());
        let (takes_out, rest) = text.strip_prefix('^').map_or((false, text), |rest| (true, rest));
        let node = rest.strip_prefix("nodes:").or_else(|| rest.strip_prefix("node:"));
        let rest = node.unwrap_or(rest);
        if rest == "all" && takes_out {
            return Err(CpuListError::AllOut);
        }
        if rest == "all" {
            return Ok(Self { takes_out, cpus: Cpus::All });
        }
        let (first, last) = rest.split_once('-').unwrap_or((rest, rest));
        let number = |digits: &str| digits.trim().parse::<u32>().map_err(|_| syntax());
        let range = number(first)?..=number(last)?;
        match node {
            _ if range.is_empty() => Err(CpuListError::Backwards(range)),
            None => Ok(Self { takes_out, cpus: Cpus::These(range) }),
            Some(_) if range == (0..=0) => Ok(Self { takes_out, cpus: Cpus::All }),
            Some(_) => Err(CpuListError::NoSuchNode),
        }
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Term { takes_out, cpus }) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            f.write_str(if *takes_out { "^" } else { "" })?;
            match cpus {
                // `^all` is what nobody may write.
                Cpus::All => f.write_str(if *takes_out { "nodes:0" } else { "all" })?,
                Cpus::These(range) => write_range(f, *range.start(), *range.end())?,
            }
        }
        Ok(())
    }
}

impl From<CpuList> for String {
    fn from(list: CpuList) -> Self {
        list.to_string()
    }
}

impl TryFrom<String> for CpuList {
    type Error = CpuListError;

    fn try_from(text: String) -> Result<Self, CpuListError> {
        text.parse()
    }
}

impl CpuSet {
    /// The CPUs whose bits are set in a bitmap of Xen's interface.
    #[must_use]
    pub fn from_bitmap(bytes: &[u8]) -> Self {
        let bits = (0..).zip(bytes).flat_map(|(i, byte)| {
            (0..8_u32).filter(move |bit| byte >> bit & 1 != 0).map(move |bit| i * 8 + bit)
        });
        Self(bits.collect())
    }

    /// The counterpart: a bitmap of as many bytes as `bytes` has; CPUs beyond are left out.
    pub fn to_bitmap(&self, bytes: &mut [u8]) {
        bytes.fill(0);
        for cpu in &self.0 {
            if let Some(byte) = bytes.get_mut(*cpu as usize / 8) {
                *byte |= 1 << (cpu % 8);
            }
        }
    }

    /// Its CPUs, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(&self.0 & &other.0)
    }
}

/// As ranges, which [`CpuList`] understands; `-` for none.
impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.iter().copied().peekable();
        if rest.peek().is_none() {
            return f.write_str("-");
        }
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if(|next| *next == last + 1) {
                last = next;
            }
            write_range(f, first, last)?;
            f.write_str(if rest.peek().is_some() { "," } else { "" })?;
        }
        Ok(())
    }
}

fn write_range(f: &mut fmt::Formatter<'_>, first: u32, last: u32) -> fmt::Result {
    if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn on_four(list: &str) -> Result<String, String> {
        let machine = CpuSet::from_bitmap(&[0xf]);
        let list: CpuList = list.parse().map_err(|e: CpuListError| e.to_string())?;
        assert_eq!(list.to_string().parse(), Ok(list.clone()), "what is written is read");
        list.on(&machine).map(|set| set.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn lists_mean_what_they_mean_to_xl() {
        for (list, set) in [
            ("all", "0-3"),
            ("2", "2"),
            ("0-3,^2", "0-1,3"),
            ("all,^1-2", "0,3"),
            (" 0, 2 - 3 ", "0,2-3"),
            ("^2,1-2", "1-2"),
            ("all,^0-99", ""),
            ("node:0,^3", "0-2"),
            ("1,^nodes:0,3", "3"),
            ("1,,2,", "1-2"),
        ] {
            if set.is_empty() {
                assert_eq!(on_four(list), Err("\"all,^0-99\" leaves no CPU".into()));
            } else {
                assert_eq!(on_four(list).as_deref(), Ok(set), "{list}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (list, error) in [
            ("", "\"\" is no CPU, no range of CPUs like 0-3, and not \"all\"; ^ excludes"),
            (" ,", "\" ,\" is no CPU, no range of CPUs like 0-3, and not \"all\"; ^ excludes"),
            ("0-x", "\"0-x\" is no CPU, no range of CPUs like 0-3, and not \"all\"; ^ excludes"),
            ("3-1", "3-1 is no range"),
            ("0-3,^all", "\"^all\" would leave no CPU"),
            ("nodes:1", "node 0 is the only one"),
            ("2-4294967295", "CPU 4 does not run guests here; these do: 0-3"),
            ("1,^1", "\"1,^1\" leaves no CPU"),
        ] {
            assert_eq!(on_four(list), Err(error.into()), "{list}");
        }
    }

    proptest! {
        #[test]
        fn sets_survive_bitmaps_and_text(bytes in any::<[u8; 9]>()) {
            let set = CpuSet::from_bitmap(&bytes);
            let mut again = [0xaa; 9];
            set.to_bitmap(&mut again);
            prop_assert_eq!(again, bytes);
            if bytes != [0; 9] {
                let list: CpuList = set.to_string().parse().unwrap();
                prop_assert_eq!(list.on(&set), Ok(set));
            }
        }
    }
}
