//! The one tool of the workspace.
fn main() {}
