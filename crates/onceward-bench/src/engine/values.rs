//! The bodies that are stored.

use std::path::Path;

use super::system::Fault;
use crate::workload::mix;

/// Least size: a stamp at each end.
const SIZE_MIN: usize = 16;
/// One replay in this many is compared byte for byte, the others by their ends and length: so that
/// checking costs little, and the same for every system.
const COMPARED_EVERY: u64 = 64;

/// Bodies by number: of one size, each with a stamp of its own at both ends, or recorded ones.
#[derive(Clone, Debug)]
pub enum Values {
    /// All of this many bytes.
    Sized(Vec<u8>),
    /// From so many to so many bytes, by number.
    Ranged(Vec<u8>, usize),
    /// Recorded bodies, in turn.
    Recorded(Vec<Vec<u8>>),
}

impl Values {
    /// Bodies of `size` bytes.
    ///
    /// # Errors
    /// The size is under 16 bytes.
    pub fn sized(size: usize) -> Result<Self, Fault> {
        if size < SIZE_MIN {
            return Err(format!("values of {size} bytes: give at least {SIZE_MIN}").into());
        }
        Ok(Self::Sized(vec![b'v'; size]))
    }

    /// Bodies of `least` to `most` bytes, each size as likely as any other.
    ///
    /// # Errors
    /// The least is under 16 bytes, or over the most.
    pub fn ranged(least: usize, most: usize) -> Result<Self, Fault> {
        if least < SIZE_MIN || most < least {
            return Err(format!(
                "values of {least}..{most} bytes: give at least {SIZE_MIN}, then as many or more"
            )
            .into());
        }
        Ok(Self::Ranged(vec![b'v'; most], least))
    }

    /// The answers' bodies in a file of recorded calls, one JSON object a line.
    ///
    /// # Errors
    /// The file cannot be read or holds no body.
    pub fn recorded(path: &Path) -> Result<Self, Fault> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let mut bodies = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let call: serde_json::Value = serde_json::from_str(line)?;
            let body = call["response_body"].as_str().ok_or("a call without response_body")?;
            bodies.push(body.as_bytes().to_vec());
        }
        if bodies.is_empty() {
            return Err(format!("{}: no recorded call", path.display()).into());
        }
        Ok(Self::Recorded(bodies))
    }

    /// In a word: the size, or where they are from.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Sized(template) => template.len().to_string(),
            Self::Ranged(template, least) => format!("{least}..{}", template.len()),
            Self::Recorded(_) => "traffic".to_owned(),
        }
    }

    /// Mean size in bytes.
    #[must_use]
    pub fn mean_bytes(&self) -> f64 {
        match self {
            Self::Sized(template) => template.len() as f64,
            Self::Ranged(template, least) => (template.len() + least) as f64 / 2.0,
            Self::Recorded(bodies) => {
                bodies.iter().map(Vec::len).sum::<usize>() as f64 / bodies.len() as f64
            }
        }
    }

    /// Largest size in bytes.
    #[must_use]
    pub fn most_bytes(&self) -> usize {
        match self {
            Self::Sized(template) | Self::Ranged(template, _) => template.len(),
            Self::Recorded(bodies) => bodies.iter().map(Vec::len).max().unwrap_or(0),
        }
    }

    /// Room that [`Values::of`] writes to.
    #[must_use]
    pub fn scratch(&self) -> Vec<u8> {
        match self {
            Self::Sized(template) => template.clone(),
            Self::Ranged(template, _) => {
                // Behind the bytes stands where the last stamp ends, for it must go again.
                let mut scratch = template.clone();
                scratch.extend_from_slice(&(template.len() as u64).to_le_bytes());
                scratch
            }
            Self::Recorded(_) => Vec::new(),
        }
    }

    /// The body with this number. `scratch` is from [`Values::scratch`].
    pub fn of<'a>(&'a self, number: u64, scratch: &'a mut [u8]) -> &'a [u8] {
        match self {
            Self::Sized(_) => {
                let tail = scratch.len() - 8;
                scratch[..8].copy_from_slice(&number.to_le_bytes());
                scratch[tail..].copy_from_slice(&(!number).to_le_bytes());
                scratch
            }
            Self::Ranged(template, _) => {
                let (scratch, last) = scratch.split_at_mut(template.len());
                let size = self.size(number);
                let end = u64::from_le_bytes(last.try_into().unwrap_or_default()) as usize;
                scratch[end - 8..end].fill(b'v');
                scratch[..8].copy_from_slice(&number.to_le_bytes());
                scratch[size - 8..size].copy_from_slice(&(!number).to_le_bytes());
                last.copy_from_slice(&(size as u64).to_le_bytes());
                &scratch[..size]
            }
            Self::Recorded(bodies) => &bodies[(number % bodies.len() as u64) as usize],
        }
    }

    /// Size of the body with this number.
    #[must_use]
    pub fn size(&self, number: u64) -> usize {
        match self {
            Self::Sized(template) => template.len(),
            Self::Ranged(template, least) => {
                least + (mix(number) % (template.len() - least + 1) as u64) as usize
            }
            Self::Recorded(bodies) => bodies[(number % bodies.len() as u64) as usize].len(),
        }
    }

    /// # Errors
    /// `got` is not the body with this number.
    pub fn check(&self, number: u64, got: &[u8], scratch: &mut [u8]) -> Result<(), Fault> {
        let want = self.of(number, scratch);
        let ends = 8.min(want.len());
        let same = got.len() == want.len()
            && got[..ends] == want[..ends]
            && got[got.len() - ends..] == want[want.len() - ends..]
            && (!number.is_multiple_of(COMPARED_EVERY) || got == want);
        if same { Ok(()) } else { Err("a replay differs from what was stored".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_body_is_not_taken_for_the_stored_one() {
        for values in [
            Values::sized(64).unwrap(),
            Values::ranged(16, 64).unwrap(),
            Values::Recorded(vec![b"{}".to_vec(), b"{\"id\": 1}".to_vec()]),
        ] {
            let mut scratch = values.scratch();
            let body = values.of(64, &mut scratch).to_vec();
            assert_eq!(body.len(), values.size(64));
            let mut check = |number, got: &[u8]| values.check(number, got, &mut scratch).is_ok();
            assert!(check(64, &body));
            assert!(!check(65, &body), "another entry's");
            assert!(!check(64, &body[1..]), "its first byte is missing");
            let mut other = values.of(65, &mut scratch).to_vec();
            *other.last_mut().unwrap() ^= 1;
            assert!(values.check(65, &other, &mut scratch).is_err(), "its last byte differs");
            let mut check = |number, got: &[u8]| values.check(number, got, &mut scratch).is_ok();
            let mut torn = body.clone();
            torn[body.len() / 2] ^= 1;
            assert!(!check(64, &torn), "one bit in the middle");
        }
        assert!(Values::sized(15).is_err());
        assert!(Values::ranged(15, 20).is_err());
        assert!(Values::ranged(20, 19).is_err());
    }

    #[test]
    fn a_body_depends_on_its_number_alone() {
        let values = Values::ranged(16, 40).unwrap();
        let mut used = values.scratch();
        let mut sizes = std::collections::BTreeSet::new();
        for number in 0..1_000 {
            let body = values.of(number, &mut used).to_vec();
            assert_eq!(body, values.of(number, &mut values.scratch()), "{number}");
            assert_eq!(body.len(), values.size(number));
            sizes.insert(body.len());
        }
        assert!(sizes.into_iter().eq(16..=40), "every size comes up");
    }
}
