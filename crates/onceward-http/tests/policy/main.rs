//! The policy from outside: tables, vectors, properties, and the document it shares them with.

mod audit;
mod cells;
mod document;
mod fuzz;
mod key;
mod oracle;
mod problem;
mod replay;
mod request;
mod service;
mod structured_fields;
mod vectors;
