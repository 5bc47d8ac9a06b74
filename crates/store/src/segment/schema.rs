//! The fields that a head has met, found again by parent and key without building a path.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::field::{Field, Kind, Root, join};

/// Fields beyond this many go to the rest column.
pub(super) const COLUMN_LIMIT: usize = 512;
/// Paths beyond this many are not remembered.
const NODE_LIMIT: usize = 4 * COLUMN_LIMIT;

#[derive(Debug)]
pub(super) struct Schema {
    nodes: Vec<Node>,
    children: HashTable<NodeId>,
    pub(super) fields: Vec<FieldState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(u32);

pub(super) const ROOT: NodeId = NodeId(0);

#[derive(Debug)]
struct Node {
    parent: NodeId,
    key: Box<str>,
    path: Arc<str>,
    columns: [Slot; Kind::ALL.len()],
    /// The row that met this path last, so that a key that occurs twice is noticed.
    last_row: u64,
}

#[derive(Debug, Clone, Copy)]
enum Slot {
    Unknown,
    Column(u32),
    Rest,
}

#[derive(Debug)]
pub(super) struct FieldState {
    pub(super) field: Field,
    /// Whether the texts seen so far were too many for a dictionary.
    pub(super) many_values: bool,
}

/// Where a path was met in this row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meeting {
    First(NodeId),
    Again,
    /// The schema is full and does not know the path.
    Unknown,
}

/// Where a value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Column(usize),
    Rest,
}

impl Schema {
    pub(super) fn new() -> Self {
        let root = Node {
            parent: ROOT,
            key: "".into(),
            path: "".into(),
            columns: [Slot::Rest; Kind::ALL.len()],
            last_row: 0,
        };
        Self { nodes: vec![root], children: HashTable::new(), fields: Vec::new() }
    }

    /// Finds the path `parent`.`key`; `row` numbers rows from 1 and never repeats.
    pub(super) fn meet(&mut self, parent: NodeId, key: &str, row: u64) -> Meeting {
        let hash = hash(parent, key);
        let found = self.children.find(hash, |id| {
            let node = &self.nodes[id.0 as usize];
            node.parent == parent && *node.key == *key
        });
        let id = match found {
            Some(id) => *id,
            None if self.nodes.len() >= NODE_LIMIT => return Meeting::Unknown,
            None => self.add(parent, key, hash),
        };
        let node = &mut self.nodes[id.0 as usize];
        if node.last_row == row {
            return Meeting::Again;
        }
        node.last_row = row;
        Meeting::First(id)
    }

    fn add(&mut self, parent: NodeId, key: &str, hash: u64) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).expect("NODE_LIMIT fits"));
        let path = self.path_of(parent, key);
        self.nodes.push(Node {
            parent,
            key: key.into(),
            path: path.into(),
            columns: [Slot::Unknown; Kind::ALL.len()],
            last_row: 0,
        });
        let nodes = &self.nodes;
        self.children.insert_unique(hash, id, |id| {
            let node = &nodes[id.0 as usize];
            self::hash(node.parent, &node.key)
        });
        id
    }

    pub(super) fn path_of(&self, parent: NodeId, key: &str) -> String {
        let root = if parent == ROOT { Root::Yes } else { Root::No };
        join(&self.nodes[parent.0 as usize].path, key, root)
    }

    pub(super) fn path(&self, node: NodeId) -> &str {
        &self.nodes[node.0 as usize].path
    }

    /// The column of a path and a kind, made at its first use while there is room.
    pub(super) fn place(&mut self, node: NodeId, kind: Kind) -> Place {
        let slot = &mut self.nodes[node.0 as usize].columns[kind as usize];
        match *slot {
            Slot::Column(column) => Place::Column(column as usize),
            Slot::Rest => Place::Rest,
            Slot::Unknown if self.fields.len() >= COLUMN_LIMIT => {
                *slot = Slot::Rest;
                Place::Rest
            }
            Slot::Unknown => {
                let column = self.fields.len();
                *slot = Slot::Column(u32::try_from(column).expect("COLUMN_LIMIT fits"));
                let path = Arc::clone(&self.nodes[node.0 as usize].path);
                self.fields.push(FieldState { field: Field { path, kind }, many_values: false });
                Place::Column(column)
            }
        }
    }
}

fn hash(parent: NodeId, key: &str) -> u64 {
    FixedState::with_seed(u64::from(parent.0)).hash_one(key)
}
