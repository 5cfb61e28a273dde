//! Devices behind an IOMMU: they work, and reach nothing that is not domain 0's.

use anyhow::Result;

use super::{boot, devices, edu, guests, qemu, with_devices};
use crate::config::{Config, Iommu};
use crate::machine::Machine;
use crate::runner::{Body, Scenario};

/// Domain 0 with disks and cards behind each kind, and small guests in its place that change their memory and map grants.
pub fn all() -> Vec<Scenario> {
    // A unit of four levels that also remembers what was absent.
    let deep = ["-device", "intel-iommu,intremap=off,caching-mode=on,aw-bits=48"];
    let small = |name, program, unit: [&str; 2]| {
        let config = Config::program(1, program).option("iommu=force").qemu(unit);
        qemu(name, config, &[("passes", guests::passes)])
    };
    vec![
        linux("vtd-6.1-2cpus", Iommu::Intel, edu::is_blocked_by_vtd),
        linux("amdvi-6.1-2cpus", Iommu::Amd, edu::is_blocked_by_amd_vi),
        small("vtd-guest-grants", "grants", deep),
        small("vtd-guest-memory", "memory", deep),
        small("amdvi-guest-grants", "grants", ["-device", "amd-iommu"]),
    ]
}

fn linux(name: &'static str, iommu: Iommu, blocked: Body) -> Scenario {
    let config = with_devices(Config::new(2).iommu(iommu).option("iommu=force,verbose"));
    qemu(
        name,
        edu::with_edu(config),
        &[
            ("boot", boot::up),
            ("confined", confined),
            ("disks", devices::disks),
            ("networks", devices::networks),
            ("edu-blocked", blocked),
            ("power-off", boot::power_off),
        ],
    )
}

/// Tenon says that the devices are confined, and the kernel needs no bounce buffers for others' pages.
fn confined(machine: &mut Machine) -> Result<()> {
    machine.ok("tenon dmesg | grep -q 'IOMMU at .*: confines'")?;
    machine.ok("! tenon dmesg | grep -q 'no IOMMU is used'")?;
    machine.ok("! grep -q swiotlb= /proc/cmdline")?;
    Ok(())
}
