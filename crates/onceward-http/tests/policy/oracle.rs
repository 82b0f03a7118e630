//! H1 once more, over another crate's reader of structured fields.

use sfv::{BareItem, Item, Parser};

/// The key that a header's value holds.
pub(crate) fn key(value: &[u8]) -> Option<Vec<u8>> {
    let bare: Vec<u8> = match std::str::from_utf8(value) {
        Ok(text) => text.trim_matches(' ').into(),
        Err(_) => return None,
    };
    let key = match Parser::new(value).parse::<Item>() {
        Ok(Item { bare_item: BareItem::String(string), .. }) => string.as_str().as_bytes().into(),
        _ if bare.iter().all(|byte| ALPHABET.contains(byte)) => bare,
        _ => return None,
    };
    (1..=255).contains(&key.len()).then_some(key)
}

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:~+/=-";
