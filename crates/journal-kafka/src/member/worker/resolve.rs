//! Where a member begins with the partitions that it is given, and goes on with those that it lost its way in.

use std::ops::Range;

use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};
use weir_journal::{Assignment, LossReason};
use weir_model::{Offset as At, PartitionIndex, StreamName, StreamPartition, Timestamp};

use super::{Beginning, Worker};
use crate::cluster::{committed, failed};
use crate::error::RequestError;
use crate::life::{Begin, Committed, Life, begin};
use crate::member::lanes::{Lane, place};
use crate::member::link::{Owned, Part};

/// Records that came so long before the last commit may still be of after it: clocks differ, and a record is
/// sent for a while after it got its time.
const MARGIN_MILLIS: i64 = 60_000;

impl Worker {
    /// Finds where to begin with partitions, takes them and tells the caller.
    pub(super) fn assign(&mut self, partitions: &[(String, i32)]) -> Result<(), RequestError> {
        let beginnings = self.resolve(partitions)?;
        let mut list = TopicPartitionList::new();
        for (topic, partition) in partitions {
            let found = beginnings.iter().find(|b| b.topic == *topic && b.partition == *partition);
            let next = found.map_or(0, |beginning| beginning.lane.next);
            let next = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
            list.add_partition_offset(topic, *partition, next).map_err(failed("take partitions"))?;
            self.queue.take_over(topic, *partition);
        }
        let taken = match self.consumer.rebalance_protocol() {
            rdkafka::consumer::RebalanceProtocol::Cooperative => self.consumer.incremental_assign(&list),
            _ => self.consumer.assign(&list),
        };
        taken.map_err(failed("take partitions"))?;
        // One that was paused when it went away may have come back.
        self.consumer.resume(&list).map_err(failed("take partitions"))?;
        for (topic, partition) in partitions {
            self.queue.take_over(topic, *partition);
        }
        self.begin(beginnings);
        Ok(())
    }

    /// Finds partitions again that fell out of range, or whose topic was made again.
    pub(super) fn recover(&mut self, partitions: &[(String, i32)]) -> Result<(), RequestError> {
        let known: Vec<_> = partitions
            .iter()
            .filter(|(topic, partition)| self.lanes.get_mut(topic, *partition).is_some())
            .cloned()
            .collect();
        let mut others = Vec::new();
        for beginning in self.resolve(&known)? {
            let Some(lane) = self.lanes.get_mut(&beginning.topic, beginning.partition) else { continue };
            let same = lane.place == beginning.lane.place;
            let (from, to) = (lane.next, beginning.start());
            if !same {
                others.push(beginning);
            } else if from < to {
                lane.go_to(to, lane.round);
                let (batch, round) = lane.loss(from, LossReason::Expired);
                let partition = lane.place.clone();
                self.inbox.batch(batch, round);
                self.go(&partition);
            } else {
                let partition = lane.place.clone();
                self.go(&partition);
            }
        }
        if others.is_empty() {
            return Ok(());
        }
        let over: Vec<_> = others
            .iter()
            .filter_map(|other| self.lanes.remove(&other.topic, other.partition))
            .map(|lane| lane.place)
            .collect();
        self.link.disown(&over);
        self.inbox.revoked(over);
        let begun: Vec<_> = others.iter().map(|other| other.lane.place.clone()).collect();
        self.begin(others);
        begun.iter().for_each(|partition| self.go(partition));
        Ok(())
    }

    fn begin(&mut self, beginnings: Vec<Beginning>) {
        let mut assignments = Vec::new();
        let mut losses = Vec::new();
        for Beginning { topic, partition, lane, next, committed, loss, .. } in beginnings {
            assignments.push(Assignment { partition: lane.place.clone(), next: At(next) });
            losses.extend(loss.map(|(from, reason)| lane.loss(from, reason)));
            self.link.own(lane.place.clone(), Owned { life: lane.life, committed });
            self.shared.registry.note_life(&lane.place, lane.life);
            self.lanes.insert(&topic, partition, lane);
        }
        self.inbox.assigned(assignments);
        for (batch, round) in losses {
            self.inbox.batch(batch, round);
        }
    }

