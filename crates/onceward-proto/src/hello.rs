//! The first exchange: what both sides can do, and on whose behalf.

use onceward_core::{BadInput, Limits, Millis, Namespace, limits};

use crate::code::OutcomeCode;
use crate::cursor::Cursor;
use crate::error::{BadField, DecodeError, Malformed};
use crate::field::decode_millis;
use crate::frame::{BODY_BYTES_MAX_DEFAULT, BODY_BYTES_MAX_FLOOR, FrameWriter};

/// The lowest version that this crate speaks.
pub const VERSION_MIN: u16 = 1;
/// The highest version that this crate speaks.
pub const VERSION_MAX: u16 = 1;

const MAGIC: [u8; 4] = *b"ONWD";
/// Most bytes of a credential; over: bad input.
const CREDENTIAL_BYTES_MAX: usize = 4096;

/// What a client says first. Its layout is the same in every version.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Hello<'a> {
    /// The lowest version the client speaks.
    pub version_min: u16,
    /// The highest version the client speaks.
    pub version_max: u16,
    /// Features the client would use; no bit has a meaning in version 1.
    pub features: u64,
    /// Longest body the client sends or takes, in bytes; at least
    /// [`BODY_BYTES_MAX_FLOOR`](crate::frame::BODY_BYTES_MAX_FLOOR).
    pub body_bytes_max: u32,
    /// The one namespace of this connection.
    pub namespace: Namespace<'a>,
    /// Proof of who the client is; may be empty. At most 4,096 bytes.
    pub credential: &'a [u8],
}

impl core::fmt::Debug for Hello<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // S16: a credential is as secret as a key.
        f.debug_struct("Hello")
            .field("versions", &(self.version_min..=self.version_max))
            .field("features", &self.features)
            .field("body_bytes_max", &self.body_bytes_max)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl<'a> Hello<'a> {
    /// A HELLO of this crate's versions, with the default frame size and no features.
    #[must_use]
    pub const fn new(namespace: Namespace<'a>, credential: &'a [u8]) -> Self {
        Self {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            features: 0,
            body_bytes_max: BODY_BYTES_MAX_DEFAULT,
            namespace,
            credential,
        }
    }

    pub(crate) fn encode(&self, frame: &mut FrameWriter<'_>) {
        // A longer credential is refused by every server; cutting it keeps its length a u16.
        let credential = &self.credential[..self.credential.len().min(CREDENTIAL_BYTES_MAX + 1)];
        frame
            .bytes(&MAGIC)
            .u16(self.version_min)
            .u16(self.version_max)
            .u64(self.features)
            .u32(self.body_bytes_max)
            .size16(self.namespace.as_str().len())
            .size16(credential.len())
            .bytes(self.namespace.as_str().as_bytes())
            .bytes(credential);
    }

    /// Gives the versions first, so that a server can answer a version it does not speak without
    /// understanding the rest.
    pub(crate) fn decode_versions(body: &mut Cursor<'_>) -> Result<(u16, u16), Malformed> {
        if body.array("magic")? != MAGIC {
            return Err(Malformed::Magic);
        }
        Ok((body.u16("lowest version")?, body.u16("highest version")?))
    }

    pub(crate) fn decode_rest(
        (version_min, version_max): (u16, u16),
        mut body: Cursor<'a>,
    ) -> Result<Self, DecodeError> {
        let features = body.u64("features")?;
        let body_bytes_max = body.u32("maximum frame")?;
        let namespace_size = body.u16("namespace length")?;
        let credential_size = usize::from(body.u16("credential length")?);
        let namespace = body.bytes(namespace_size.into(), "namespace")?;
        let credential = body.bytes(credential_size, "credential")?;
        body.skip_options()?;
        if body_bytes_max < BODY_BYTES_MAX_FLOOR {
            let expected = "at least 131072 bytes";
            let got = body_bytes_max.into();
            return Err(BadField::Value { field: "max_frame", got, expected }.into());
        }
        if credential_size > CREDENTIAL_BYTES_MAX {
            let expected = "at most 4096 bytes";
            let got = credential_size as u64;
            return Err(BadField::Value { field: "credential", got, expected }.into());
        }
        let namespace = decode_namespace(namespace)?;
        Ok(Self { version_min, version_max, features, body_bytes_max, namespace, credential })
    }
}

