//! Who the hypervisor is: `xen_version`.

use hypercall_abi::version::{
    CAPABILITIES_INFO_LEN, COMMANDLINE_LEN, CompileInfo, EXTRAVERSION_LEN, OP_CAPABILITIES, OP_COMMANDLINE,
    OP_COMPILE_INFO, OP_EXTRAVERSION, OP_VERSION,
};

use super::error::XenError;
use super::hypercall::Xen;

/// The hypervisor's account of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Major version of the interface.
    pub major: u32,
    /// Minor version of the interface.
    pub minor: u32,
    /// What follows the numbers.
    pub extra: String,
    /// The compiler that built it.
    pub compiler: String,
    /// When it was built.
    pub compile_date: String,
    /// The kinds of guest that it runs.
    pub capabilities: String,
    /// Its command line.
    pub command_line: String,
}

/// A zero-terminated text.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

impl Xen {
    /// Asks the hypervisor who it is.
    ///
    /// # Errors
    /// As the hypervisor says.
    pub fn version(&self) -> Result<Version, XenError> {
        const CALL: &str = "xen_version";
        let number = self.version_op(CALL, OP_VERSION, &mut 0_u32)?;
        let mut extra = [0_u8; EXTRAVERSION_LEN];
        self.version_op(CALL, OP_EXTRAVERSION, &mut extra)?;
        let mut capabilities = [0_u8; CAPABILITIES_INFO_LEN];
        self.version_op(CALL, OP_CAPABILITIES, &mut capabilities)?;
        let mut command_line = [0_u8; COMMANDLINE_LEN];
        self.version_op(CALL, OP_COMMANDLINE, &mut command_line)?;
        let mut built = CompileInfo::default();
        self.version_op(CALL, OP_COMPILE_INFO, &mut built)?;
        Ok(Version {
            major: number >> 16,
            minor: number & 0xffff,
            extra: text(&extra),
            compiler: text(&built.compiler),
            compile_date: text(&built.compile_date),
            capabilities: text(&capabilities),
            command_line: text(&command_line),
        })
    }
}
