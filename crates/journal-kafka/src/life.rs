//! Which life a partition is in, and how a group's commit remembers it.
//!
//! The life of a topic is a hash of the ids of cluster and topic, so that a topic that is deleted and made
//! again under its name has new positions. If the end of a partition is found below what a group has dealt
//! with, its log was cut and its offsets are given again: from then on the partition is in a life of its own,
//! which the metadata of the group's commits carries on.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use weir_model::{Incarnation, Offset};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The id of a topic, which Kafka gives once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TopicId(pub(crate) u128);

/// The life of the partitions of a topic that were never cut.
pub(crate) fn of_topic(cluster: &str, topic: TopicId) -> Incarnation {
    let mut hasher = Xxh3::new();
    hasher.update(cluster.as_bytes());
    hasher.update(&[0]);
    hasher.update(&topic.0.to_be_bytes());
    Incarnation(hasher.digest())
}

/// The life of one partition, as a group sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    /// That of the topic.
    pub(crate) topic: Incarnation,
    /// What positions carry: that of the topic, unless the partition was cut.
    pub(crate) incarnation: Incarnation,
    /// Where it begins; records below it belong to an earlier one.
    pub(crate) begin: Offset,
}

impl Life {
    pub(crate) const fn whole(topic: Incarnation) -> Self {
        Self { topic, incarnation: topic, begin: Offset::ZERO }
    }

    /// The next life, after the log was cut below `dealt`: it goes on at `begin`.
    pub(crate) fn cut(self, begin: Offset, dealt: Offset) -> Self {
        let mut bytes = [0; 24];
        let parts = [self.incarnation.0, begin.0, dealt.0];
        for (place, part) in bytes.chunks_exact_mut(8).zip(parts) {
            place.copy_from_slice(&part.to_be_bytes());
        }
        Self { incarnation: Incarnation(xxh3_64(&bytes)), begin, ..self }
    }
}

/// What a group's commit says beside its offset.
///
/// Its text is `weir1 <life of the topic> <life of the partition> <begin of that> <milliseconds since 1970>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) life: Life,
    /// When it was committed: whatever is appended after a cut has a later time.
    pub(crate) millis: i64,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Life { topic, incarnation, begin } = self.life;
        write!(f, "weir1 {topic} {incarnation} {begin} {}", self.millis)
    }
}

/// The metadata is not weir's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Foreign;

impl FromStr for Note {
    type Err = Foreign;

    fn from_str(text: &str) -> Result<Self, Foreign> {
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or(Foreign);
        if word()? != "weir1" {
            return Err(Foreign);
        }
        let life = Life {
            topic: incarnation(word()?)?,
            incarnation: incarnation(word()?)?,
            begin: Offset(word()?.parse().or(Err(Foreign))?),
        };
        let note = Self { life, millis: word()?.parse().or(Err(Foreign))? };
        if words.next().is_some() { Err(Foreign) } else { Ok(note) }
    }
}

/// What a group committed of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: u64,
    /// Absent if another program committed.
    pub(crate) note: Option<Note>,
}

/// Where a member begins with a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begin {
    At {
        life: Life,
        /// What the group has dealt with, or the start.
        next: Offset,
        /// What the brokers removed behind that.
        expired: Option<Range<u64>>,
    },
    /// The commit is of a topic of that name that is no more: all of this one is new.
    Recreated { life: Life, next: Offset },
    /// The log ends below what the group has dealt with.
    Cut { life: Life, dealt: Offset, millis: Option<i64> },
}