fn decode_namespace(bytes: &[u8]) -> Result<Namespace<'_>, BadInput> {
    if bytes.len() > limits::NAMESPACE_BYTES_MAX {
        return Err(BadInput::NamespaceLength { got: bytes.len() });
    }
    let name = core::str::from_utf8(bytes)
        .map_err(|error| BadInput::NamespaceByte { at: error.valid_up_to() })?;
    Namespace::new(name)
}

/// What a credential allows, as bits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rights(pub u32);

impl Rights {
    /// Begin, complete, abandon, renew, checkpoint, get.
    pub const USE: Self = Self(0b01);
    /// Resolve, forget, list, stats, and the sight of fences in get.
    pub const OPERATE: Self = Self(0b10);
    /// Every right there is.
    pub const ALL: Self = Self(0b11);

    /// Whether all of `rights` are held.
    #[must_use]
    pub const fn contains(self, rights: Self) -> bool {
        self.0 & rights.0 == rights.0
    }
}

/// A server's limits that a client can use: they spare it requests that would be refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerLimits {
    /// Shortest lease.
    pub lease_min: Millis,
    /// Longest lease.
    pub lease_max: Millis,
    /// Longest retention.
    pub retention_max: Millis,
    /// Longest wait; a longer one is cut to it.
    pub wait_max: Millis,
    /// Largest body kept, in bytes.
    pub result_bytes_max: u64,
    /// Requests that may wait at once on one connection; a further one is answered at once.
    pub in_flight_max: u32,
    /// A connection with nothing in flight that is silent for longer may be closed; zero: never.
    pub idle_timeout: Millis,
}

impl ServerLimits {
    /// Those of a store, with those of its server.
    #[must_use]
    pub const fn new(limits: &Limits, in_flight_max: u32, idle_timeout: Millis) -> Self {
        Self {
            lease_min: limits::LEASE_MIN,
            lease_max: limits.lease_max,
            retention_max: limits.retention_max,
            wait_max: limits.wait_max,
            result_bytes_max: limits.result_bytes_max as u64,
            in_flight_max,
            idle_timeout,
        }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self::new(&Limits::DEFAULT, 1_024, Millis::ZERO)
    }
}

/// What a server answers to HELLO: the connection is open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Welcome {
    /// The version that both speak from here on.
    pub version: u16,
    /// The features that both have.
    pub features: u64,
    /// Longest body that either side sends from here on, in bytes.
    pub body_bytes_max: u32,
    /// The server's wall clock, in milliseconds since 1970. For people; nothing is judged by it.
    pub server_time_ms: u64,
    /// Changes whenever the store may have lost its memory of keys.
    pub boot_epoch: u64,
    /// What the credential allows.
    pub rights: Rights,
    /// What the server takes.
    pub limits: ServerLimits,
}

impl Welcome {
    pub(crate) fn encode(&self, frame: &mut FrameWriter<'_>) {
        frame
            .u8(OutcomeCode::Ok.as_u8())
            .u16(self.version)
            .u64(self.features)
            .u32(self.body_bytes_max)
            .u64(self.server_time_ms)
            .u64(self.boot_epoch)
            .u32(self.rights.0)
            .u64(self.limits.lease_min.get())
            .u64(self.limits.lease_max.get())
            .u64(self.limits.retention_max.get())
            .u64(self.limits.wait_max.get())
            .u64(self.limits.result_bytes_max)
            .u32(self.limits.in_flight_max)
            .u64(self.limits.idle_timeout.get());
    }

    /// Reads what follows the code byte.
    pub(crate) fn decode(mut body: Cursor<'_>) -> Result<Self, Malformed> {
        let welcome = Self {
            version: body.u16("version")?,
            features: body.u64("features")?,
            body_bytes_max: body.u32("maximum frame")?,
            server_time_ms: body.u64("server time")?,
            boot_epoch: body.u64("boot epoch")?,
            rights: Rights(body.u32("rights")?),
            limits: ServerLimits {
                lease_min: decode_millis(&mut body, "lease_min")?,
                lease_max: decode_millis(&mut body, "lease_max")?,
                retention_max: decode_millis(&mut body, "retention_max")?,
                wait_max: decode_millis(&mut body, "wait_max")?,
                result_bytes_max: body.u64("result_bytes_max")?,
                in_flight_max: body.u32("in_flight_max")?,
                idle_timeout: decode_millis(&mut body, "idle_timeout")?,
            },
        };
        body.skip_options()?;
        Ok(welcome)
    }
}
