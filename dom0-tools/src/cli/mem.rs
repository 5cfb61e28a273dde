//! `tenon mem-set`, `mem-max`.

use std::time::Duration;

use serde_json::json;

use super::exit::{Exit, Failure};
use super::{MemMaxArgs, MemSetArgs, output};
use crate::balloon::{self, AskError, DOM0_LEAST_MIB};
use crate::builder::SLACK_KIB;
use crate::host::{Domain, Host};
use crate::lifecycle::decide::Activity;

/// The most memory that is a size at all, MiB.
const MOST_MIB: u64 = 1 << 26;

impl From<AskError> for Failure {
    fn from(e: AskError) -> Self {
        Self::refused(e)
    }
}

/// A size in MiB, from a number with or without a unit.
pub fn size(text: &str) -> Result<u64, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "m" => 1,
        "g" => 1 << 10,
        "t" => 1 << 20,
        _ => return Err("it is a number of MiB, or has m, g or t behind it".into()),
    };
    let mib = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    mib.filter(|mib| (1..=MOST_MIB).contains(mib))
        .ok_or_else(|| format!("it must be from 1 to {MOST_MIB} MiB"))
}

/// Asks a domain's kernel to have so much memory, and waits for it.
pub fn set(args: &MemSetArgs, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let domain = host.find(&args.domain)?;
    let Domain { info, name, .. } = &domain;
    if !matches!(info.activity(), Activity::Live | Activity::Unstarted) {
        return Err(Failure::refused(format!("{name} does not run: it is {}", domain.state())));
    }
    if let Some(most) = info.max_memory_mib().filter(|most| args.size > *most) {
        let message = format!("{name} may have {most} MiB at most, not {} (see `tenon mem-max`)", args.size);
        return Err(Failure::refused(message));
    }
    if info.id == 0 && args.size < DOM0_LEAST_MIB {
        let message = format!("{name} needs {DOM0_LEAST_MIB} MiB at least, not {}", args.size);
        return Err(Failure::refused(message));
    }
    let wanted = args.size << 8;
    let (more, free) = (wanted.saturating_sub(info.pages), host.xen.free_pages()?);
    if more > free {
        let short = (more - free).div_ceil(256);
        let message = format!(
            "{name} has {} MiB and the host {} MiB free, {short} MiB too few",
            info.pages >> 8,
            free >> 8
        );
        return Err(Failure::refused(message));
    }
    balloon::ask(&host.xen, info.id, wanted)?;
    let timeout = args.timeout.map(Duration::from_secs);
    let (has, is_done) =
        balloon::settle(&host.xen, info.id, timeout, |has, _| balloon::is_about(has, wanted))?;
    if !is_done {
        let why = match info.pages {
            _ if info.flags.paused => "it is paused",
            before if before == has => "its kernel does nothing",
            before if before < wanted => "its kernel takes no more",
            _ => "its kernel gives no more back",
        };
        let message = format!("{name} has {} MiB, not {}: {why}", has >> 8, args.size);
        return Err(Failure::new(Exit::Timeout, message));
    }
    if json {
        return output::json(
            &json!({ "id": info.id, "name": name, "done": "mem-set", "memory_mib": has >> 8 }),
        );
    }
    Ok(())
}

/// Changes how much memory a domain may have.
pub fn max(args: &MemMaxArgs, json: bool) -> Result<(), Failure> {
    let host = Host::open()?;
    let Domain { info, name, .. } = host.find(&args.domain)?;
    // What the guest's special pages take comes on top, as when it was created.
    let slack = if info.id == 0 { 0 } else { SLACK_KIB };
    let kib = args.size * 1024 + slack;
    if info.pages * 4 > kib {
        let message =
            format!("{name} has {} MiB, more than {} (see `tenon mem-set`)", info.pages >> 8, args.size);
        return Err(Failure::refused(message));
    }
    host.xen.max_mem(info.id, kib)?;
    if json {
        return output::json(&json!({
            "id": info.id, "name": name, "done": "mem-max", "max_memory_mib": args.size,
        }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(
            [size("64"), size("64m"), size("2G"), size("1t")],
            [Ok(64), Ok(64), Ok(2048), Ok(1 << 20)]
        );
        for text in ["", "m", "0", "-1", "1k", "1.5g", "99999999", "18446744073709551615g", "1gb"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
