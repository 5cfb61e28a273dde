//! Reads figures out of the hypervisor's log.
//!
//! `[000000055c6c2c90]` in a line of the hypervisor's is the time stamp counter in hexadecimal, with the
//! line's mark before it (`(tenon)`, and Xen's `(XEN)` and `(d1)`) or after it (Tenon's `(d1)`). What
//! follows may be `mark: NAME`, or `bench: NAME VALUE UNIT` from a test guest that measures by itself.

use std::collections::BTreeMap;

use crate::images::scenarios::{IDLE_GUESTS, IDLE_MIB};

/// Differences between two marks, by the figure's name.
const SPANS: [(&str, &str, &str); 5] = [
    ("dom0-entry-to-userspace", DOM0_ENTRY, "dom0-up"),
    ("create-256MiB", "create-begin", "create-end"),
    ("guest-entry-to-userspace", "boot-begin", "guest-up"),
    ("attach-disk", "disk-begin", "disk-usable"),
    ("attach-card", "card-begin", "card-usable"),
];

/// Made here: the last line of the hypervisor before domain 0's kernel says anything.
const DOM0_ENTRY: &str = "dom0-entry";

/// The memory of the machine and of domain 0.
const MACHINE_KIB: u64 = 4096 << 10;
const DOM0_KIB: u64 = 1024 << 10;

/// The first words of a Linux kernel.
const KERNEL_SPEAKS: &str = "Linux version";

/// One line per figure, `name value unit`.
pub fn figures(console: &str) -> Vec<String> {
    let mut figures = Vec::new();
    let mut marks: BTreeMap<&str, u64> = BTreeMap::new();
    let mut before_dom0 = None;
    for line in console.lines() {
        if line.contains(KERNEL_SPEAKS)
            && let Some(entry) = before_dom0.take()
        {
            marks.entry(DOM0_ENTRY).or_insert(entry);
        }
        let Some((time, text)) = stamped(line) else { continue };
        if !marks.contains_key(DOM0_ENTRY) {
            before_dom0 = Some(time);
        }
        if let Some(name) = text.strip_prefix("mark: ") {
            marks.entry(name.trim()).or_insert(time);
        } else if let Some(figure) = text.strip_prefix("bench: ") {
            figures.push(figure.trim().to_owned());
        }
    }
    figures.extend(memory(console));
    for (name, from, to) in SPANS {
        if let (Some(from), Some(to)) = (marks.get(from), marks.get(to)) {
            figures.push(format!("{name} {} instructions", to.saturating_sub(*from)));
        }
    }
    figures
}

/// What the samples `sample: NAME KIB` tell of memory.
fn memory(console: &str) -> Vec<String> {
    let sample = |name: &str| {
        let wanted = format!("sample: {name} ");
        // The command itself is in the log, too, with something else than a number.
        console.lines().find_map(|line| line.strip_prefix(&wanted)?.trim().parse::<u64>().ok())
    };
    let (Some(before), Some(after)) = (sample("free-before"), sample("free-after")) else {
        return Vec::new();
    };
    let own = (MACHINE_KIB - DOM0_KIB).saturating_sub(before);
    let guests = before.saturating_sub(after).saturating_sub(IDLE_GUESTS * IDLE_MIB * 1024);
    vec![format!("hypervisor-memory {own} KiB"), format!("idle-guest-memory {} KiB", guests / IDLE_GUESTS)]
}

/// The time stamp and the text of a line of the log. The log's line may follow half a line of domain 0,
/// and domain 0 has times in brackets of its own: only sixteen hexadecimal digits count.
fn stamped(line: &str) -> Option<(u64, &str)> {
    line.match_indices('[').find_map(|(at, _)| {
        let (digits, text) = line[at + 1..].split_once("] ")?;
        let time = Some(digits).filter(|digits| digits.len() == 16)?;
        let time = u64::from_str_radix(time, 16).ok()?;
        Some((
            time,
            text.strip_prefix("(d").and_then(|text| text.split_once(") ")).map_or(text, |(_, text)| text),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::figures;

    #[test]
    fn marks_become_spans_and_figures_pass_through() {
        let log = "(tenon) [0000000000000010] starting domain 0\n\
                   [    0.000000] Linux version 6.1.0\n\
                   half a line(d0) [0000000000000110] mark: dom0-up\n\
                   [0000000000000200] (d2) bench: cpuid 512 instructions\n\
                   (d0) [0000000000000300] mark: create-begin\n";
        assert_eq!(figures(log), ["cpuid 512 instructions", "dom0-entry-to-userspace 256 instructions"]);
    }
}
