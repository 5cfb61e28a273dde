//! Files of domain 0 that drive it without a hand: guest configurations and scenarios.
//!
//! A scenario is a list of shell commands, one per line, which domain 0's init runs when the kernel
//! command line says `tenon.run=NAME`. It needs no input, so its instruction count repeats.

/// Scenarios by name.
pub const ALL: [(&str, &str); 1] = [("create", CREATE)];

/// One guest from creation to its end.
const CREATE: &str = "\
tenon create /etc/tenon/guest.cfg
tenon list
tenon wait guest
";

/// The example guest file: the kernel of `name`, as small as Debian's kernel likes it.
pub fn guest_config(name: &str) -> String {
    format!(
        "# A Debian kernel as a PVH guest. Existing xl configuration files work as they are.\n\
         name = \"guest\"\n\
         type = \"pvh\"\n\
         kernel = \"/guests/vmlinuz-{name}\"\n\
         ramdisk = \"/guests/initrd-{name}\"\n\
         cmdline = \"console=hvc0\"\n\
         memory = 256\n\
         vcpus = 1\n"
    )
}
