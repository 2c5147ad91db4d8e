//! One lock over several independent servers that have the module loaded.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod agreement;
mod kind;

pub use kind::Kind;
