//! The table: which tests run on which machine.

mod abuse;
mod blocks;
mod boot;
mod bystander;
mod daemons;
mod debian;
mod devices;
mod edu;
mod guests;
mod iommu;
mod kept_disks;
mod lifecycle;
mod many;
mod memory;
mod nics;
mod outputs;
mod panic;
mod pci;
mod policies;
mod pools;
mod refusals;
mod shares;
mod small;
mod stock;
mod tools;
mod top;
mod trace;
mod vcpus;
mod wide;

use crate::config::{Boot, Config, Disk, Model};
use crate::runner::{Body, Case, Emulator, Scenario};

/// Every machine and its tests.
pub fn all() -> Vec<Scenario> {
    let mut all = guests::all();
    all.extend(panic::all());
    all.extend(refusals::all());
    all.extend(outputs::all());
    all.push(shares::machine());
    all.extend(policies::all());
    all.extend(wide::all());
    all.extend(iommu::all());
    all.extend([
        // Kernel 6.1 by BIOS on one CPU: the whole life of a guest, and everything that may go wrong.
        qemu(
            "bios-6.1-1cpu",
            Config::new(1).boot(Boot::Bios),
            &[
                ("boot", boot::up),
                ("dmesg", tools::dmesg),
                ("exit-statuses", tools::exit_statuses),
                ("lifecycle", lifecycle::whole_life),
                ("actions", lifecycle::actions),
                ("toml", lifecycle::toml),
                ("console", tools::console),
                ("crash", lifecycle::crash),
                ("bad-input", abuse::bad_input),
                ("power-off", boot::power_off),
            ],
        ),
        qemu(
            "direct-6.12-1cpu",
            Config::new(1).kernel("6.12"),
            &[
                ("boot", boot::up),
                ("guest-6.12-1vcpu", lifecycle::guest_6_12),
                ("power-off", boot::power_off),
            ],
        ),
        qemu(
            "uefi-6.12-4cpus",
            Config::new(4).boot(Boot::Uefi).kernel("6.12"),
            &[
                ("boot", boot::up),
                ("guest-6.12-4vcpus", lifecycle::guest_6_12_smp),
                ("guest-686-pae", lifecycle::guest_pae),
                ("reset", boot::reset),
            ],
        ),
        // Fewer vCPUs than CPUs: interrupts have to find the vCPU wherever it runs.
        qemu(
            "devices-6.1-4cpus",
            edu::with_edu(pci::with_large_memory(with_devices(
                Config::new(4).option("dom0_max_vcpus=2").stock_tools(),
            ))),
            &[
                ("boot", boot::up_with_two_vcpus),
                ("configuration", pci::configuration),
                ("disks", devices::disks),
                ("networks", devices::networks),
                ("messages", pci::messages_are_used),
                ("interrupts-move", pci::interrupts_move),
                ("vcpus-move", pci::vcpus_move),
                ("power-button", devices::power_button),
                ("clock", devices::clock),
                ("edu-unconfined", edu::reaches_everything),
                ("power-off", boot::power_off),
            ],
        ),
        qemu(
            "intx-6.1-4cpus",
            pci::with_shared_lines(Config::new(4).option("dom0_max_vcpus=2")),
            &[
                ("boot", boot::up_with_two_vcpus),
                ("lines-shared", pci::lines_are_shared),
                ("disks", devices::disks),
                ("networks", devices::networks),
                ("reset", boot::reset),
            ],
        ),
        qemu(
            "tools-6.1-4cpus",
            Config::new(4).stock_tools(),
            &[
                ("boot", boot::up),
                ("stock-tools", stock::print_the_truth),
                ("top", top::top),
                ("guest-grows", stock::a_guest_grows),
                ("vcpus", vcpus::controlled),
                ("pools", pools::pools),
                ("cpus-off-and-on", pools::cpus_off_and_on),
                ("trace", trace::a_second),
                ("trace-ended-by-signals", trace::ended_by_signals),
                ("stock-tracer", trace::stock_tracer),
                ("daemons-killed", daemons::killed_while_guests_start),
                ("rounds", lifecycle::rounds_without_a_leak),
                ("linux-rounds", lifecycle::linux_rounds),
                ("power-off", boot::power_off),
            ],
        ),
        // Guests with disks and network cards.
        qemu(
            "io-6.1-2cpus",
            nics::with_card(Config::new(2)),
            &[
                ("boot", boot::up),
                ("disks", blocks::disks),
                ("disks-and-the-daemon", kept_disks::survive_the_daemon),
                ("disks-and-guests", kept_disks::survive_the_guest),
                ("networks", nics::networks),
                ("power-off", boot::power_off),
            ],
        ),
        qemu(
            "small-guests-2cpus",
            // Nobody hangs, even on a host that is busy with something else.
            Config::new(2).option("watchdog_timeout=30"),
            &[
                ("boot", boot::up),
                ("all", small::all_pass),
                ("crowd", small::crowd),
                ("hostile", small::hostile),
                ("floods", small::floods),
                ("power-off", boot::power_off),
            ],
        ),
        qemu(
            "memory-6.1-2cpus",
            Config::new(2).memory_mib(1536),
            &[
                ("boot", boot::up),
                ("sizes", memory::sizes),
                ("room", memory::room_is_made),
                ("holders", memory::holders_are_named),
                ("power-off", boot::power_off),
            ],
        ),
        Scenario {
            long: true,
            ..qemu("soak-6.1-2cpus", Config::new(2), &[("rounds", lifecycle::linux_soak)])
        },
        Scenario {
            long: true,
            ..qemu(
                "many-6.1-2cpus",
                Config::new(2).memory_mib(12288),
                &[("boot", boot::up), ("hundred", many::hundred), ("power-off", boot::power_off)],
            )
        },
        // A Debian with everything, on a disk.
        Scenario {
            long: true,
            ..qemu(
                "debian-6.1-1cpu",
                Config { debian: true, ..Config::new(1) },
                &[
                    ("boot", boot::up),
                    ("own-disk", debian::boots_from_its_own_disk),
                    ("power-off", boot::power_off),
                ],
            )
        },
        // AMD-V as other people understand it, and VT-x.
        bochs("bochs-6.1-1cpu", Model::Ryzen),
        bochs("bochs-intel-6.1-1cpu", Model::Haswell),
    ]);
    all
}

fn with_devices(config: Config) -> Config {
    let network = format!("virtio-net-pci,netdev=net0,{},romfile=", config.virtio());
    config.disk(Disk::VirtioBlk).disk(Disk::Ahci).disk(Disk::Nvme).qemu([
        "-netdev",
        "user,id=net0",
        "-device",
        &network,
        "-netdev",
        "user,id=net1,net=10.0.3.0/24",
        "-device",
        "e1000e,netdev=net1,romfile=",
    ])
}

fn qemu(name: &'static str, config: Config, cases: &[(&'static str, Body)]) -> Scenario {
    let cases = cases.iter().map(|(name, body)| Case { name, body: *body }).collect();
    Scenario { name, emulator: Emulator::Qemu, config, cases, long: false }
}

/// Bochs has one CPU, a slow one, and no agent: domain 0 does a scenario of its own.
fn bochs(name: &'static str, model: Model) -> Scenario {
    let mut config = Config::new(1).boot(Boot::Bios).memory_mib(2048).word("tenon.run=create");
    config.agent = false;
    let cases: &[(&str, Body)] = &[("guest", boot::guest_by_scenario)];
    Scenario { emulator: Emulator::Bochs(model), long: true, ..qemu(name, config, cases) }
}
