//! The policy from outside: tables, vectors, properties, and the document it shares them with.

mod document;
mod fuzz;
mod key;
mod oracle;
mod structured_fields;
