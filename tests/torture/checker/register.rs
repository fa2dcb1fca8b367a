//! What may have been in force at an instant, where changes are known only as from when to when they happened.

use crate::log::Micros;

/// A change of ours: it happened at some instant after `asked`, and before `answered` where there is one.
#[derive(Debug, Clone)]
pub struct Change<V> {
    pub value: V,
    pub asked: Micros,
    pub answered: Option<Micros>,
}

/// A value that operators change. `before`: what it was before all changes, where known.
#[derive(Debug, Clone)]
pub struct Register<V> {
    pub before: Option<V>,
    pub changes: Vec<Change<V>>,
}

impl<V> Default for Register<V> {
    fn default() -> Self {
        Self { before: None, changes: Vec::new() }
    }
}

impl<V> Register<V> {
    pub fn change(&mut self, value: V, asked: Micros, answered: Option<Micros>) {
        self.changes.push(Change { value, asked, answered });
    }

    /// Every value that may have been in force at the instant. None: it may have been the unknown one before all changes.
    ///
    /// A change is surely replaced once another one, asked after its answer, was answered. One without an answer may still
    /// be on its way, for ever.
    pub fn possible(&self, at: Micros) -> Option<Vec<&V>> {
        self.possible_within(at, at)
    }

    /// The same of all instants from one to another.
    pub fn possible_within(&self, from: Micros, to: Micros) -> Option<Vec<&V>> {
        let replaced =
            self.changes.iter().filter(|c| c.answered.is_some_and(|answered| answered < from)).map(|c| c.asked).max();
        let mut values: Vec<&V> = self
            .changes
            .iter()
            .filter(|c| {
                c.asked <= to && c.answered.is_none_or(|answered| replaced.is_none_or(|asked| answered >= asked))
            })
            .map(|c| &c.value)
            .collect();
        if replaced.is_none() {
            values.push(self.before.as_ref()?);
        }
        Some(values)
    }

    /// Whether at the instant nothing but this was possible.
    pub fn surely(&self, value: &V, at: Micros) -> bool
    where
        V: PartialEq,
    {
        self.possible(at).is_some_and(|values| values.iter().all(|possible| *possible == value))
    }
}
