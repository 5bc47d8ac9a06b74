//! Dead letters in a stream of the journal, so that the consumers of a group and whoever shows their letters need
//! nothing but the journal in common.
//!
//! The stream is the truth; a process that looks at letters has a view of it, any other
//! [`weir_store::DeadLetterStore`], that it brings up to date before it answers. What stands in the stream is described in [`note`].

pub mod note;
mod stream;

pub use stream::{DeadLetterStream, OpenError, OpenView, Parts};
