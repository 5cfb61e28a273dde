//! How large the hypervisor is: lines of source of core and kernel, tests left out.

use std::fs;
use std::path::Path;

use anyhow::Result;

pub fn hypervisor(root: &Path) -> Result<usize> {
    Ok(below(&root.join("hypervisor/core/src"))? + below(&root.join("hypervisor/kernel/src"))?)
}

fn below(dir: &Path) -> Result<usize> {
    let mut lines = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name == "tests" {
            continue;
        }
        if path.is_dir() {
            lines += below(&path)?;
        } else if path.extension().is_some_and(|e| e == "rs" || e == "s") {
            lines += without_tests(&fs::read_to_string(&path)?);
        }
    }
    Ok(lines)
}

/// Tests inside a file are a module at its end.
fn without_tests(source: &str) -> usize {
    let mut attribute = None;
    for (number, line) in source.lines().enumerate() {
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test") {
            attribute = Some(number);
        } else if line.starts_with("mod ") && line.ends_with('{') {
            if let Some(start) = attribute {
                return start;
            }
        } else if !line.starts_with('#') {
            attribute = None;
        }
    }
    source.lines().count()
}

#[cfg(test)]
mod tests {
    use super::without_tests;

    #[test]
    fn test_modules_do_not_count() {
        assert_eq!(without_tests("fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n"), 2);
        assert_eq!(without_tests("#[cfg(test)]\nmod tests;\n\nfn a() {}\n"), 4);
    }
}
