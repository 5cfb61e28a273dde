//! Names of the hypervisor's functions, from the table that `cargo xtask build` appends to the image.
#![allow(unsafe_code, reason = "reads the table that the build put behind the image")]

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

fn word(table: &[u8], index: usize) -> Option<usize> {
    let bytes = table.get(index * 4..index * 4 + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}

/// The function that holds `address`, and how far into it the address is.
pub fn lookup(address: u64, image_start: u64) -> Option<(&'static str, u64)> {
    let table = table()?;
    let count = word(table, 0)?;
    let wanted = usize::try_from(address.checked_sub(image_start)?).ok()?;
    // The first symbol past the address.
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if word(table, 1 + 2 * middle)? <= wanted {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let index = low.checked_sub(1)?;
    let start = word(table, 1 + 2 * index)?;
    let name = table.get((1 + 2 * count) * 4 + word(table, 2 + 2 * index)?..)?;
    let len = name.iter().position(|byte| *byte == 0)?;
    Some((core::str::from_utf8(&name[..len]).ok()?, (wanted - start) as u64))
}
