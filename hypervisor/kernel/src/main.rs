//! Tenon on bare metal: the machine layer and what runs on it.
//!
//! From below: `boot` gets here from the boot loader; [`console`], [`mm`], [`cpu`], [`acpi`], [`apic`], [`time`] drive
//! the machine; [`irq`] says who takes interrupts and when; `smp` starts the other CPUs; [`mod@panic`] and [`reset`] end
//! it all. Above that, [`start`] is what the machine is for.
#![no_std]
#![no_main]

extern crate alloc;

mod acpi;
mod apic;
mod boot;
mod console;
mod cpu;
mod debug;
mod dom0;
mod guest;
mod host;
mod iommu;
mod irq;
mod mm;
mod panic;
mod reset;
mod smp;
mod start;
mod svm;
mod time;
mod vmx;
mod watchdog;
