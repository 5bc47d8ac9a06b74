//! What the caller wants of partitions, done with librdkafka.

use std::time::Duration;

use rdkafka::consumer::{Consumer, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use weir_journal::LossReason;
use weir_model::StreamPartition;

use super::super::inbox::Wish;
use super::{PAUSE, Worker};

/// How long a seek is waited for.
const SEEK: Duration = Duration::from_secs(10);

impl Worker {
    /// Does what the caller wants of partitions.
    pub(super) fn grant(&mut self) {
        let lanes = &mut self.lanes;
        let wishes = self.inbox.take_wishes(|partition| lanes.of(partition).is_some());
        for (partition, wish) in wishes {
            self.hold(&partition, wish == Wish::Pause);
            let Wish::Seek { offset, round } = wish else { continue };
            let Some(lane) = self.lanes.of(&partition) else { continue };
            let begin = lane.life.begin;
            lane.go_to(offset.0.max(begin.0), round);
            if offset < begin {
                let (batch, round) = lane.loss(offset.0, LossReason::Cut);
                self.inbox.batch(batch, round);
            }
            self.go(&partition);
        }
    }

    /// Makes librdkafka fetch nothing of a partition, or again.
    fn hold(&self, partition: &StreamPartition, paused: bool) {
        let mut one = TopicPartitionList::new();
        one.add_partition(partition.stream.as_str(), crate::cluster::index(partition.partition.0));
        let held = if paused { self.consumer.pause(&one) } else { self.consumer.resume(&one) };
        if let Err(error) = held {
            tracing::warn!(%partition, paused, %error, "could not hold a partition or let it go");
        }
    }

    /// Makes librdkafka fetch from where the lane is.
    pub(super) fn go(&mut self, partition: &StreamPartition) {
        let Some(lane) = self.lanes.of(partition) else { return };
        let mut list = TopicPartitionList::new();
        let index = crate::cluster::index(partition.partition.0);
        let next = Offset::Offset(i64::try_from(lane.next).unwrap_or(i64::MAX));
        let added = list.add_partition_offset(partition.stream.as_str(), index, next);
        let sought = added.and_then(|()| self.consumer.seek_partitions(list, SEEK));
        let failure = match sought {
            Ok(list) => list.elements().iter().find_map(|element| element.error().err()),
            Err(error) => Some(error),
        };
        // A partition that fell out of range does not fetch, and can not be sought: it is taken anew.
        let Some(error) = failure else { return };
        if let Err(failure) = self.take_anew(partition) {
            tracing::warn!(%partition, %error, %failure, "could not go on elsewhere in a partition, trying again");
            self.not_before = self.now() + PAUSE;
            self.astray.push((partition.stream.to_string(), index));
        }
    }

    /// Gives a partition up and takes it again where its lane is; the group learns nothing of it.
    fn take_anew(&self, partition: &StreamPartition) -> Result<(), KafkaError> {
        let (mut one, mut all) = (TopicPartitionList::new(), TopicPartitionList::new());
        for (topic, index, lane) in self.lanes.iter() {
            let next = Offset::Offset(i64::try_from(lane.next).unwrap_or(i64::MAX));
            all.add_partition_offset(topic, index, next)?;
            if lane.place == *partition {
                one.add_partition_offset(topic, index, next)?;
            }
        }
        let taken = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => {
                self.consumer.incremental_unassign(&one)?;
                self.consumer.incremental_assign(&one)?;
                one
            }
            RebalanceProtocol::Eager | RebalanceProtocol::None => {
                self.consumer.assign(&all)?;
                all
            }
        };
        for element in taken.elements() {
            self.queue.take_over(element.topic(), element.partition());
        }
        Ok(())
    }
}
