//! What the CPUs can do. Read once on the boot CPU; the others are taken to be the same.

use raw_cpuid::CpuId;
use spin::Once;

/// Features that the machine layer uses, and what the virtualization backends ask first.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Pages can be made non-executable.
    pub nx: bool,
    /// 1 GiB pages.
    pub gib_pages: bool,
    /// Supervisor-mode execution prevention.
    pub smep: bool,
    /// Supervisor-mode access prevention.
    pub smap: bool,
    /// User-mode instruction prevention.
    pub umip: bool,
    /// Page attribute table.
    pub pat: bool,
    /// The local APIC can be driven by MSRs.
    pub x2apic: bool,
    /// The local APIC timer takes TSC values.
    pub tsc_deadline: bool,
    /// XSAVE and XCR0.
    pub xsave: bool,
    /// AMD-V.
    pub svm: bool,
    /// VT-x.
    pub vmx: bool,
    /// Physical address bits.
    pub phys_bits: u8,
    /// This is QEMU's emulation, which forgets interrupts that arrive during a VM exit.
    pub forgets_interrupts: bool,
}

static FEATURES: Once<Features> = Once::new();

/// The features.
pub fn features() -> &'static Features {
    FEATURES.call_once(detect)
}

fn detect() -> Features {
    let cpuid = CpuId::new();
    let basic = cpuid.get_feature_info();
    let basic = |f: fn(&raw_cpuid::FeatureInfo) -> bool| basic.as_ref().is_some_and(f);
    let extended = cpuid.get_extended_feature_info();
    let extended = |f: fn(&raw_cpuid::ExtendedFeatures) -> bool| extended.as_ref().is_some_and(f);
    let amd = cpuid.get_extended_processor_and_feature_identifiers();
    let amd = |f: fn(&raw_cpuid::ExtendedProcessorFeatureIdentifiers) -> bool| amd.as_ref().is_some_and(f);
    Features {
        nx: amd(|f| f.has_execute_disable()),
        gib_pages: amd(|f| f.has_1gib_pages()),
        smep: extended(|f| f.has_smep()),
        smap: extended(|f| f.has_smap()),
        umip: extended(|f| f.has_umip()),
        pat: basic(|f| f.has_pat()),
        x2apic: basic(|f| f.has_x2apic()),
        tsc_deadline: basic(|f| f.has_tsc_deadline()),
        xsave: basic(|f| f.has_xsave()),
        svm: amd(|f| f.has_svm()),
        vmx: basic(|f| f.has_vmx()),
        phys_bits: cpuid.get_processor_capacity_feature_info().map_or(36, |f| f.physical_address_bits()),
        forgets_interrupts: is_tcg(),
    }
}

/// Whether the CPU calls itself QEMU's Tiny Code Generator.
fn is_tcg() -> bool {
    const SIGNATURE: u32 = 0x4000_0000;
    let is_virtual = CpuId::new().get_feature_info().is_some_and(|f| f.has_hypervisor());
    let [_, first, second, third] = super::cpuid(SIGNATURE, 0);
    is_virtual && [first, second, third].map(u32::to_le_bytes) == [*b"TCGT", *b"CGTC", *b"GTCG"]
}
