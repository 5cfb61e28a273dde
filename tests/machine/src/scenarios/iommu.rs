//! Devices behind an IOMMU: they work, and reach nothing that is not domain 0's.

use anyhow::Result;

use super::{boot, devices, edu, qemu, with_devices};
use crate::config::{Config, Iommu};
use crate::machine::Machine;
use crate::runner::Scenario;

/// A domain 0 whose disks and cards are behind an IOMMU.
pub fn machine(name: &'static str, iommu: Iommu) -> Scenario {
    let config = with_devices(Config::new(2).iommu(iommu).option("iommu=force,verbose"));
    let blocked = match iommu {
        Iommu::Intel => edu::is_blocked_by_vtd,
        Iommu::Amd => edu::is_blocked_by_amd_vi,
    };
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
