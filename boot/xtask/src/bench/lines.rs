//! How large the hypervisor is: lines of code of core and kernel. Tests, comments and blank lines are left out.

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
        if name == "tests" || name == "test" {
            continue;
        }
        if path.is_dir() {
            lines += below(&path)?;
        } else if path.extension().is_some_and(|e| e == "rs" || e == "s") {
            lines += code(&fs::read_to_string(&path)?);
        }
    }
    Ok(lines)
}

/// Tests inside a file are a module at its end.
fn code(source: &str) -> usize {
    let mut lines = 0;
    let mut before_attribute = None;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test") {
            before_attribute = Some(lines);
        } else if line.starts_with("mod ") && line.ends_with('{') {
            if let Some(before) = before_attribute {
                return before;
            }
        } else if !line.starts_with('#') {
            before_attribute = None;
        }
        lines += usize::from(!line.is_empty() && !line.starts_with("//"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn tests_and_comments_do_not_count() {
        assert_eq!(code("//! A.\nfn a() {} // b\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n"), 1);
        assert_eq!(code("#[cfg(test)]\nmod tests;\n\nfn a() {}\n"), 3);
    }
}
