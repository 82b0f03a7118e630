//! What a URL names: an embedded store, a TCP address or a Unix socket, and one namespace.

use std::path::PathBuf;

use onceward_core::Namespace;
use url::{Host, Url};

use crate::error::OpenError;

/// The port of `onceward://` URLs that name none.
pub const PORT_DEFAULT: u16 = 7977;

/// A parsed URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) namespace: String,
}

/// Where the store is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Address {
    Memory,
    Tcp { host: String, port: u16 },
    Unix { path: PathBuf },
}

pub(crate) fn parse(text: &str) -> Result<Target, OpenError> {
    parse_where(text, cfg!(unix))
}

/// The platform has Unix sockets, as this client reaches them, or has not.
fn parse_where(text: &str, has_unix_sockets: bool) -> Result<Target, OpenError> {
    let url =
        Url::parse(text).map_err(|error| OpenError::NotAUrl { message: error.to_string() })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(OpenError::Credential);
    }
    if url.fragment().is_some() {
        return Err(part("fragment", "leave out everything from # on"));
    }
    match url.scheme() {
        "mem" => memory(&url),
        "onceward" => tcp(&url),
        "onceward+unix" if !has_unix_sockets => Err(OpenError::UnixSockets),
        "onceward+unix" => unix(&url),
        other => Err(OpenError::Scheme { got: other.to_owned() }),
    }
}

const fn part(part: &'static str, accepted: &'static str) -> OpenError {
    OpenError::Part { part, accepted }
}

fn target(address: Address, namespace: &str) -> Result<Target, OpenError> {
    let namespace = Namespace::new(namespace).map_err(OpenError::Namespace)?;
    Ok(Target { address, namespace: namespace.as_str().to_owned() })
}

fn memory(url: &Url) -> Result<Target, OpenError> {
    const ACCEPTED: &str = "write mem:// or mem://NAMESPACE and nothing after it";
    if url.port().is_some() {
        return Err(part("port", ACCEPTED));
    }
    if !matches!(url.path(), "" | "/") {
        return Err(part("path", ACCEPTED));
    }
    if url.query().is_some() {
        return Err(part("query", ACCEPTED));
    }
    let namespace = url.host_str().filter(|host| !host.is_empty());
    target(Address::Memory, namespace.unwrap_or(Namespace::DEFAULT.as_str()))
}

fn tcp(url: &Url) -> Result<Target, OpenError> {
    if url.query().is_some() {
        return Err(part("query", "name the namespace as the path: onceward://HOST/NAMESPACE"));
    }
    let host = match url.host() {
        Some(Host::Domain(host)) if !host.is_empty() => host.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(Host::Domain(_)) | None => {
            return Err(part("host", "name a host or an address: onceward://HOST[:PORT]"));
        }
    };
    let port = url.port().unwrap_or(PORT_DEFAULT);
    if port == 0 {
        return Err(part("port", "give 1 to 65535, or none for 7977"));
    }
    let path = url.path().strip_prefix('/').unwrap_or(url.path());
    if path.contains('/') {
        return Err(part("path", "one namespace, without further slashes"));
    }
    let namespace = if path.is_empty() { Namespace::DEFAULT.as_str() } else { path };
    target(Address::Tcp { host, port }, namespace)
}

fn unix(url: &Url) -> Result<Target, OpenError> {
    const ACCEPTED: &str = "write three slashes before the path: onceward+unix:///PATH";
    if url.host_str().is_some_and(|host| !host.is_empty()) {
        return Err(part("host", ACCEPTED));
    }
    let path = percent_decoded(url.path())
        .filter(|path| path.len() > 1 && path.starts_with('/'))
        .ok_or(part("path", "the socket's absolute path, any byte as %XX of UTF-8"))?;
    let mut namespace = None;
    for (name, value) in url.query_pairs() {
        if name != "namespace" || namespace.is_some() {
            return Err(part("query", "?namespace=NAME, once, and nothing else"));
        }
        namespace = Some(value.into_owned());
    }
    let namespace = namespace.as_deref().unwrap_or(Namespace::DEFAULT.as_str());
    target(Address::Unix { path: path.into() }, namespace)
}

