//! qcow2 images: any file is read and written to, or refused. The bytes after the image's say what to do.
#![no_main]

use std::fs;
use std::os::unix::fs::FileExt;

use dom0_tools::block::image::{Image, Target, open, read_whole};
use dom0_tools::config::Format;
use libfuzzer_sys::fuzz_target;

/// Bytes that say what to do, at the end of the input: place, length, read or write.
const STEP: usize = 4;
const STEPS: usize = 4;

fn write(image: &dyn Image, offset: u64, data: &[u8]) -> std::io::Result<()> {
    let mut at = 0;
    for (len, target) in image.write(offset, data.len())? {
        let part = &data[at..at + len];
        match target {
            Target::New => image.write_new(offset + at as u64, part)?,
            Target::Place(place) => image.file().write_all_at(part, place)?,
        }
        at += len;
    }
    Ok(())
}

fuzz_target!(|input: &[u8]| {
    let Some((file, steps)) = input.split_last_chunk::<{ STEP * STEPS }>() else { return };
    let path = std::env::temp_dir().join(format!("tenon-fuzz-{}", std::process::id()));
    fs::write(&path, file).expect("a place for files");
    let Ok(image) = open(&path, Format::Qcow2, false) else { return };
    let size = image.sectors() * 512;
    for step in steps.as_chunks::<STEP>().0 {
        let offset = u64::from(u16::from_le_bytes([step[0], step[1]])) * 512;
        let len = (usize::from(step[2]) + 1) * 512;
        if offset + len as u64 > size {
            continue;
        }
        if step[3] & 1 == 0 {
            if let Ok(sources) = image.read(offset, len) {
                // Data that are in the file twice may be damaged, but they are there.
                let _ = read_whole(sources);
            }
        } else {
            // What a damaged image keeps of it is anybody's guess: it may have two clusters in one place.
            let _ = write(&*image, offset, &vec![step[3]; len]);
        }
    }
    let grown = path.metadata().expect("the file is there").len();
    // A batch of the largest clusters for each step, and tables.
    assert!(grown < (STEPS as u64 + 1) * 2 * 40 * (2 << 20), "it grew to {grown}");
});
