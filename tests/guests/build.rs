//! Links each guest with the linker script: low, and with the note that makes it a PVH kernel.

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("link.ld");
        println!("cargo:rustc-link-arg-bins=-T{}", script.display());
    }
}
