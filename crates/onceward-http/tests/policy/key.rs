//! The header, cell by cell (H1).

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue};
use onceward_http::{IDEMPOTENCY_KEY, KeyHeaderError, key_of};

pub(crate) fn headers(values: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).expect("a header's value"));
    }
    headers
}

#[test]
fn each_form_of_the_header_is_a_key_or_says_what_is_wrong_h1() {
    use KeyHeaderError::{Byte, Empty, Escape, Lines, Parameters, TooLong, Unbalanced};

    let long = |size: usize, quote: &str| [quote, &"k".repeat(size), quote].concat().into_bytes();
    let escaped = |size: usize| [r#"""#, &r#"\""#.repeat(size), r#"""#].concat().into_bytes();
    type Case<'a> = (&'a str, &'a [&'a [u8]], Result<Option<&'a [u8]>, KeyHeaderError>);
    #[rustfmt::skip]
    let cases: [Case<'_>; 48] = [
        ("no header",                    &[],                          Ok(None)),
        ("bare",                         &[b"abc"],                    Ok(Some(b"abc"))),
        ("quoted is the same key",       &[br#""abc""#],               Ok(Some(b"abc"))),
        ("every bare byte",              &[b"Az09._:~+/=-"],           Ok(Some(b"Az09._:~+/=-"))),
        ("spaces around",                &[b"  abc  "],                Ok(Some(b"abc"))),
        ("spaces around a string",       &[b"  \"abc\"  "],            Ok(Some(b"abc"))),
        ("spaces inside a string",       &[b"\" a c \""],              Ok(Some(b" a c "))),
        ("both escapes",                 &[br#""a\"b\\c""#],           Ok(Some(br#"a"b\c"#))),
        ("first and last printable",     &[b"\" ~\""],                 Ok(Some(b" ~"))),
        ("a comma inside a string",      &[b"\"a, b\""],               Ok(Some(b"a, b"))),
        ("parameters are ignored",       &[br#""abc";a;b=1;c="d";e=f"#], Ok(Some(b"abc"))),
        ("a space before a parameter",   &[br#""abc";  a=1"#],         Ok(Some(b"abc"))),
        ("a parameter twice",            &[br#""abc";a=1;a=2"#],       Ok(Some(b"abc"))),
        ("every kind of parameter",      &[br#""k";a=-1.5;b=?1;c=:YQ==:;d=@7;e=%"%c3%a9";*f=*x/y"#], Ok(Some(b"k"))),
        ("a parameter with a quote",     &[br#""abc";a="\"""#],        Ok(Some(b"abc"))),
        ("two lines",                    &[b"abc", b"abc"],            Err(Lines { got: 2 })),
        ("three lines, one empty",       &[b"abc", b"", b"x"],         Err(Lines { got: 3 })),
        ("empty",                        &[b""],                       Err(Empty)),
        ("spaces alone",                 &[b"   "],                    Err(Empty)),
        ("an empty string",              &[b"\"\""],                   Err(Empty)),
        ("an empty string with more",    &[b"\"\";a=1"],               Err(Empty)),
        ("a comma list",                 &[b"abc, def"],               Err(Byte { at: 3 })),
        ("a comma list of strings",      &[b"\"a\", \"b\""],           Err(Parameters { at: 3 })),
        ("a space inside",               &[b"a b"],                    Err(Byte { at: 1 })),
        ("a quote inside",               &[b"a\"b"],                   Err(Byte { at: 1 })),
        ("bare takes no parameters",     &[b"abc;a=1"],                Err(Byte { at: 3 })),
        ("single quotes",                &[b"'abc'"],                  Err(Byte { at: 0 })),
        ("a byte sequence",              &[b":YWJj:x,"],               Err(Byte { at: 7 })),
        ("a tab in front",               &[b"\tabc"],                  Err(Byte { at: 0 })),
        ("a tab in a string",            &[b"\"a\tb\""],               Err(Byte { at: 2 })),
        ("not ASCII",                    &["ü".as_bytes()],            Err(Byte { at: 0 })),
        ("not ASCII in a string",        &["\"aü\"".as_bytes()],       Err(Byte { at: 2 })),
        ("neither ASCII nor UTF-8",      &[b"\"\xff\""],               Err(Byte { at: 1 })),
        ("no closing quote",             &[b"\"abc"],                  Err(Unbalanced)),
        ("a quote alone",                &[b"\""],                     Err(Unbalanced)),
        ("the closing quote is escaped", &[br#""abc\""#],              Err(Unbalanced)),
        ("it ends in a backslash",       &[br#""abc\"#],               Err(Unbalanced)),
        ("another escape",               &[br#""a\bc""#],              Err(Escape { at: 2 })),
        ("after spaces, an escape",      &[br#"  "a\bc""#],            Err(Escape { at: 4 })),
        ("text behind the string",       &[br#""abc"d"#],              Err(Parameters { at: 5 })),
        ("a space before the semicolon", &[br#""abc" ;a"#],            Err(Parameters { at: 5 })),
        ("no parameter's name",          &[br#""abc";"#],              Err(Parameters { at: 6 })),
        ("an upper-case name",           &[br#""abc";A=1"#],           Err(Parameters { at: 6 })),
        ("no parameter's value",         &[br#""abc";a="#],            Err(Parameters { at: 8 })),
        ("255 bytes",                    &[&long(255, "")],            Ok(Some(&[b'k'; 255]))),
        ("256 bytes",                    &[&long(256, "")],            Err(TooLong { got: 256 })),
        ("256 bytes in quotes",          &[&long(256, "\"")],          Err(TooLong { got: 256 })),
        ("255 escapes are 255 bytes",    &[&escaped(255)],             Ok(Some(&[b'"'; 255]))),
    ];
    for (why, values, want) in cases {
        let headers = headers(values);
        let got = key_of(&headers).map(|key| key.map(|key| key.into_owned().into_bytes()));
        assert_eq!(got, want.map(|key| key.map(<[u8]>::to_vec)), "{why}");
    }
}

#[test]
fn parameters_are_read_as_rfc_9651_has_them_h1() {
    #[rustfmt::skip]
    let cases = [
        ("15 digits",                   ";a=123456789012345", true),
        ("16",                          ";a=1234567890123456", false),
        ("12 digits and 3",             ";a=-123456789012.345", true),
        ("13 before the point",         ";a=1234567890123.4", false),
        ("4 behind it",                 ";a=1.2345", false),
        ("none behind it",              ";a=1.", false),
        ("none before it",              ";a=.5", false),
        ("a sign alone",                ";a=-", false),
        ("a date",                      ";a=@-1659578233", true),
        ("a date is whole",             ";a=@1.5", false),
        ("a date of no digits",         ";a=@", false),
        ("true",                        ";a=?1", true),
        ("neither true nor false",      ";a=?2", false),
        ("bytes",                       ";a=:YWJj:", true),
        ("no bytes",                    ";a=::", true),
        ("padding left out",            ";a=:YWI:", true),
        ("padding in part",             ";a=:YQ=:", true),
        ("bytes cut short",             ";a=:YWJjZ:", false),
        ("padding alone",               ";a=:=:", false),
        ("padding in the middle",       ";a=:YQ=jYQ==:", false),
        ("no closing colon",            ";a=:YQ==", false),
        ("another alphabet",            ";a=:YW_j:", false),
        ("a token",                     ";a=*foo/bar:b!#$%&'+-.^_`|~", true),
        ("a token with a quote",        ";a=foo\"", false),
        ("a string",                    ";a=\"b\\\"\\\\\"", true),
        ("a string with another escape", ";a=\"\\b\"", false),
        ("a string without an end",     ";a=\"b", false),
        ("a display string",            ";a=%\"f%c3%bc\"", true),
        ("upper-case escapes",          ";a=%\"f%C3%BC\"", false),
        ("half a character",            ";a=%\"f%c3\"", false),
        ("an escape cut short",         ";a=%\"f%c\"", false),
        ("a display string's end",      ";a=%\"f", false),
        ("no quote behind the percent", ";a=%f", false),
        ("an inner list",               ";a=(1)", false),
        ("spaces behind the semicolon", ";   a", true),
        ("a tab behind it",             ";\ta", false),
        ("a space around the equals",   ";a =1", false),
        ("a digit in front of a name",  ";1a", false),
        ("every byte of a name",        ";*a-b_c.d*1", true),
    ];
    for (why, parameters, good) in cases {
        let value = ["\"k\"", parameters].concat();
        let headers = headers(&[value.as_bytes()]);
        let got = key_of(&headers);
        assert_eq!(got.is_ok(), good, "{why}: {got:?}");
        let sought = Some(b"k".to_vec()).filter(|_| good);
        assert_eq!(crate::oracle::key(value.as_bytes()), sought, "{why}: the other reader");
    }
}

#[test]
fn a_key_is_copied_only_to_undo_escapes() {
    for (value, borrowed) in [("abc", true), ("\"abc\";a=1", true), (r#""a\"c""#, false)] {
        let headers = headers(&[value.as_bytes()]);
        let key = key_of(&headers).unwrap().unwrap();
        assert_eq!(matches!(key, Cow::Borrowed(_)), borrowed, "{value}");
    }
}

#[test]
fn errors_show_no_byte_of_the_key_s16() {
    for value in [r#"zebra, "#, r#""zebra"#, r#""zebra\x""#, r#""zebra"zebra"#, "zebra\tzebra"] {
        let error = key_of(&headers(&[value.as_bytes()])).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("zebra") && !shown.contains("ebr"), "{value}: {shown}");
        assert!(error.to_string().starts_with("header Idempotency-Key "), "{error}");
    }
}
