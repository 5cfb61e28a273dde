//! Names of the hypervisor's functions, from the table that `cargo xtask build` appends to the image.
#![allow(unsafe_code, reason = "reads the table that the build put behind the image")]

use core::ffi::CStr;

/// Where the table is: its address and its bytes. Patched by boot/xtask/src/image.rs; zero in an image that did not
/// go through it. Read-only data at run time.
#[unsafe(no_mangle)]
#[used]
static SYMBOL_TABLE: [u64; 2] = [0; 2];

/// The table as bytes.
fn table() -> Option<&'static [u8]> {
    // SAFETY: a valid static; the read is volatile because the value is not the one that the compiler saw.
    let [address, len] = unsafe { (&raw const SYMBOL_TABLE).read_volatile() };
    // SAFETY: the build put `len` bytes there; they are mapped read-only with the image.
    (len != 0).then(|| unsafe { core::slice::from_raw_parts(address as *const u8, len as usize) })
}

/// One past the table's last byte, if there is a table.
pub fn end() -> Option<u64> {
    table().map(|bytes| bytes.as_ptr_range().end as u64)
}

/// The function that holds `address`, and how far into it the address is.
///
/// The table is a count, for each symbol its place in the image and its name's place, and then the names.
pub fn lookup(address: u64, image_start: u64) -> Option<(&'static str, u64)> {
    let (count, rest) = table()?.split_first_chunk()?;
    let (symbols, names) = rest.split_at_checked(u32::from_le_bytes(*count) as usize * 8)?;
    let pair = |symbol: &[u8; 8]| {
        let [place, name] = [0, 32].map(|shift| u64::from_le_bytes(*symbol) >> shift & 0xffff_ffff);
        (place, name as usize)
    };
    let (symbols, _) = symbols.as_chunks();
    let wanted = address.checked_sub(image_start)?;
    let past = symbols.partition_point(|symbol| pair(symbol).0 <= wanted);
    let (place, name) = pair(symbols.get(past.checked_sub(1)?)?);
    let name = CStr::from_bytes_until_nul(names.get(name..)?).ok()?;
    Some((name.to_str().ok()?, wanted - place))
}
