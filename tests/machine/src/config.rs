//! What a machine is made of.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// How the hypervisor gets loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// QEMU's own multiboot1 loader.
    Direct,
    /// GRUB on SeaBIOS, multiboot2.
    Bios,
    /// GRUB on OVMF, multiboot2.
    Uefi,
}

/// Which hypervisor is on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hypervisor {
    Tenon,
    /// Stock Xen 4.17, to compare with.
    Xen,
}

impl Hypervisor {
    /// The options that every machine needs.
    fn options(self) -> &'static str {
        match self {
            Self::Tenon => "console=com1 com1=115200,8n1 loglvl=all noreboot",
            // Its PVH domain 0 wants an IOMMU, and QEMU's shares no page tables with the CPU's.
            Self::Xen => "console=com1 com1=115200,8n1 dom0=pvh iommu=no-sharept",
        }
    }
}

/// The CPU of a machine under Bochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// AMD-V with nested paging.
    Ryzen,
    /// VT-x with everything that we use.
    Haswell,
    /// The same, older: the one that starts with two CPUs.
    IvyBridge,
    /// VT-x with EPT, without unrestricted guest.
    Lynnfield,
    /// VT-x without EPT.
    Penryn,
}

impl Model {
    /// What Bochs calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ryzen => "ryzen",
            Self::Haswell => "corei7_haswell_4770",
            Self::IvyBridge => "corei7_ivy_bridge_3770k",
            Self::Lynnfield => "corei5_lynnfield_750",
            Self::Penryn => "core2_penryn_t9600",
        }
    }
}

/// A disk of domain 0: an empty one of 64 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    VirtioBlk,
    Ahci,
    Nvme,
}

/// What translates for the devices of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iommu {
    /// VT-d, beside an AMD CPU.
    Intel,
    /// AMD-Vi.
    Amd,
}

/// A machine to start.
#[derive(Clone, Debug)]
pub struct Config {
    pub hypervisor: Hypervisor,
    pub boot: Boot,
    /// CPUs for guests.
    pub cpus: u32,
    /// Of each core.
    pub threads: u32,
    pub memory_mib: u32,
    /// Domain 0's kernel: "6.1" or "6.12".
    pub kernel: &'static str,
    /// A small guest of our own to run in domain 0's place, without Linux and agent.
    pub program: Option<&'static str>,
    /// `dom0_mem=` and the like, after the options that every machine has.
    pub options: String,
    /// Words for domain 0's kernel, after the console's.
    pub cmdline: String,
    pub iommu: Option<Iommu>,
    pub disks: Vec<Disk>,
    /// More arguments for QEMU.
    pub qemu_args: Vec<String>,
    /// Time counts instructions, each of 2 to this power of ns: one CPU, repeatable to the instruction almost.
    pub icount: Option<u8>,
    /// The harness works through domain 0's second serial port.
    pub agent: bool,
    /// Debian's Xen tools are in domain 0, too.
    pub stock_tools: bool,
    /// The disk of a Debian system is domain 0's `/dev/vda`, and `/guests/grub` boots it. What is written there is lost.
    pub debian: bool,
    /// Show the console on our standard output.
    pub show: bool,
    /// Bochs writes down every instruction between the first two marks (`xchg bx, bx`) of a guest, into `bochs.out`.
    pub trace: bool,
}

impl Config {
    /// The usual machine: loaded by QEMU, 4 GiB, kernel 6.1, an agent to work with.
    pub fn new(cpus: u32) -> Self {
        Self {
            hypervisor: Hypervisor::Tenon,
            boot: Boot::Direct,
            cpus,
            threads: 1,
            memory_mib: 4096,
            kernel: "6.1",
            program: None,
            options: "dom0_mem=1024M".into(),
            cmdline: String::new(),
            iommu: None,
            disks: Vec::new(),
            qemu_args: Vec::new(),
            icount: None,
            agent: true,
            stock_tools: false,
            debian: false,
            show: false,
            trace: false,
        }
    }