    fn resolve(&mut self, partitions: &[(String, i32)]) -> Result<Vec<Beginning>, RequestError> {
        self.topic_lives(partitions)?;
        let places: Vec<(StreamName, u32)> =
            partitions.iter().filter_map(|(topic, partition)| place(topic, *partition)).collect();
        let timeout = self.shared.settings.request_timeout;
        let committed = committed(&*self.consumer, places.iter().cloned(), timeout)?;
        let bounds = self.shared.cluster.bounds(places.iter().cloned())?;
        let mut beginnings = Vec::new();
        for place in places {
            let (Some(topic), Some(bounds)) = (self.shared.catalog.get(&place.0), bounds.get(&place)) else {
                return Err(RequestError::Refused {
                    what: "say where a partition is",
                    source: rdkafka::error::RDKafkaErrorCode::LeaderNotAvailable,
                });
            };
            let committed = committed.get(&place).copied();
            let index = crate::cluster::index(place.1);
            let lane = self.lanes.get_mut(place.0.as_str(), index);
            let reached = lane.filter(|lane| lane.life.topic == topic.life).map(|lane| lane.next);
            let begun = begin(topic.life, committed, reached, bounds.clone());
            beginnings.push(self.beginning(&place, begun, committed, bounds)?);
        }
        Ok(beginnings)
    }

    fn beginning(
        &self,
        (stream, index): &(StreamName, u32),
        begun: Begin,
        committed: Option<Committed>,
        bounds: &Range<u64>,
    ) -> Result<Beginning, RequestError> {
        let committed = committed.map(|committed| committed.offset);
        let at = |life: Life, next: u64, lane_at: u64, committed, loss| {
            let place = StreamPartition {
                stream: stream.clone(),
                incarnation: life.incarnation,
                partition: PartitionIndex(*index),
            };
            let lane = Lane::new(place, life, lane_at);
            let partition = crate::cluster::index(*index);
            Beginning { topic: stream.to_string(), partition, lane, next, committed, loss }
        };
        Ok(match begun {
            Begin::At { life, next, expired: None } => at(life, next.0, next.0, committed, None),
            Begin::At { life, next, expired: Some(expired) } => {
                tracing::warn!(
                    group = self.group, %stream, partition = index, from = expired.start, to = expired.end,
                    "the brokers removed records before they were delivered"
                );
                self.shared.metrics.expired(expired.end - expired.start);
                at(life, next.0, expired.end, committed, Some((expired.start, LossReason::Expired)))
            }
            Begin::Recreated { life, next } => {
                tracing::warn!(
                    group = self.group, %stream, partition = index,
                    "the topic was deleted and made again: what the group committed is of the former one"
                );
                at(life, next.0, next.0, None, None)
            }
            Begin::Cut { life, dealt, millis } => {
                let from = self.cut_at((stream, *index), life, dealt, millis, bounds)?;
                let life = life.cut(At(from), dealt);
                tracing::error!(
                    group = self.group, %stream, partition = index, %dealt, from,
                    "the log of a partition ends below what was delivered: it goes on in another incarnation"
                );
                self.shared.metrics.cut.inc();
                let loss = (from > 0).then_some((0, LossReason::Cut));
                at(life, 0, from, Some(from), loss)
            }
        })
    }

    /// Where new records begin in a log that was cut: not before the last commit, by their times. Noted at once,
    /// so that whoever comes next begins there as well.
    fn cut_at(
        &self,
        (stream, index): (&StreamName, u32),
        life: Life,
        dealt: At,
        millis: Option<i64>,
        bounds: &Range<u64>,
    ) -> Result<u64, RequestError> {
        let place = (stream.clone(), index);
        let from = match millis {
            None => bounds.start,
            Some(millis) => {
                let since = Offset::Offset((millis - MARGIN_MILLIS).max(0));
                let found = self.shared.cluster.offsets([(place, since)].into_iter())?;
                // Nothing that young is there yet, if none is found.
                found.into_values().next().unwrap_or(bounds.end).clamp(bounds.start, bounds.end)
            }
        };
        let life = life.cut(At(from), dealt);
        let partition = StreamPartition {
            stream: stream.clone(),
            incarnation: life.incarnation,
            partition: PartitionIndex(index),
        };
        let now = Timestamp::from(self.shared.clock.now()).micros() / 1_000;
        self.link.commit(&[Part { partition, offset: from, life }], now)?;
        Ok(from)
    }
}

impl Beginning {
    /// Where it can be read from, whatever was dealt with.
    fn start(&self) -> u64 {
        self.lane.next
    }
}
