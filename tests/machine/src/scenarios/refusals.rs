//! CPUs that cannot run guests, or will not run a certain one: the log says why.

use std::time::Duration;

use anyhow::Result;

use super::qemu;
use crate::config::{Boot, Config, Model};
use crate::machine::Machine;
use crate::runner::{Body, Emulator, Scenario};

const SOON: Duration = Duration::from_secs(120);

/// Machines with CPUs that lack something, and one with a guest that no CPU can run.
pub fn all() -> Vec<Scenario> {
    let lacks_svm = Config::program(1, "idle").qemu(["-cpu", "EPYC,-svm"]);
    let lacks_npt = Config::program(1, "idle").qemu(["-cpu", "EPYC,-npt"]);
    let wild = Config::program(1, "hostile").option("dom0_max_vcpus=2").word("wild-vcpu");
    vec![
        qemu("no-virtualization-1cpu", lacks_svm, &[("says-so", no_virtualization)]),
        qemu("no-nested-paging-1cpu", lacks_npt, &[("says-so", no_nested_paging)]),
        qemu("no-iommu-1cpu", Config::program(1, "idle").option("iommu=force"), &[("says-so", no_iommu)]),
        bochs("bochs-intel-no-ept", Model::Penryn, Config::program(1, "idle"), &[("says-so", no_ept)]),
        bochs(
            "bochs-intel-no-ug",
            Model::Lynnfield,
            Config::program(1, "idle"),
            &[("says-so", no_unrestricted)],
        ),
        bochs("bochs-intel-wild-vcpu", Model::Haswell, wild, &[("names-the-field", wild_vcpu)]),
    ]
}

fn bochs(name: &'static str, model: Model, config: Config, cases: &[(&'static str, Body)]) -> Scenario {
    Scenario { emulator: Emulator::Bochs(model), ..qemu(name, config.boot(Boot::Bios), cases) }
}

fn says(machine: &mut Machine, reason: &str) -> Result<()> {
    machine.may_die = true;
    machine.expect(reason, SOON)?;
    Ok(())
}

fn no_virtualization(machine: &mut Machine) -> Result<()> {
    says(machine, "this CPU has neither AMD-V (CPUID 8000_0001h ecx bit 2) nor VT-x (CPUID 1 ecx bit 5)")
}

fn no_nested_paging(machine: &mut Machine) -> Result<()> {
    says(machine, "this CPU has AMD-V but no nested paging")
}

fn no_iommu(machine: &mut Machine) -> Result<()> {
    says(machine, "iommu=force asks for an IOMMU, and none is used")
}

fn no_ept(machine: &mut Machine) -> Result<()> {
    says(machine, "this CPU has VT-x but no EPT")
}

fn no_unrestricted(machine: &mut Machine) -> Result<()> {
    says(machine, "this CPU has VT-x but no unrestricted guest")
}

fn wild_vcpu(machine: &mut Machine) -> Result<()> {
    says(machine, "VM entry failed by invalid guest state: GuestCsRights = 0xc091: are no code segment's")?;
    says(machine, "domain 0 crashed")
}
