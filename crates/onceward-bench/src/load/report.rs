//! What a [`Document`] says, for people and for other programs. Nothing here measures, opens a
//! file or knows the terminal: text in, text out.
//!
//! | function | gives |
//! |---|---|
//! | [`write()`]`(&Document) -> Result<String, _>` | the document as JSON |
//! | [`read`]`(&str) -> Result<Document, ReadError>` | a document from JSON; a foreign or newer form is refused |
//! | [`table`]`(&Document, width: Option<u16>) -> String` | tables for the terminal; `None` where there is none |
//! | [`compare`]`(before, after) -> Comparison` | what changed; [`Comparison::table`]`(width)` for the terminal |
//! | [`html`]`(&Document, Option<&Comparison>) -> String` | one page of HTML with everything in it |
//! | [`hdr_logs`]`(&Document) -> Result<Vec<(String, String)>, HdrLogError>` | name and text of an HdrHistogram interval log for each series |
//! | [`histogram`]`(&Latency) -> Result<Option<Histogram>, HistogramError>` | a distribution's whole histogram |
//!
//! Figures are the median over the runs that can be used, with the least and the greatest. A run
//! that is invalid or failed is named with its reason and enters no figure.
//!
//! [`Document`]: super::record::Document

mod block;
mod bounds;
mod comparison;
mod form;
mod grid;
mod hdr_log;
mod histogram;
mod measure;
mod number;
mod page;
mod spread;
mod table;

pub use comparison::{Comparison, compare};
pub use form::{ReadError, read, write};
pub use hdr_log::{HdrLogError, hdr_logs};
pub use histogram::{HistogramError, histogram};
pub use page::html;
pub use spread::Spread;
pub use table::table;
