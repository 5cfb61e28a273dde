//! Words of the kernel command line that are for init.

use std::fs;

/// The value of `name=value`, the last one if there are several.
pub fn value(name: &str) -> Option<String> {
    let line = fs::read_to_string("/proc/cmdline").ok()?;
    last_value(&line, name).map(str::to_owned)
}

fn last_value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix('=')).next_back()
}

#[cfg(test)]
mod tests {
    use super::last_value;

    #[test]
    fn the_last_word_counts_and_prefixes_do_not() {
        let line = "console=hvc0 tenon.run=a tenon.runner=x tenon.run=b";
        assert_eq!(last_value(line, "tenon.run"), Some("b"));
        assert_eq!(last_value(line, "tenon"), None);
    }
}
