//! What was used last, in memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// Keeps the `half` entries used last, and at most twice as many.
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    pub(crate) fn new(half: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half }
    }

    pub(crate) fn find(&mut self, key: &K) -> Option<&V> {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.add(key, value);
        }
        self.young.get(key)
    }

    pub(crate) fn take(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    pub(crate) fn keep(&mut self, key: K, value: V) {
        self.old.remove(&key);
        self.add(key, value);
    }

    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    fn add(&mut self, key: K, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_stays_and_the_number_is_bounded() {
        let mut recent = Recent::new(4);
        for number in 0..100 {
            recent.keep(number, number);
            assert_eq!(recent.find(&0), Some(&0), "used after each");
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
        let kept: Vec<i32> = (0..100).filter(|number| recent.find(number).is_some()).collect();
        assert!(kept.len() >= 4 && kept.contains(&99) && !kept.contains(&50), "{kept:?}");
    }

    #[test]
    fn the_newest_value_of_a_key_is_found_also_after_it_grew_old() {
        let mut recent = Recent::new(2);
        for (key, value) in [(1, 1), (2, 1), (3, 1), (1, 2), (4, 1)] {
            recent.keep(key, value);
        }
        assert_eq!(recent.find(&1), Some(&2));
        recent.clear();
        assert_eq!(recent.find(&1), None);
    }
}