/// `None` if a `%` is not followed by two digits or the bytes are no UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (&[high, low], after) = rest.split_first_chunk()?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push((digit(high)? * 16 + digit(low)?) as u8);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use onceward_core::BadInput;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.into(), port }
    }

    fn unix(path: &str) -> Address {
        Address::Unix { path: path.into() }
    }

    #[test]
    fn what_is_accepted() {
        let cases = [
            ("mem://", Address::Memory, "default"),
            ("mem://orders", Address::Memory, "orders"),
            ("onceward://localhost", tcp("localhost", 7977), "default"),
            ("onceward://localhost/", tcp("localhost", 7977), "default"),
            ("onceward://127.0.0.1:80/orders", tcp("127.0.0.1", 80), "orders"),
            ("onceward://[::1]:9/orders.v2_eu-1", tcp("::1", 9), "orders.v2_eu-1"),
            ("onceward+unix:///run/o.sock", unix("/run/o.sock"), "default"),
            ("onceward+unix:///run/a%20b?namespace=orders", unix("/run/a b"), "orders"),
        ];
        for (text, address, namespace) in cases {
            assert_eq!(parse(text), Ok(Target { address, namespace: namespace.into() }), "{text}");
        }
    }

    #[test]
    fn what_is_refused_names_the_part() {
        let cases = [
            ("", "not a URL"),
            ("localhost:7977", "scheme is localhost"),
            ("redis://localhost", "scheme is redis"),
            ("onceward://user@localhost", "remove it, and hand the credential"),
            ("onceward://user:secret@localhost", "remove it, and hand the credential"),
            ("onceward://:secret@localhost", "remove it, and hand the credential"),
            ("onceward:///orders", "URL host"),
            ("onceward:orders", "URL host"),
            ("onceward://localhost:0", "URL port"),
            ("onceward://localhost:65536", "not a URL"),
            ("onceward://localhost/a/b", "URL path"),
            ("onceward://localhost/Orders", "namespace has a byte outside"),
            ("onceward://localhost?namespace=a", "URL query"),
            ("onceward://localhost/a#b", "URL fragment"),
            ("onceward+unix://run/o.sock", "URL host"),
            ("onceward+unix://", "URL path"),
            ("onceward+unix:///", "URL path"),
            ("onceward+unix:///a%zz", "URL path"),
            ("onceward+unix:///a?name=b", "URL query"),
            ("onceward+unix:///a?namespace=b&namespace=c", "URL query"),
            ("onceward+unix:///a?namespace=", "namespace has 0 bytes"),
            ("mem://orders/x", "URL path"),
            ("mem://orders:1", "URL port"),
            ("mem://?namespace=a", "URL query"),
        ];
        for (text, want) in cases {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(want), "{text}: {error}");
            assert!(!error.contains("secret"), "S16: {error}");
        }
    }

    #[test]
    fn a_platform_without_unix_sockets_says_so_when_opened() {
        let text = "onceward+unix:///run/o.sock?namespace=orders";
        assert_eq!(parse_where(text, false), Err(OpenError::UnixSockets));
        assert!(OpenError::UnixSockets.to_string().contains("onceward://HOST"));
        for text in ["mem://orders", "onceward://localhost"] {
            assert_eq!(parse_where(text, false), parse_where(text, true), "{text}");
        }
        assert_eq!(parse(text).is_ok(), cfg!(unix), "which of them this platform is");
    }

    #[test]
    fn a_namespace_has_at_most_64_bytes() {
        let text = format!("onceward://h/{}", "n".repeat(65));
        let want = OpenError::Namespace(BadInput::NamespaceLength { got: 65 });
        assert_eq!(parse(&text), Err(want));
    }
}
