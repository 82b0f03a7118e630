//! What the store knows of namespaces: their names, once each, and what is configured for some.

use std::collections::BTreeMap;
#[cfg(any(plain, test))]
use std::{collections::HashMap, sync::Arc};

use onceward_core::Namespace;
#[cfg(any(plain, test))]
use parking_lot::RwLock;

use crate::config::Durability;
use crate::counters::SharedCounter;

/// What may differ by namespace. Everything unset falls back to the store's limits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NamespaceConfig {
    /// Most identities held at once; a begin that would add one more is Refused (quota).
    pub entries_max: Option<u64>,
    /// Memory set aside for a result when begin gives no hint, in bytes (S11).
    pub set_aside_bytes: Option<usize>,
    /// How durable its facts are before an answer that rests on them is told (S14).
    pub durability: Option<Durability>,
}

/// Names are interned: entries share one copy each, which goes with the last of them, so that
/// callers who make names up leave nothing behind.
pub(crate) struct Namespaces {
    configured: BTreeMap<String, (u32, NamespaceConfig)>,
    /// By number: how many identities each configured namespace holds.
    held: Box<[SharedCounter]>,
    #[cfg(any(plain, test))]
    names: RwLock<HashMap<Box<str>, Arc<str>>>,
}

/// Stands for `default`, configured or not.
const DEFAULT_NUMBER: u16 = u16::MAX;

impl Namespaces {
    pub(crate) fn new(configured: &BTreeMap<String, NamespaceConfig>) -> Self {
        let held = configured.iter().map(|_| SharedCounter::default()).collect();
        let configured = configured
            .iter()
            .zip(0..)
            .map(|((name, config), number)| (name.clone(), (number, *config)))
            .collect();
        Self {
            configured,
            held,
            #[cfg(any(plain, test))]
            names: RwLock::default(),
        }
    }

    #[inline]
    fn find(&self, namespace: Namespace<'_>) -> Option<(u32, NamespaceConfig)> {
        if self.configured.is_empty() {
            return None; // Mostly, and then without a call.
        }
        self.find_configured(namespace)
    }

    #[inline(never)]
    fn find_configured(&self, namespace: Namespace<'_>) -> Option<(u32, NamespaceConfig)> {
        self.configured.get(namespace.as_str()).copied()
    }

    /// What a namespace that needs no spelling out is known by: one that is configured, or
    /// `default`.
    #[inline]
    pub(crate) fn number(&self, namespace: Namespace<'_>) -> Option<u16> {
        match self.find(namespace) {
            Some((number, _)) => {
                u16::try_from(number).ok().filter(|&number| number != DEFAULT_NUMBER)
            }
            None => (namespace == Namespace::DEFAULT).then_some(DEFAULT_NUMBER),
        }
    }

    /// The namespace of that number.
    pub(crate) fn name(&self, number: u16) -> Option<Namespace<'_>> {
        if number == DEFAULT_NUMBER {
            return Some(Namespace::DEFAULT);
        }
        let name = self.configured.keys().nth(usize::from(number))?;
        Namespace::new(name).ok()
    }

    /// The number that a place in this namespace's quota is held under.
    #[inline]
    pub(crate) fn quota_number(&self, namespace: Namespace<'_>) -> Option<u32> {
        self.find(namespace).map(|(number, _)| number)
    }

    #[inline]
    pub(crate) fn config(&self, namespace: Namespace<'_>) -> NamespaceConfig {
        self.find(namespace).map(|(_, config)| config).unwrap_or_default()
    }

    /// Takes a place in the namespace's quota: `Err` if there is none, `Ok(None)` if the
    /// namespace has no quota.
    #[inline]
    pub(crate) fn enter(&self, namespace: Namespace<'_>) -> Result<Option<u32>, ()> {
        let Some((number, config)) = self.find(namespace) else { return Ok(None) };
        let Some(most) = config.entries_max else { return Ok(None) };
        let taken = self.held[number as usize].one_more_up_to(most);
        if taken { Ok(Some(number)) } else { Err(()) }
    }

    /// Takes a place for an identity that was held before a restart, whatever the quota says now
    /// (S7).
    pub(crate) fn enter_again(&self, namespace: Namespace<'_>) -> Option<u32> {
        let (number, config) = self.find(namespace)?;
        config.entries_max?;
        self.held[number as usize].one_more_up_to(u64::MAX);
        Some(number)
    }

    /// Gives the place back.
    #[inline]
    pub(crate) fn leave(&self, quota: Option<u32>) {
        if let Some(held) = quota.and_then(|number| self.held.get(number as usize)) {
            held.less(1);
        }
    }
}

#[cfg(any(plain, test))]
impl Namespaces {
    /// An entry has gone, and gives its copy of the name back, which goes with the last one.
    pub(crate) fn release(&self, name: Arc<str>) {
        /// Above this many copies nobody can be the last one, unless as many threads come at once;
        /// then the name stays until it is used again.
        const CROWD: usize = 256;
        if Arc::strong_count(&name) > CROWD {
            return;
        }
        let mut names = self.names.write();
        // Copies are made under this lock and given back under it: this one and the map's are left.
        if Arc::strong_count(&name) == 2 {
            names.remove(&*name);
        }
        drop(name);
    }

    pub(crate) fn intern(&self, namespace: Namespace<'_>) -> Arc<str> {
        if let Some(name) = self.names.read().get(namespace.as_str()) {
            return Arc::clone(name);
        }
        let mut names = self.names.write();
        let name = names.entry(namespace.as_str().into());
        Arc::clone(name.or_insert_with(|| namespace.as_str().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shared_and_goes_with_its_last_entry() {
        let namespaces = Namespaces::new(&BTreeMap::new());
        let orders = Namespace::new("orders").unwrap();
        let first = namespaces.intern(orders);
        let second = namespaces.intern(orders);
        assert!(Arc::ptr_eq(&first, &second));
        namespaces.release(first);
        assert_eq!(namespaces.names.read().len(), 1, "the second entry has it still");
        namespaces.release(second);
        assert!(namespaces.names.read().is_empty());
    }
}
