//! Which rule is for which path, found once for each path.
//!
//! A path is written `.customer.phones[]`: a dot before each key, brackets for the elements of an array.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::rules::PathRule;

/// The paths that were seen, as a tree.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    /// The root is the first.
    nodes: Vec<PathNode>,
    /// The members of objects, by the place of the object and the key.
    members: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    /// Bytes of all keys.
    bytes: usize,
}

#[derive(Debug)]
struct PathNode {
    parent: u32,
    step: Step,
    /// The first rule that matches the path.
    rule: Option<u32>,
    /// The place of the elements, if it is an array.
    elements: Option<u32>,
}

#[derive(Debug)]
enum Step {
    Root,
    Member(Box<str>),
    Element,
}

pub(crate) const ROOT: u32 = 0;

/// Clients name keys as they like: with more paths, or more bytes of keys, all are forgotten before the next batch.
const MOST: usize = 16 << 10;
const MOST_BYTES: usize = 2 << 20;

impl Paths {
    pub(crate) fn is_full(&self) -> bool {
        self.nodes.len() > MOST || self.bytes > MOST_BYTES
    }

    /// How much is known, to keep the better of two.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// To be called before any other.
    pub(crate) fn begin(&mut self, rules: &[PathRule]) {
        if self.nodes.is_empty() {
            self.add(ROOT, Step::Root, rules);
        }
    }

    pub(crate) fn member(&mut self, object: u32, key: &str, rules: &[PathRule]) -> u32 {
        let hash = self.hasher.hash_one((object, key));
        let nodes = &self.nodes;
        if let Some(found) = self.members.find(hash, |node| nodes[*node as usize].is_member(object, key)) {
            return *found;
        }
        let added = self.add(object, Step::Member(key.into()), rules);
        self.bytes += key.len();
        let Self { nodes, members, hasher, .. } = self;
        members.insert_unique(hash, added, |node| nodes[*node as usize].hash(hasher));
        added
    }

    pub(crate) fn element(&mut self, array: u32, rules: &[PathRule]) -> u32 {
        if let Some(known) = self.nodes[array as usize].elements {
            return known;
        }
        let added = self.add(array, Step::Element, rules);
        self.nodes[array as usize].elements = Some(added);
        added
    }

    /// The first rule for the strings at this place.
    pub(crate) fn rule(&self, place: u32) -> Option<usize> {
        self.nodes[place as usize].rule.map(|rule| rule as usize)
    }

    fn add(&mut self, parent: u32, step: Step, rules: &[PathRule]) -> u32 {
        self.nodes.push(PathNode { parent, step, rule: None, elements: None });
        let added = self.nodes.len() - 1;
        let path = self.path(added);
        let matching = (0..).zip(rules).find(|(_, rule)| rule.matches(&path));
        self.nodes[added].rule = matching.map(|(number, _)| number);
        u32::try_from(added).expect("a batch has fewer than 2^32 values")
    }

    fn path(&self, place: usize) -> String {
        let mut steps = Vec::new();
        let mut node = &self.nodes[place];
        while !matches!(node.step, Step::Root) {
            steps.push(&node.step);
            node = &self.nodes[node.parent as usize];
        }
        let mut path = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Root => {}
                Step::Member(key) => {
                    path.push('.');
                    path.push_str(key);
                }
                Step::Element => path.push_str("[]"),
            }
        }
        path
    }
}

impl PathNode {
    fn is_member(&self, object: u32, wanted: &str) -> bool {
        self.parent == object && matches!(&self.step, Step::Member(key) if **key == *wanted)
    }

    fn hash(&self, hasher: &foldhash::fast::RandomState) -> u64 {
        let key = if let Step::Member(key) = &self.step { &**key } else { "" };
        hasher.hash_one((self.parent, key))
    }
}
