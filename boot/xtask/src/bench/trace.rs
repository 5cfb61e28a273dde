//! Reads figures out of the instructions that Bochs has written down between a guest's marks: one hypercall.

use anyhow::{Result, ensure};

/// Where the hypervisor's code lies.
const HYPERVISOR: &str = "ffffffff8";

/// One line per figure, `name value unit`.
pub fn figures(trace: &str) -> Result<Vec<String>> {
    let instructions = || trace.lines().filter_map(instruction);
    let own = || instructions().filter(|(address, _)| address.starts_with(HYPERVISOR)).map(|(_, text)| text);
    let count = |name: &str| own().filter(|text| text.starts_with(name)).count();
    let calls = instructions().filter(|(_, text)| text.starts_with("vmcall")).count();
    ensure!(calls == 1, "the trace has {calls} hypercalls instead of one");
    Ok(vec![
        format!("hypercall-own {} instructions", own().count()),
        format!("hypercall-vmreads {} instructions", count("vmread")),
        format!("hypercall-vmwrites {} instructions", count("vmwrite")),
    ])
}

/// The address and the text of an instruction: `(0).[123] [0x000000212345] 0008:ffffffff80212345 (unk. ctxt): ret ; c3`.
fn instruction(line: &str) -> Option<(&str, &str)> {
    let (place, text) = line.split_once("): ")?;
    let (_, address) = place.rsplit_once(" (")?.0.rsplit_once(':')?;
    Some((address, text))
}

#[cfg(test)]
mod tests {
    use super::figures;

    #[test]
    fn the_hypervisors_instructions_are_counted() {
        let trace = "(0).[1] [0x000001000020] 0008:0000000001000020 (unk. ctxt): vmcall ; 0f01c1\n\
                     (0).[2] [0x000000212345] 0008:ffffffff80212345 (unk. ctxt): vmread rax, rcx ; 0f78c8\n\
                     (0).[3] [0x000000212348] 0008:ffffffff80212348 (unk. ctxt): vmresume ; 0f01c3\n\
                     something else\n";
        assert_eq!(
            figures(trace).unwrap(),
            [
                "hypercall-own 2 instructions",
                "hypercall-vmreads 1 instructions",
                "hypercall-vmwrites 0 instructions"
            ]
        );
    }
}
