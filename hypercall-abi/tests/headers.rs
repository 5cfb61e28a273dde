//! Every size, offset and value of this crate against the C headers of Debian's package `libxen-dev`.
//!
//! The crate's table becomes a C file of static assertions, which the compiler checks once for x86-64 and once
//! for i386. Nothing is linked or run, so no 32-bit C library is needed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use hypercall_abi::errno::Errno;
use hypercall_abi::io::blkif;
use hypercall_abi::layout::{Constant, MODULES, Model, Struct};

/// The headers in question. `__XEN_TOOLS__` opens what only tools may use, and selects the latest interface.
const PROLOGUE: &str = "\
#include <stdint.h>
#include <stddef.h>
#define __XEN_TOOLS__ 1
#include <xen/xen.h>
#include <xen/errno.h>
#include <xen/elfnote.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <xen/trace.h>
#include <xen/arch-x86/cpuid.h>
#include <xen/arch-x86/cpufeatureset.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/params.h>
#include <xen/hvm/save.h>
#include <xen/io/console.h>
#include <xen/io/blkif.h>
#include <xen/io/netif.h>
#include <xen/io/protocols.h>
#include <xen/io/ring.h>
#include <xen/io/xenbus.h>
#include <xen/io/xs_wire.h>
/* In no header of Xen's: the BIOS call E820. */
struct e820_entry { uint64_t addr, size; uint32_t type; } __attribute__((packed));
/* Tenon's own. */
struct tenon_domctl_holdings {
    uint64_aligned_t at;
    domid_t holder;
    uint16_t pad[3];
    uint32_t grants, frames;
};
struct tenon_domctl_vcpu_account {
    uint32_t vcpu, kinds;
    uint64_aligned_t now, spent[4];
    XEN_GUEST_HANDLE_64(uint64_t) exits;
};
";

/// Wherever the package puts its headers: the directory that holds `xen/xen.h`.
const INCLUDE: &str = "/usr/include";

struct Assertions {
    source: String,
    names: BTreeSet<&'static str>,
    count: usize,
}

impl Assertions {
    fn new() -> Self {
        Self { source: PROLOGUE.to_owned(), names: BTreeSet::new(), count: 0 }
    }

    fn check(&mut self, condition: &str, message: &str) {
        writeln!(self.source, "_Static_assert({condition}, \"{message}\");").expect("writing to a string");
        self.count += 1;
    }

    fn structure(&mut self, module: &str, s: &Struct) {
        let Struct { c, rust, size, .. } = *s;
        self.names.insert(c);
        self.check(&format!("sizeof({c}) == {size}"), &format!("{module}::{rust}: {c} is not {size} bytes"));
        for f in s.fields.iter().filter(|f| !f.c.starts_with("_pad") && f.size > 0) {
            let (field, offset, size) = (f.c, f.offset, f.size);
            self.check(
                &format!("offsetof({c}, {field}) == {offset}"),
                &format!("{module}::{rust}: {c}.{field} is not at offset {offset}"),
            );
            self.check(
                &format!("sizeof((({c} *)0)->{field}) == {size}"),
                &format!("{module}::{rust}: {c}.{field} is not {size} bytes"),
            );
        }
    }

    fn constant(&mut self, module: &str, k: &Constant) {
        let Constant { c, rust, value } = *k;
        // Signs may differ (`-1` against `~0U`), values in their own width may not.
        let condition = if value < 0 {
            format!("(long long)({c}) == {value}LL")
        } else {
            format!("(unsigned long long)({c}) == {value}ULL")
        };
        self.check(&condition, &format!("{module}::{rust}: {c} is not {value:#x}"));
    }
}

fn assertions(model: Model) -> Assertions {
    let mut all = Assertions::new();
    for module in MODULES {
        for s in module.structs.iter().copied().flatten().copied().flatten() {
            if s.model == model || s.model == Model::Both {
                all.structure(module.name, s);
            }
        }
        // Values do not depend on the data model; some names exist only in the 64-bit one.
        if model == Model::X64 {
            for k in module.constants.iter().copied().flatten() {
                all.constant(module.name, k);
            }
        }
    }
    if model == Model::X64 {
        for (errno, name) in Errno::ALL {
            // Internal to the hypervisor: the header hides them.
            if !matches!(errno, Errno::EINTR | Errno::ERESTART) {
                let value = *errno as i32;
                all.check(&format!("XEN_{name} == {value}"), &format!("errno::{name} is not {value}"));
            }
        }
        for (c, text) in [
            ("XEN_IO_PROTO_ABI_X86_32", blkif::PROTO_X86_32),
            ("XEN_IO_PROTO_ABI_X86_64", blkif::PROTO_X86_64),
        ] {
            let condition = format!("__builtin_strcmp({c}, \"{text}\") == 0");
            all.check(&condition, &format!("{c} is not {text}"));
        }
    }
    all
}

fn compile(model: Model, flag: &str, minimum: usize) {
    assert!(
        Path::new(INCLUDE).join("xen/xen.h").exists(),
        "{INCLUDE}/xen/xen.h is missing: install the headers with `apt-get install libxen-dev`"
    );
    let all = assertions(model);
    assert!(all.count >= minimum, "only {} assertions: the table lost something", all.count);

    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("headers{flag}.c"));
    std::fs::write(&file, &all.source).expect("write the generated C file");
    let output = Command::new("cc")
        .args([flag, "-std=gnu11", "-ffreestanding", "-fsyntax-only", "-fmax-errors=0"])
        .arg(&file)
        .output()
        .unwrap_or_else(|e| panic!("cannot run cc ({e}): install it with `apt-get install gcc`"));
    let messages = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<_> = messages.lines().filter(|line| line.contains("error:")).collect();
    assert!(
        output.status.success(),
        "{} mismatches with the C headers ({flag}, see {}):\n{}",
        errors.len(),
        file.display(),
        errors.join("\n")
    );
}

#[test]
fn matches_the_64_bit_headers() {
    compile(Model::X64, "-m64", 3000);
}

#[test]
fn matches_the_32_bit_headers() {
    compile(Model::X32, "-m32", 2000);
}

#[test]
fn no_item_is_listed_twice() {
    for model in [Model::X64, Model::X32] {
        let structs = MODULES.iter().flat_map(|m| m.structs.iter().copied().flatten().copied().flatten());
        let count = structs.filter(|s| s.model == model || s.model == Model::Both).count();
        assert_eq!(assertions(model).names.len(), count, "{model:?}");
    }
}
