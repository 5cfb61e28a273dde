//! Command lines as boot loaders hand them over: some put the image's file name first, some a word instead of it.

/// The arguments of a command line that the loader called `loader` passed.
///
/// QEMU (multiboot1) puts the file name first. GRUB 2 passes arguments only, and GRUB's own configuration script
/// writes the word `placeholder` before them.
pub fn arguments<'a>(line: &'a str, loader: &str) -> &'a str {
    let line = line.trim();
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    if loader.starts_with("qemu") || first == "placeholder" { rest.trim_start() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_names_the_file() {
        assert_eq!(
            arguments("target/dist/tenon console=com1  loglvl=all", "qemu"),
            "console=com1  loglvl=all"
        );
        assert_eq!(arguments("vmlinuz", "qemu"), "");
    }

    #[test]
    fn grub_passes_arguments_only() {
        assert_eq!(arguments("console=com1 x", "GRUB 2.06-13"), "console=com1 x");
        assert_eq!(arguments("placeholder root=/dev/sda", "GRUB 2.06"), "root=/dev/sda");
        assert_eq!(arguments("", "GRUB 2.06"), "");
    }
}
