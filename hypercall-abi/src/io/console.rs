//! A guest's console page (`public/io/console.h`).
//!
//! Indices run freely; the byte is at the index modulo the ring's size.

use crate::layout::structs;

structs! {
    /// The page.
    struct Interface = "struct xencons_interface" {
        /// To the guest.
        input: [u8; 1024] = "in",
        /// From the guest.
        output: [u8; 2048] = "out",
        in_cons: u32,
        in_prod: u32,
        out_cons: u32,
        out_prod: u32,
    }
}
