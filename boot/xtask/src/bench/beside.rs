//! Tenon's figures beside those of Xen, from one run: what was promised of their ratios is checked.

use std::fmt;

use anyhow::{Context, Result, ensure};

/// One measured thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    pub name: String,
    pub value: u64,
    pub unit: String,
}

impl Figure {
    /// Takes `NAME VALUE UNIT` apart.
    pub fn parse(line: &str) -> Result<Self> {
        let mut words = line.split_whitespace();
        let mut word =
            || words.next().with_context(|| format!("a figure is a name, a value and a unit: {line:?}"));
        let (name, value, unit) = (word()?.to_owned(), word()?, word()?.to_owned());
        Ok(Self { name, value: value.parse().with_context(|| format!("no number: {line:?}"))?, unit })
    }

    /// Percent of Xen's figure that Tenon's may have. Packets are no cost: they only tell how a stream was cut.
    fn bound(&self) -> Option<u64> {
        match self.unit.as_str() {
            "packets" => None,
            _ if self.name.starts_with("attach-") => Some(50),
            _ if self.name.starts_with("disk-") || self.name.starts_with("net-") => Some(75),
            _ => Some(100),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.value, self.unit)
    }
}

/// One line `name value unit xen RATIO %` per figure that both have.
///
/// # Errors
///
/// Figures that are beyond their bounds, all of them, or nothing to compare.
pub fn compare(tenon: &[Figure], xen: &[Figure]) -> (Vec<String>, Result<()>) {
    let mut lines = Vec::new();
    let mut beyond = Vec::new();
    for figure in tenon {
        let Some(other) = xen.iter().find(|other| other.name == figure.name) else { continue };
        let percent = (figure.value * 100).checked_div(other.value);
        let shown = percent.map_or("-".to_owned(), |percent| percent.to_string());
        lines.push(format!("{figure}, Xen {}, {shown} %", other.value));
        if let Some(bound) = figure.bound()
            && figure.value * 100 > bound * other.value
        {
            beyond.push(format!("{} may take {bound} % of what it takes under Xen", figure.name));
        }
    }
    let verdict = (|| {
        ensure!(!lines.is_empty(), "no figure was measured on both");
        ensure!(beyond.is_empty(), "{}", beyond.join("; "));
        Ok(())
    })();
    (lines, verdict)
}

#[cfg(test)]
mod tests {
    use super::{Figure, compare};

    fn figures(lines: &[&str]) -> Vec<Figure> {
        lines.iter().map(|line| Figure::parse(line).unwrap()).collect()
    }

    #[test]
    fn what_both_have_is_compared() {
        let tenon = figures(&["disk-read-4KiB 30 instructions/request", "own-memory 5 KiB"]);
        let xen = figures(&["disk-read-4KiB 40 instructions/request", "other 5 KiB"]);
        let (lines, verdict) = compare(&tenon, &xen);
        assert_eq!(lines, ["disk-read-4KiB 30 instructions/request, Xen 40, 75 %"]);
        verdict.unwrap();
    }

    #[test]
    fn bounds_are_kept() {
        let tenon = figures(&[
            "attach-disk 51 instructions",
            "disk-x 76 i",
            "cpuid 101 i",
            "net-packets 900 packets",
        ]);
        let xen = figures(&[
            "attach-disk 100 instructions",
            "disk-x 100 i",
            "cpuid 100 i",
            "net-packets 1 packets",
        ]);
        let refusal = compare(&tenon, &xen).1.unwrap_err().to_string();
        for name in ["attach-disk may take 50 %", "disk-x may take 75 %", "cpuid may take 100 %"] {
            assert!(refusal.contains(name), "{refusal}");
        }
        assert!(!refusal.contains("packets"), "{refusal}");
    }

    #[test]
    fn nothing_in_common_is_no_success() {
        assert!(compare(&figures(&["a 1 x"]), &figures(&["b 1 x"])).1.is_err());
        assert!(Figure::parse("name many instructions").is_err());
        assert!(Figure::parse("name 5").is_err());
    }
}
