//! Everything that needs `unsafe`: thin wrappers of the server's module API, each with the reason why it is
//! sound. Nothing here knows the rules of a lock.
//!
//! Most reasons rest on two facts. The server runs modules on its main thread only, except a type's `free`
//! (see `datatype.rs`). And the pointers that it passes to a callback stay valid until that callback returns.

pub mod api;
pub mod arguments;
pub mod blocked;
mod call;
pub mod clock;
pub mod command_info;
pub mod context;
pub mod datatype;
pub mod doc;
pub mod entry;
pub mod events;
pub mod host;
pub mod info;
pub mod key;
pub mod load;
mod log;
pub mod main_thread;
pub mod permission;
pub mod replicate;
pub mod reply;
pub mod value;
pub mod wakeup;
