//! The partition suite, through spool, publisher, broker and group.

use std::sync::Arc;

use async_trait::async_trait;
use forebay_schemas::LaneId;
use forebay_stream::{
    LogSource, LogWriter, StreamError,
    conformance::{SourceSubject, check_source},
    kafka::KafkaGroup,
    local::Spool,
};
use tempfile::TempDir;

use crate::support::{Publishing, broker, join, lane, spool, topic};

struct Through {
    dir: TempDir,
    topic: String,
    lane: LaneId,
    open: Option<(Arc<Spool>, Publishing)>,
    group: Option<KafkaGroup>,
}

#[async_trait]
impl SourceSubject for Through {
    fn believes_offsets(&self) -> bool {
        true
    }

    async fn open(&mut self) -> Result<Box<dyn LogWriter>, StreamError> {
        if let Some((spool, publishing)) = self.open.take() {
            publishing.stop().await?;
            drop(spool);
        }
        let spool = spool(&self.dir.path().join("spool"), self.lane.clone()).await;
        let (settings, places) = (
            broker().await.settings(&self.topic),
            self.dir.path().join("places"),
        );
        let publishing = Publishing::start(settings, &spool, self.lane.clone(), places);
        let writer = spool.writer();
        self.open = Some((spool, publishing));
        Ok(Box::new(writer))
    }

    async fn source(&mut self) -> Result<Arc<dyn LogSource>, StreamError> {
        let (group, mut sources) = join(broker().await.settings(&self.topic), 1).await;
        self.group = Some(group);
        Ok(sources.remove(&0).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_partition_conforms() {
    let empty = || async {
        let (dir, topic) = (TempDir::new().unwrap(), topic(1).await);
        Through {
            dir,
            topic,
            lane: lane("gw", 0),
            open: None,
            group: None,
        }
    };
    check_source(empty).await.unwrap();
}
