//! Why an instruction of VT-x failed (SDM volume 3, 31.4).

use core::fmt;

/// The number in the VMCS's error field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstructionError(pub u32);

impl fmt::Display for InstructionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            1 => "VMCALL in VMX root operation",
            2 => "VMCLEAR of an invalid address",
            3 => "VMCLEAR of the VMXON region",
            4 => "VMLAUNCH of a VMCS that is not clear",
            5 => "VMRESUME of a VMCS that was not launched",
            6 => "VMRESUME after VMXOFF",
            7 => "entry with invalid control fields",
            8 => "entry with invalid host state",
            9 => "VMPTRLD of an invalid address",
            10 => "VMPTRLD of the VMXON region",
            11 => "VMPTRLD of a VMCS with another revision",
            12 => "VMREAD or VMWRITE of a field that this CPU does not have",
            13 => "VMWRITE of a read-only field",
            15 => "VMXON in VMX root operation",
            16 => "entry with an invalid executive VMCS pointer",
            17 => "entry with an executive VMCS that was not launched",
            18 => "entry with an executive VMCS pointer that is not VMXON's",
            19 => "VMCALL with a VMCS that is not clear",
            20 => "VMCALL with invalid exit controls",
            22 => "VMCALL with another MSEG revision",
            23 => "VMXOFF under dual monitor treatment",
            24 => "VMCALL with invalid SMM monitor features",
            25 => "entry with invalid execution controls in the executive VMCS",
            26 => "entry while events are blocked by MOV SS",
            28 => "INVEPT or INVVPID with an invalid operand",
            _ => "an error without a name",
        };
        write!(f, "{name} (VM-instruction error {})", self.0)
    }
}
