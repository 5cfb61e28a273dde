//! What machines boot: initrds and GRUB images.

mod busybox;
mod cpio;
pub mod debian;
pub mod initrd;
pub mod iso;
mod modules;
pub mod scenarios;
pub mod stock;
