//! The keys of a guest file: those that are acted on, and those of xl.cfg that are refused by name.

/// A key that means something to Tenon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The guest's name.
    Name,
    /// The kind of guest; only "pvh".
    Type,
    /// xl's old spelling of `type`.
    Builder,
    /// xl's switch for PVH beside `builder`.
    Pvh,
    /// The kernel image.
    Kernel,
    /// The initial RAM disk.
    Ramdisk,
    /// The whole kernel command line.
    Cmdline,
    /// The `root=` part of the command line, where there is no `cmdline`.
    Root,
    /// The rest of the command line, where there is no `cmdline`.
    Extra,
    /// Memory at start, MiB.
    Memory,
    /// Memory that the guest may balloon up to, MiB.
    Maxmem,
    /// vCPUs online at start.
    Vcpus,
    /// vCPUs that may come online.
    Maxvcpus,
    /// The CPUs that the vCPUs run on.
    Cpus,
    /// The share of CPU time.
    CpuWeight,
    /// The most CPU time, percent of one CPU.
    Cap,
    /// The CPU pool.
    Pool,
    /// Disks.
    Disk,
    /// Network cards.
    Vif,
    /// The domain handle.
    Uuid,
    /// What follows a power off.
    OnPoweroff,
    /// What follows a reboot.
    OnReboot,
    /// What follows a crash.
    OnCrash,
    /// What follows a watchdog that ran out.
    OnWatchdog,
    /// Frames of the grant table.
    MaxGrantFrames,
    /// Frames of the maptrack table.
    MaxMaptrackFrames,
    /// Event channels.
    EventChannels,
}

/// Every key that is acted on, by name.
pub const KEYS: &[(&str, Key)] = &[
    ("name", Key::Name),
    ("type", Key::Type),
    ("builder", Key::Builder),
    ("pvh", Key::Pvh),
    ("kernel", Key::Kernel),
    ("ramdisk", Key::Ramdisk),
    ("cmdline", Key::Cmdline),
    ("root", Key::Root),
    ("extra", Key::Extra),
    ("memory", Key::Memory),
    ("maxmem", Key::Maxmem),
    ("vcpus", Key::Vcpus),
    ("maxvcpus", Key::Maxvcpus),
    ("cpus", Key::Cpus),
    ("cpu_weight", Key::CpuWeight),
    ("cap", Key::Cap),
    ("pool", Key::Pool),
    ("disk", Key::Disk),
    ("vif", Key::Vif),
    ("uuid", Key::Uuid),
    ("on_poweroff", Key::OnPoweroff),
    ("on_reboot", Key::OnReboot),
    ("on_crash", Key::OnCrash),
    ("on_watchdog", Key::OnWatchdog),
    ("max_grant_frames", Key::MaxGrantFrames),
    ("max_maptrack_frames", Key::MaxMaptrackFrames),
    ("event_channels", Key::EventChannels),
];

/// The keys of xl.cfg(5) that ask for something Tenon does not do, between spaces.
const LATER: &str = "
    acpi acpi_firmware acpi_laptop_slate acpi_s3 acpi_s4 altp2m apic arm_sve bios bios_path_override
    blkdev_start boot bootloader bootloader_args bootloader_restrict bootloader_user channel cpuid
    cpus_soft device_model_args device_model_args_hvm device_model_args_pv device_model_override
    device_model_stubdomain_override device_model_stubdomain_seclabel device_model_user device_model_version
    device_tree dm_restrict driver_domain dtdev e820_host firmware firmware_override gfx_passthru
    gic_version hap hdtype hpet init_seclabel ioemu_seclabel iomem ioports irqs keymap localtime
    max_grant_version mca_caps mmio_hole msr_relaxed ms_vm_genid nested_hvm nestedhvm nographic nomigrate nx
    on_soft_reset on_xend_start on_xend_stop opengl p9 pae passthrough pci pci_msitranslate pci_permissive
    pci_power_mgmt pci_seize processor_trace_buffer_kb pvcalls pvshim pvshim_cmdline pvshim_extra
    pvshim_path rdm rdm_mem_boundary rtc_timeoffset sdl seclabel serial shadow_memory smbios_firmware
    soundhw spice spiceagent_mouse spiceclipboard_sharing spicedisable_ticketing spicehost spicepasswd
    spiceport spicetls_port spiceusbredirection spicevdagent stdvga stubdomain_cmdline stubdomain_kernel
    stubdomain_memory stubdomain_ramdisk system_firmware tee timer_mode tsc_mode usb usbctrl usbdev
    usbdevice usbversion vdispl vfb vga vgt_low_gm_sz video videoram viridian vkb vmtrace_buf_kb vnc
    vncconsole vncdisplay vnclisten vncpasswd vncunused vncviewer vnuma vpt_align vscsi vsnd vtpm vuart
    weight xen_platform_pci
";

/// What a word on the left-hand side of an assignment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A key that is acted on, with its canonical name.
    Key(&'static str, Key),
    /// A key of xl.cfg that is not.
    Later,
    /// Nothing that anybody knows, and what it resembles.
    Unknown(Option<&'static str>),
}

/// Finds out what `word` is.
pub fn lookup(word: &str) -> Lookup {
    if let Some(&(name, key)) = KEYS.iter().find(|(name, _)| *name == word) {
        return Lookup::Key(name, key);
    }
    if later().any(|name| name == word) {
        return Lookup::Later;
    }
    Lookup::Unknown(suggestion(word))
}

fn later() -> impl Iterator<Item = &'static str> {
    LATER.split_ascii_whitespace()
}

/// The known key nearest to `word`, if it is near enough to be what was meant.
fn suggestion(word: &str) -> Option<&'static str> {
    // A long word is nobody's typing error, and the distance costs its length each time.
    if word.chars().count() > 40 {
        return None;
    }
    let folded = word.to_ascii_lowercase().replace('-', "_");
    let known = KEYS.iter().map(|(name, _)| *name).chain(later());
    known
        .map(|name| (distance(&folded, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).clamp(1, 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Edits (insertion, deletion, replacement, swap of neighbours) that make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_suggested() {
        assert_eq!(lookup("memroy"), Lookup::Unknown(Some("memory")));
        assert_eq!(lookup("vcpu"), Lookup::Unknown(Some("vcpus")));
        assert_eq!(lookup("on-reboot"), Lookup::Unknown(Some("on_reboot")));
        assert_eq!(lookup("Kernel"), Lookup::Unknown(Some("kernel")));
        assert_eq!(lookup("dsik"), Lookup::Unknown(Some("disk")));
        assert_eq!(lookup("zebra"), Lookup::Unknown(None));
    }

    #[test]
    fn no_key_is_both_acted_on_and_refused() {
        for (name, _) in KEYS {
            assert!(later().all(|later| later != *name), "{name}");
        }
    }
}
