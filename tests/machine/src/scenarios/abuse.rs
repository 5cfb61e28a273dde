//! Bad input: everything is refused with its cause, nothing is leaked, everybody else goes on.

use anyhow::{Result, ensure};

use super::lifecycle::memory_is_back;
use crate::machine::Machine;

/// A guest file's line that is wrong, how to make the files it needs, and what the error must name.
struct Bad {
    prepare: &'static str,
    line: &'static str,
    names: &'static str,
}

const BAD: [Bad; 8] = [
    Bad { prepare: "", line: "kernel = \"/nowhere\"", names: "/nowhere" },
    Bad { prepare: "echo no kernel > /tmp/text", line: "kernel = \"/tmp/text\"", names: "/tmp/text" },
    Bad {
        prepare: "head -c 3000000 /guests/vmlinuz-6.1 > /tmp/half",
        line: "kernel = \"/tmp/half\"",
        names: "/tmp/half",
    },
    Bad {
        prepare: "cp /guests/vmlinuz-6.1 /tmp/rotten; \
                  dd if=/dev/zero of=/tmp/rotten bs=1k seek=2000 count=500 conv=notrunc 2>/dev/null",
        line: "kernel = \"/tmp/rotten\"",
        names: "/tmp/rotten",
    },
    Bad { prepare: "", line: "kernel = \"/bin/busybox\"", names: "/bin/busybox" },
    Bad { prepare: "", line: "memory = 1000000", names: "memory" },
    Bad { prepare: "", line: "memory = \"much\"", names: "bad.cfg:" },
    Bad { prepare: "", line: "vpcus = 2", names: "vcpus" },
];

/// Every bad file is refused for its own reason, and a good one still works.
pub fn bad_input(machine: &mut Machine) -> Result<()> {
    let free = machine.free_kib()?;
    for bad in &BAD {
        if !bad.prepare.is_empty() {
            machine.ok(bad.prepare)?;
        }
        let good = ["name = \"bad\"", "type = \"pvh\"", "kernel = \"/guests/vmlinuz-6.1\"", "memory = 128"];
        let key = bad.line.split(' ').next().unwrap_or_default();
        let lines: Vec<&str> =
            good.into_iter().filter(|line| !line.starts_with(key)).chain([bad.line]).collect();
        machine.write_file("/tmp/bad.cfg", &lines.join("\n"))?;
        let refusal = machine.fails("tenon create /tmp/bad.cfg")?;
        ensure!(
            refusal.contains(bad.names),
            "{}: the error does not name {:?}: {refusal}",
            bad.line,
            bad.names
        );
        ensure!(machine.listed("bad")?.is_none(), "{}: refused, but a domain is left", bad.line);
    }
    memory_is_back(machine, free)?;
    ensure!(machine.ok("tenon list")?.contains('0'), "domain 0 is not listed");
    Ok(())
}
