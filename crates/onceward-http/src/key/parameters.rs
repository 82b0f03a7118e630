//! Parameters behind a Structured-Fields item (RFC 9651 §4.2.3.2): checked, and not used.

/// Reads parameters to the end of `text`.
///
/// # Errors
/// The offset at which something stands that is no parameter.
pub(super) fn check(text: &[u8]) -> Result<(), usize> {
    let mut reader = Reader { text, at: 0 };
    while reader.next_is(b';') {
        reader.at += 1;
        while reader.next_is(b' ') {
            reader.at += 1;
        }
        reader.key()?;
        if reader.next_is(b'=') {
            reader.at += 1;
            reader.bare_item()?;
        }
    }
    if reader.at == text.len() { Ok(()) } else { Err(reader.at) }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next_is(&self, byte: u8) -> bool {
        self.peek() == Some(byte)
    }

    fn expect(&mut self, belongs: impl Fn(u8) -> bool) -> Result<(), usize> {
        if !self.peek().is_some_and(belongs) {
            return Err(self.at);
        }
        self.at += 1;
        Ok(())
    }

    /// The longest run of bytes that belong.
    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let size = rest.iter().position(|byte| !belongs(*byte)).unwrap_or(rest.len());
        self.at += size;
        &rest[..size]
    }

    fn key(&mut self) -> Result<(), usize> {
        self.expect(|byte| byte.is_ascii_lowercase() || byte == b'*')?;
        self.run(|byte| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || matches!(byte, b'_' | b'-' | b'.' | b'*')
        });
        Ok(())
    }

    fn bare_item(&mut self) -> Result<(), usize> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| ()),
            Some(b'@') => {
                let from = self.at;
                self.at += 1;
                if self.number()? { Ok(()) } else { Err(from) }
            }
            Some(b'"') => self.string(),
            Some(b'*' | b'A'..=b'Z' | b'a'..=b'z') => {
                self.run(is_token);
                Ok(())
            }
            Some(b':') => self.byte_sequence(),
            Some(b'?') => {
                self.at += 1;
                self.expect(|byte| matches!(byte, b'0' | b'1'))
            }
            Some(b'%') => self.display_string(),
            Some(_) | None => Err(self.at),
        }
    }

    /// An integer of up to 15 digits, which is true, or a decimal of up to 12 and 3.
    fn number(&mut self) -> Result<bool, usize> {
        let from = self.at;
        if self.next_is(b'-') {
            self.at += 1;
        }
        let whole = self.run(|byte| byte.is_ascii_digit()).len();
        if !self.next_is(b'.') {
            return if (1..=15).contains(&whole) { Ok(true) } else { Err(from) };
        }
        self.at += 1;
        let fraction = self.run(|byte| byte.is_ascii_digit()).len();
        let fits = (1..=12).contains(&whole) && (1..=3).contains(&fraction);
        if fits { Ok(false) } else { Err(from) }
    }

    fn string(&mut self) -> Result<(), usize> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.expect(|byte| matches!(byte, b'"' | b'\\'))?;
                }
                _ => self.expect(|byte| matches!(byte, 0x20..=0x7e))?,
            }
        }
    }

    /// Base64 between colons; padding may be left out.
    fn byte_sequence(&mut self) -> Result<(), usize> {
        let from = self.at;
        self.at += 1;
        let digits =
            self.run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')).len();
        let padding = self.run(|byte| byte == b'=').len();
        self.expect(|byte| byte == b':')?;
        let fits = match digits % 4 {
            0 => padding == 0,
            2 => padding <= 2,
            3 => padding <= 1,
            _ => false,
        };
        if fits { Ok(()) } else { Err(from) }
    }

    /// UTF-8 in printable ASCII, other bytes as `%` and two lower-case digits.
    fn display_string(&mut self) -> Result<(), usize> {
        let from = self.at;
        self.at += 1;
        self.expect(|byte| byte == b'"')?;
        let mut decoded = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return std::str::from_utf8(&decoded).map(|_| ()).map_err(|_| from);
                }
                Some(b'%') => {
                    self.at += 1;
                    let (high, low) = (self.hex_digit()?, self.hex_digit()?);
                    decoded.push(high << 4 | low);
                }
                byte => {
                    self.expect(|byte| matches!(byte, 0x20..=0x7e))?;
                    decoded.extend(byte);
                }
            }
        }
    }

    fn hex_digit(&mut self) -> Result<u8, usize> {
        let digit = match self.peek() {
            Some(byte @ b'0'..=b'9') => byte - b'0',
            Some(byte @ b'a'..=b'f') => byte - b'a' + 10,
            _ => return Err(self.at),
        };
        self.at += 1;
        Ok(digit)
    }
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
                | b':'
                | b'/'
        )
}
