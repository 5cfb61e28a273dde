//! `cargo xtask bench --exits`: how often domain 0 and a guest leave to the hypervisor while the guest is created and comes
//! up, kind by kind, on AMD-V (QEMU) and on VT-x (Bochs).
//!
//! Bochs's CPU is slower by its own clock, so that more ticks pass: what AMD-V took counts as if it had taken as long.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use machine_tests::{Boot, Config, Machine, Model};
use serde_json::Value;

use crate::kernels::Series;
use crate::kit::{Kit, Wanted};
use crate::packages::Need;
use crate::step;
use crate::workspace::Workspace;

/// The longest that the scenario may take.
const PATIENCE: Duration = Duration::from_secs(900);
/// VT-x may take so many more of a kind, as a share of AMD-V's and in exits: interrupts do not come at the same moments.
const TOLERANCE: (f64, f64) = (0.05, 100.0);
/// The kind of which kernels and C libraries decide by the CPU's vendor how many they take: Intel's describe their caches in
/// more leaves.
const BY_VENDOR: &str = "-cpuid";

/// An instruction of QEMU's takes 8 ns then; one of Bochs's takes 10.
const SHIFT: u8 = 3;

/// What was counted on a machine.
#[derive(Debug)]
struct Counts {
    /// Exits by domain and kind.
    exits: BTreeMap<String, u64>,
    /// Domain 0's uptime then, seconds.
    uptime: f64,
}

pub fn bench(ws: Workspace, show: bool) -> Result<()> {
    let wanted = Wanted {
        needs: &[Need::Images, Need::Bochs, Need::Qemu],
        dom0: &[Series::V6_1],
        guests: &[Series::V6_1],
        ..Wanted::default()
    };
    let kit = Kit::assemble(ws, &wanted)?;
    step::say("counting under Bochs, on both; that takes some minutes");
    let (amd, intel) = thread::scope(|scope| {
        let amd = scope.spawn(|| count(&kit, "bench-exits-amd", None, false));
        let intel = count(&kit, "bench-exits-intel", Some(Model::Haswell), show);
        (amd.join(), intel)
    });
    let amd = amd.ok().context("the thread of the other machine has panicked")??;
    let intel = intel?;
    let slower = intel.uptime / amd.uptime;
    println!("uptime {:.2} s, AMD-V {:.2} s", intel.uptime, amd.uptime);
    let mut beyond = Vec::new();
    for (name, amd) in &amd.exits {
        let intel = intel.exits.get(name).copied().unwrap_or_default();
        println!("exits-{name} {intel} exits, AMD-V {amd}");
        let (share, few) = TOLERANCE;
        if !name.ends_with(BY_VENDOR) && intel as f64 > *amd as f64 * slower * (1.0 + share) + few {
            beyond.push(name.as_str());
        }
    }
    ensure!(beyond.is_empty(), "VT-x takes more exits of these kinds: {}", beyond.join(", "));
    Ok(())
}

fn count(kit: &Kit, name: &str, model: Option<Model>, show: bool) -> Result<Counts> {
    let mut config = Config::new(1).boot(Boot::Bios).memory_mib(2048).word("tenon.run=exits");
    config.agent = false;
    config.show = show;
    let mut machine = match model {
        Some(model) => Machine::start_bochs(kit, name, config, model)?,
        None => Machine::start(kit, name, Config { icount: Some(SHIFT), ..config })?,
    };
    let said = machine.expect("dom0: scenario exits ", PATIENCE).with_context(|| machine.last_words())?;
    ensure!(said.line.contains("passed"), "{}\n{}", said.line, machine.last_words());
    counts(&said.before).with_context(|| format!("{name}: {}", said.before))
}

/// Reads them from what `tenon top --json` and the scenario have written into the console's log.
fn counts(console: &str) -> Result<Counts> {
    let start = console.find("\n{").context("no JSON")?;
    // What follows is no JSON.
    let mut values = serde_json::Deserializer::from_str(&console[start..]).into_iter::<Value>();
    let top = values.next().context("no JSON")??;
    let mut exits = BTreeMap::new();
    for domain in top["domains"].as_array().context("no domains")? {
        let name = if domain["id"] == 0 { "domain-0" } else { "guest" };
        for (kind, count) in domain["exits"].as_object().context("no exits")? {
            exits.insert(format!("{name}-{kind}"), count["count"].as_u64().context("no count")?);
        }
    }
    let uptime = console.lines().find_map(|line| line.strip_prefix("uptime: ")).context("no uptime")?;
    Ok(Counts { exits, uptime: uptime.trim().parse()? })
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn counts_are_read_from_a_console() {
        let exits = "{\"cpuid\":{\"count\":7,\"per_second\":0.5}}";
        let console = format!(
            "dom0: $ tenon top\n{{\"interval_seconds\":1.0,\"domains\":[{{\"id\":0,\"exits\":{exits}}},\
             {{\"id\":1,\"exits\":{exits}}}]}}\ndom0: $ echo uptime: $(x)\nuptime: 12.34\nmore"
        );
        let counts = counts(&console).unwrap();
        assert_eq!(
            (counts.exits["domain-0-cpuid"], counts.exits["guest-cpuid"], counts.uptime),
            (7, 7, 12.34)
        );
        assert!(super::counts("nothing").is_err());
    }
}
