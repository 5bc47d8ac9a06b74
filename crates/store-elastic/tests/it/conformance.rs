use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use weir_model::{Day, IndexPrefix, Offset, StreamPartition};
use weir_services::Engine;
use weir_store::conformance::Subject;
use weir_store::{
    DropError, IndexInfo, IndexStore, InspectError, PositionRun, SearchError, SearchRequest, SearchResponse,
    Verdicts, WriteBatch, WriteError,
};
use weir_store_elastic::{ElasticSection, ElasticStore};

use crate::world::{World, ask, node, section};

/// A namespace of a node.
struct Remote {
    node: SocketAddr,
    section: ElasticSection,
    world: World,
}

/// What was written is searchable within a second; a test does not wait for it.
#[derive(Debug)]
struct Refreshed {
    store: ElasticStore,
    node: SocketAddr,
    pattern: String,
}

impl Remote {
    async fn new(engine: Engine) -> Self {
        let node = node(engine);
        let section = section(node);
        let world = World::open(&section);
        world.setup().await;
        Self { node, section, world }
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("node", &self.node).finish_non_exhaustive()
    }
}

#[async_trait]
impl Subject for Remote {
    fn index(&self) -> Arc<dyn IndexStore> {
        let pattern = format!("{}*", self.section.namespace.clone().unwrap_or_default());
        Arc::new(Refreshed { store: self.world.store.clone(), node: self.node, pattern })
    }

    /// What is written is durable, so the death of the process is that of its memory.
    async fn reopen(&mut self) {
        self.world = World::open(&self.section);
    }
}

impl Refreshed {
    async fn refresh(&self) {
        ask(self.node, "POST", &format!("{}/_refresh", self.pattern), "").await;
    }
}

#[async_trait]
impl IndexStore for Refreshed {
    async fn write(&self, batch: WriteBatch) -> Result<Verdicts, WriteError> {
        self.store.write(batch).await
    }

    fn resume(&self, partition: &StreamPartition, committed: Offset) -> Offset {
        self.store.resume(partition, committed)
    }

    fn release(&self, partitions: &[StreamPartition]) {
        self.store.release(partitions);
    }

    fn durable(&self, partition: &StreamPartition) -> Option<Offset> {
        self.store.durable(partition)
    }

    fn progress(&self) -> watch::Receiver<u64> {
        self.store.progress()
    }

    async fn flush(&self) -> Result<(), WriteError> {
        self.store.flush().await
    }

    async fn search(&self, request: SearchRequest) -> Result<SearchResponse, SearchError> {
        self.refresh().await;
        self.store.search(request).await
    }

    async fn indices(&self) -> Result<Vec<IndexInfo>, InspectError> {
        self.refresh().await;
        self.store.indices().await
    }

    async fn drop_before(&self, prefix: Option<&IndexPrefix>, day: Day) -> Result<u64, DropError> {
        self.refresh().await;
        self.store.drop_before(prefix, day).await
    }

    async fn holds(
        &self,
        partition: &StreamPartition,
        wanted: &[PositionRun],
    ) -> Result<Vec<PositionRun>, InspectError> {
        self.store.holds(partition, wanted).await
    }
}

mod opensearch_2 {
    use super::*;

    weir_store::remote_conformance_suite!(Remote::new(Engine::OpenSearch2).await);
}

mod opensearch_3 {
    use super::*;

    weir_store::remote_conformance_suite!(Remote::new(Engine::OpenSearch3).await);
}

mod elasticsearch_8 {
    use super::*;

    weir_store::remote_conformance_suite!(Remote::new(Engine::Elasticsearch8).await);
}
