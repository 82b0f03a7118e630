//! Which shape a stored value has: the tag that is stored with it.

use crate::codec::{CODEC_ID_BYTES_MAX, Codec};

/// A type whose values are stored as results, under a tag that names their shape.
///
/// The tag is stored with the bytes, and a reader of another tag gets an error that names both,
/// never a value misread. Change the tag whenever an older reader, or a newer one, would take the
/// bytes for something else, and list in `READS` the older tags whose bytes still decode:
///
/// ```
/// use onceward_client::Schema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Order {
///     id: u64,
///     // Called `total` under the tag `order/1`.
///     #[serde(alias = "total")]
///     total_cents: u64,
///     // Absent there.
///     #[serde(default)]
///     currency: Option<String>,
/// }
///
/// impl Schema for Order {
///     const TAG: &'static str = "order/2";
///     const READS: &'static [&'static str] = &["order/1"];
/// }
/// ```
///
/// | change of the struct | with field names (`json`, `messagepack`) | by position (`bincode`) |
/// |---|---|---|
/// | a field more, with `#[serde(default)]` | reads on: keep the tag | new tag, old one not in `READS` |
/// | a field less | reads on, unless `deny_unknown_fields`: keep the tag | new tag, old one not in `READS` |
/// | a field renamed | `#[serde(alias)]`, and keep the tag or list the old one | reads on |
/// | fields reordered | reads on | new tag, old one not in `READS` |
/// | a field's unit or meaning | new tag, old one not in `READS` | the same |
///
/// `bincode` has no names: the same tag over another shape may give a wrong value without an error.
/// What an old tag holds is read with the old type: keep it under its tag, and
/// [`Done::decode`](crate::Done::decode) with it.
///
/// A tag that breaks its limit does not compile:
///
/// ```compile_fail
/// # use onceward_client::{Client, Fingerprint, Key, PayloadFingerprint as _, Schema};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct Order;
///
/// impl Schema for Order {
///     const TAG: &'static str = "the first order"; // Spaces are not visible.
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (client, key) = (Client::open("mem://")?, Key::new("k")?.in_scope("")?);
/// client
///     .execute_typed(key, Fingerprint::of("payload"), |_| async { Ok::<_, std::fmt::Error>(Order) })
///     .await?;
/// # Ok(())
/// # }
/// ```
///
/// A list, an optional value or another crate's type gets a tag as the one field of a struct of your
/// own, with `#[serde(transparent)]` if its encoding is to stay as it is.
///
/// `()`, `bool`, `String` and the integers have a tag, their name (`unit` for `()`), for results
/// that need no more. Prefer a type of your own.
pub trait Schema {
    /// 1 to [`SCHEMA_TAG_BYTES_MAX`] visible ASCII characters, checked by the compiler where the
    /// type is used: a name and a version, as in `order/2`.
    const TAG: &'static str;

    /// Older tags whose bytes this type still decodes, to the same meaning. [`Self::TAG`] need not
    /// be among them.
    const READS: &'static [&'static str] = &[];
}

/// Most bytes of a schema's tag; over: the code that uses it does not compile. With the codec's
/// id and both names it is far below the 1 KiB of metadata that a result keeps without its body
/// (S12).
pub const SCHEMA_TAG_BYTES_MAX: usize = 128;

macro_rules! plain {
    ($($shape:ty, $tag:literal;)+) => {$(
        impl Schema for $shape {
            const TAG: &'static str = $tag;
        }
    )+};
}

plain! {
    (), "unit";
    bool, "bool";
    String, "String";
    u8, "u8"; u16, "u16"; u32, "u32"; u64, "u64"; u128, "u128";
    i8, "i8"; i16, "i16"; i32, "i32"; i64, "i64"; i128, "i128";
}

/// Whether `text` may be stored as a codec's id or a schema's tag.
pub(crate) const fn is_label(text: &[u8], bytes_max: usize) -> bool {
    if text.is_empty() || text.len() > bytes_max {
        return false;
    }
    let mut at = 0;
    while at < text.len() {
        if !text[at].is_ascii_graphic() {
            return false;
        }
        at += 1;
    }
    true
}

/// Codec id and schema tag of a value, checked when the program is compiled.
pub(crate) struct Labels<T, C>(std::marker::PhantomData<(T, C)>);

impl<T: Schema, C: Codec> Labels<T, C> {
    const CHECKED: () = {
        assert!(
            is_label(C::ID.as_bytes(), CODEC_ID_BYTES_MAX),
            "Codec::ID is not 1 to 64 visible ASCII characters"
        );
        assert!(
            is_label(T::TAG.as_bytes(), SCHEMA_TAG_BYTES_MAX),
            "Schema::TAG is not 1 to 128 visible ASCII characters"
        );
    };

    pub(crate) const fn codec_id() -> &'static str {
        let () = Self::CHECKED;
        C::ID
    }

    pub(crate) const fn tag() -> &'static str {
        let () = Self::CHECKED;
        T::TAG
    }

    /// Whether a value stored under `tag` is one of `T`.
    pub(crate) fn reads(tag: &[u8]) -> bool {
        tag == Self::tag().as_bytes() || T::READS.iter().any(|older| tag == older.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Json;

    struct Order;

    impl Schema for Order {
        const TAG: &'static str = "order/3";
        const READS: &'static [&'static str] = &["order/2"];
    }

    #[test]
    fn a_label_is_short_and_visible() {
        let long = "x".repeat(SCHEMA_TAG_BYTES_MAX + 1);
        let cases = [
            ("order/1", true),
            ("", false),
            ("order 1", false),
            ("order\n", false),
            ("größe", false),
            (&long[1..], true),
            (&long, false),
        ];
        for (text, good) in cases {
            assert_eq!(is_label(text.as_bytes(), SCHEMA_TAG_BYTES_MAX), good, "{text:?}");
        }
    }

    #[test]
    fn a_type_reads_its_own_tag_and_those_it_lists() {
        for (tag, reads) in [
            ("order/3", true),
            ("order/2", true),
            ("order/1", false),
            ("", false),
            ("order", false),
        ] {
            assert_eq!(Labels::<Order, Json>::reads(tag.as_bytes()), reads, "{tag}");
        }
        assert!(Labels::<(), Json>::reads(b"unit"));
    }
}