    /// A machine whose domain 0 is a small guest of our own.
    pub fn program(cpus: u32, program: &'static str) -> Self {
        let options = "dom0_mem=512M guest_loglvl=all".into();
        Self { program: Some(program), memory_mib: 1024, options, agent: false, ..Self::new(cpus) }
    }

    pub fn boot(mut self, boot: Boot) -> Self {
        self.boot = boot;
        self
    }

    pub fn kernel(mut self, kernel: &'static str) -> Self {
        self.kernel = kernel;
        self
    }

    /// Gives every core so many threads.
    pub fn threads(mut self, threads: u32) -> Self {
        self.threads = threads;
        self
    }

    pub fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// Puts Debian's Xen tools into domain 0.
    pub fn stock_tools(mut self) -> Self {
        self.stock_tools = true;
        self
    }

    /// Puts devices behind an IOMMU.
    pub fn iommu(mut self, iommu: Iommu) -> Self {
        self.iommu = Some(iommu);
        self
    }

    /// More properties of virtio devices: so they are behind the IOMMU, if there is one.
    pub fn virtio(&self) -> &'static str {
        if self.iommu.is_some() { "disable-legacy=on,iommu_platform=on" } else { "disable-legacy=on" }
    }

    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Adds hypervisor options.
    pub fn option(mut self, options: &str) -> Self {
        self.options = format!("{} {options}", self.options);
        self
    }

    /// Adds words to domain 0's command line.
    pub fn word(mut self, word: &str) -> Self {
        self.cmdline = format!("{} {word}", self.cmdline);
        self
    }

    /// Adds arguments of QEMU.
    pub fn qemu<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.qemu_args.extend(args.into_iter().map(str::to_owned));
        self
    }

    /// How many CPUs the emulated machine has: where guests are to have several, one more, or a core, that runs none of them.
    ///
    /// QEMU's CPU 0 cannot run guests beside others (7.2 and newer): when any CPU loads x87 state (FXRSTOR, XRSTOR), QEMU
    /// clears IGNNE in the hidden flags of CPU 0, by a read, modify and write that is not atomic (`cpu_clear_ignne`), and
    /// the same word says whether CPU 0 is in a guest with nested paging. Every few minutes a guest runs on with the
    /// hypervisor's address space or the other way around.
    pub fn machine_cpus(&self) -> u32 {
        if self.leaves_cpu_0() { self.cpus + self.threads } else { self.cpus }
    }

    fn leaves_cpu_0(&self) -> bool {
        self.cpus > 1 && self.hypervisor == Hypervisor::Tenon
    }

    /// The hypervisor's whole command line.
    pub fn hypervisor_options(&self) -> String {
        let isolated = match (self.leaves_cpu_0(), self.threads) {
            (false, _) => String::new(),
            (true, 1) => "isolcpus=0 ".into(),
            (true, threads) => format!("isolcpus=0-{} ", threads - 1),
        };
        format!("{} {isolated}{}", self.hypervisor.options(), self.options.trim()).trim().to_owned()
    }

    /// The whole command line of domain 0's kernel.
    pub fn kernel_cmdline(&self) -> String {
        let agent = if self.agent { " tenon.agent=ttyS1" } else { "" };
        format!("console=hvc0 earlyprintk=xen{agent} {}", self.cmdline.trim()).trim().to_owned()
    }
}

/// The files of a domain 0.
#[derive(Clone, Debug)]
pub struct Dom0Files {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
}

/// Where machines get their files from.
pub trait Images: Sync {
    /// The hypervisor, as an ELF32 file that QEMU loads.
    fn hypervisor(&self, which: Hypervisor) -> Result<PathBuf>;

    /// Domain 0's kernel and initrd.
    fn dom0(&self, config: &Config) -> Result<Dom0Files>;

    /// The disk of a Debian system.
    fn debian_disk(&self) -> Result<PathBuf>;

    /// One of the small test guests.
    fn program(&self, name: &str) -> PathBuf;

    /// A GRUB image with this configuration's command lines; `name` is unique to the machine.
    fn iso(&self, name: &str, config: &Config) -> Result<PathBuf>;

    /// A directory for the logs of machines.
    fn logs(&self) -> &Path;
}
