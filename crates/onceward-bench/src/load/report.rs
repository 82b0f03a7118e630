//! What a [`Document`] says, for people and for other programs. Nothing here measures, opens a
//! file or knows the terminal: text in, text out.
//!
//! | function | gives |
//! |---|---|
//! | [`write`] | the document as JSON |
//! | [`read`] | a document from JSON; a foreign or newer form is refused |
//! | [`table`] | tables for the terminal |
//!
//! Figures are the median over the runs that can be used, with the least and the greatest. A run
//! that is invalid or failed is named with its reason and enters no figure.
//!
//! [`Document`]: super::record::Document

mod block;
mod form;
mod grid;
mod measure;
mod number;
mod spread;
mod table;

pub use form::{ReadError, read, write};
pub use spread::Spread;
pub use table::table;
