//! The policy from outside: tables, vectors, properties, and the document it shares them with.

mod document;
