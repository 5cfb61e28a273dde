//! Files of domain 0 that drive it without a hand: guest files and scenarios.
//!
//! A scenario is a list of shell commands, one per line, which domain 0's init runs when the kernel
//! command line says `tenon.run=NAME`. It needs no input, so its instruction count repeats.

/// Scenarios by name.
pub fn all() -> [(&'static str, String); 6] {
    [
        ("create", CREATE.into()),
        ("exits", EXITS.into()),
        ("bench", bench_tenon()),
        ("bench-xl", bench("xl")),
        ("bench-io", bench_io("tenon", "/dev/ram0,raw,xvdb")),
        ("bench-io-xl", bench_io("xl", "phy:/dev/ram0,xvdb,w")),
    ]
}

/// What `cargo xtask bench --io` measures: a disk in domain 0's memory, and a bridge with domain 0 and another guest on
/// it. At the end a disk and a card are given to the running guest.
fn bench_io(tool: &str, disk: &str) -> String {
    format!(
        "modprobe brd rd_nr=2 rd_size=65536\n\
         modprobe -a xen-blkback xen-netback bridge\n\
         brctl addbr xenbr0 && ifconfig xenbr0 10.0.0.1 up\n\
         /init serve-io >/dev/null 2>&1 &\n\
         {tool} create /etc/tenon/io-peer.cfg\n\
         {tool} create /etc/tenon/io.cfg\n\
         until {tool} dmesg | grep -q 'mark: [r]eady-for-disk'; do sleep 1; done\n\
         sleep 1\n\
         /init mark disk-begin\n\
         {tool} block-attach io {disk}\n\
         until {tool} dmesg | grep -q 'mark: [r]eady-for-card'; do sleep 1; done\n\
         sleep 1\n\
         /init mark card-begin\n\
         {tool} network-attach io bridge=xenbr0\n\
         while {tool} list io; do sleep 1; done >/dev/null 2>&1\n"
    )
}

/// One guest from creation to its end.
const CREATE: &str = "\
tenon create /etc/tenon/poweroff.cfg
tenon list
tenon wait --for destroy --timeout 600 poweroff
";

/// A guest up to its userspace, and how often every domain has left to the hypervisor until then, by kinds.
const EXITS: &str = "\
tenon create /etc/tenon/guest.cfg
until grep -q 'guest: userspace up' /var/log/tenon/console/guest.log; do sleep 1; done
tenon top --once --interval 1 --json
echo uptime: $(cut -d' ' -f1 /proc/uptime)
tenon destroy guest
";

/// What `cargo xtask bench` measures. The pauses let domain 0 finish what it does by itself.
fn bench(tool: &str) -> String {
    format!(
        "sleep 2\n\
         {tool} info\n\
         /init mark create-begin\n\
         {tool} create -p /etc/tenon/bench.cfg\n\
         /init mark create-end\n\
         sleep 2\n\
         /init mark boot-begin\n\
         {tool} unpause bench\n\
         while {tool} list bench; do sleep 1; done >/dev/null 2>&1\n\
         {tool} create /etc/tenon/figures.cfg\n\
         while {tool} list figures; do sleep 1; done >/dev/null 2>&1\n\
         {tool} create /etc/tenon/yields.cfg\n\
         {tool} create /etc/tenon/switch.cfg\n\
         while {tool} list switch; do sleep 1; done >/dev/null 2>&1\n\
         {tool} destroy yields\n\
         {tool} create /etc/tenon/wake.cfg\n\
         while {tool} list wake; do sleep 1; done >/dev/null 2>&1\n"
    )
}

/// Tenon's scenario ends with what memory things cost, which xl tells in MiB only.
fn bench_tenon() -> String {
    let free = "$(tenon info --json | grep free_memory_kib | tr -dc 0-9)";
    format!(
        "{}\
         echo sample: free-before {free}\n\
         for i in $(seq {IDLE_GUESTS}); do tenon create /etc/tenon/idle$i.cfg || exit; done\n\
         sleep 2\n\
         echo sample: free-after {free}\n",
        bench("tenon")
    )
}

/// Idle guests to share out the memory that they cost, and the MiB that each has.
pub const IDLE_GUESTS: u64 = 8;
pub const IDLE_MIB: u64 = 64;

/// Guest files by name: a Debian guest for every kernel, and some with a purpose.
pub fn guest_files(kernels: &[&str]) -> Vec<(String, String)> {
    let mut files: Vec<_> =
        kernels.iter().map(|kernel| ((*kernel).to_owned(), linux("guest", kernel, ""))).collect();
    if let Some(first) = kernels.first() {
        files.push(("guest".into(), linux("guest", first, "")));
        files.push(("poweroff".into(), linux("poweroff", first, "guest.run=poweroff")));
        files.push(("bench".into(), linux("bench", first, "marks=1 guest.run=poweroff")));
    }
    if let Some(first) = kernels.first() {
        let peer = "marks=1 guest.run=serve-io guest.address=10.0.0.3";
        files.push(("io-peer".into(), with_devices("io-peer", first, peer, "")));
        let words = "marks=1 guest.run=measure-io guest.address=10.0.0.2 guest.disk=/dev/xvda guest.host=10.0.0.1 \
                     guest.peer=10.0.0.3 guest.new-disk=/dev/xvdb guest.new-card=eth1";
        files.push(("io".into(), with_devices("io", first, words, "disk = [\"/dev/ram1,raw,xvda\"]\n")));
    }
    files.push(("figures".into(), bare("figures", "figures")));
    files.push(("yields".into(), bare("yields", "busy") + "cmdline = \"yields\"\n"));
    files.push(("switch".into(), bare("switch", "figures") + "cmdline = \"switch\"\n"));
    let two = bare("wake", "figures").replace("vcpus = 1", "vcpus = 2");
    files.push(("wake".into(), two + "cmdline = \"wake\"\n"));
    for number in 1..=IDLE_GUESTS {
        let name = format!("idle{number}");
        let file = bare(&name, "idle");
        files.push((name, file));
    }
    files
}

/// A Debian kernel with the small initrd.
fn linux(name: &str, kernel: &str, words: &str) -> String {
    format!(
        "# A Debian kernel as a PVH guest. Existing xl guest files work as they are.\n\
         name = \"{name}\"\n\
         type = \"pvh\"\n\
         kernel = \"/guests/vmlinuz-{kernel}\"\n\
         ramdisk = \"/guests/initrd-{kernel}\"\n\
         cmdline = \"{}\"\n\
         memory = 256\n\
         vcpus = 1\n",
        format!("console=hvc0 {words}").trim()
    )
}

/// A Debian kernel with the drivers of disks and cards, a card, and the lines of `more`.
fn with_devices(name: &str, kernel: &str, words: &str, more: &str) -> String {
    let words = format!("guest.modules=xen-blkfront,xen-netfront {words}");
    let file = linux(name, kernel, &words);
    let initrd = format!("initrd-{kernel}");
    file.replace(&initrd, &format!("{initrd}-devices")) + "vif = [\"bridge=xenbr0\"]\n" + more
}

/// A small guest of our own, whose program is a kernel by itself.
fn bare(name: &str, program: &str) -> String {
    format!(
        "name = \"{name}\"\n\
         type = \"pvh\"\n\
         kernel = \"/guests/{program}\"\n\
         memory = {IDLE_MIB}\n\
         vcpus = 1\n"
    )
}