/// Decides it. `topic` is the life of the topic, `reached` what this member got beyond its commits, `bounds`
/// from the first offset to the one that the next record gets.
pub(crate) fn begin(
    topic: Incarnation,
    committed: Option<Committed>,
    reached: Option<u64>,
    bounds: Range<u64>,
) -> Begin {
    let whole = Life::whole(topic);
    let start = Offset(bounds.start);
    let note = committed.and_then(|committed| committed.note);
    if note.is_some_and(|note| note.life.topic != topic) {
        return Begin::Recreated { life: whole, next: start };
    }
    let life = note.map_or(whole, |note| note.life);
    let Some(offset) = committed.map(|committed| committed.offset) else {
        return match reached {
            Some(reached) if reached > bounds.end => {
                Begin::Cut { life, dealt: Offset(reached), millis: None }
            }
            _ => Begin::At { life, next: start, expired: None },
        };
    };
    let dealt = reached.map_or(offset, |reached| reached.max(offset));
    if dealt > bounds.end {
        return Begin::Cut { life, dealt: Offset(dealt), millis: note.map(|note| note.millis) };
    }
    let expired = (offset < bounds.start).then_some(offset..bounds.start);
    Begin::At { life, next: Offset(offset), expired }
}

fn incarnation(hex: &str) -> Result<Incarnation, Foreign> {
    u64::from_str_radix(hex, 16).map(Incarnation).or(Err(Foreign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_made_again_has_another_life() {
        let life = of_topic("cluster", TopicId(1));
        assert_eq!(life, of_topic("cluster", TopicId(1)));
        assert_eq!(life, Incarnation(0x9147_b183_ebc1_f3ad), "the hash is in the ids of stored events");
        assert_ne!(life, of_topic("cluster", TopicId(2)));
        assert_ne!(life, of_topic("cluster2", TopicId(1)));
    }

    #[test]
    fn a_cut_begins_another_life_of_the_same_topic() {
        let whole = Life::whole(Incarnation(7));
        let cut = whole.cut(Offset(3), Offset(9));
        assert_eq!((cut.topic, cut.begin), (Incarnation(7), Offset(3)));
        assert_ne!(cut.incarnation, whole.incarnation);
        assert_ne!(cut.cut(Offset(3), Offset(9)).incarnation, cut.incarnation);
        assert_ne!(whole.cut(Offset(3), Offset(8)).incarnation, cut.incarnation);
    }

    #[test]
    fn the_metadata_of_a_commit_comes_back() {
        let note = Note { life: Life::whole(Incarnation(7)).cut(Offset(3), Offset(9)), millis: 1_700 };
        assert_eq!(note.to_string().parse(), Ok(note));
        let none =
            ["", "weir1", "weir2 7 7 0 1", "weir1 7 7 0", "weir1 7 7 0 0 0", "weir1 x 7 0 0", "sarama"];
        for text in none {
            assert_eq!(text.parse::<Note>(), Err(Foreign), "{text}");
        }
    }

    #[test]
    fn a_member_begins_where_its_group_is() {
        let topic = Incarnation(7);
        let whole = Life::whole(topic);
        let check = |committed, reached, expected| {
            assert_eq!(begin(topic, committed, reached, 10..20), expected, "{committed:?} {reached:?}");
        };
        let at = |next, expired| Begin::At { life: whole, next: Offset(next), expired };
        let foreign = |offset| Some(Committed { offset, note: None });
        let ours = |offset, life| Some(Committed { offset, note: Some(Note { life, millis: 5 }) });
        check(None, None, at(10, None));
        check(foreign(10), None, at(10, None));
        check(foreign(20), None, at(20, None));
        check(foreign(4), None, at(4, Some(4..10)));
        check(foreign(21), None, Begin::Cut { life: whole, dealt: Offset(21), millis: None });
        check(ours(15, whole), None, at(15, None));
        check(ours(21, whole), None, Begin::Cut { life: whole, dealt: Offset(21), millis: Some(5) });
        check(ours(15, whole), Some(22), Begin::Cut { life: whole, dealt: Offset(22), millis: Some(5) });
        check(None, Some(21), Begin::Cut { life: whole, dealt: Offset(21), millis: None });
        let of_another = Life::whole(Incarnation(6));
        check(ours(15, of_another), None, Begin::Recreated { life: whole, next: Offset(10) });
        check(ours(99, of_another), None, Begin::Recreated { life: whole, next: Offset(10) });
        let cut = whole.cut(Offset(12), Offset(30));
        check(ours(15, cut), None, Begin::At { life: cut, next: Offset(15), expired: None });
    }
}
