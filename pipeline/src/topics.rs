//! Makes and checks the topics, and takes up a log that was cut or recreated.

use crate::config::KafkaConfig;

/// Makes what is missing; refuses a session topic with another number of partitions than configured.
pub async fn ensure_topics(_config: &KafkaConfig) -> anyhow::Result<()> {
    todo!()
}

/// Refuses a missing topic or another number of partitions.
pub async fn check_topics(_config: &KafkaConfig) -> anyhow::Result<()> {
    todo!()
}

/// For each partition that stopped with `log_truncated`: goes on at the start of the new log under epoch + 1.
/// Rows stay. Returns the partitions it took up.
pub async fn new_epoch(_config: &KafkaConfig, _pool: &sqlx::PgPool, _projection: &str) -> anyhow::Result<Vec<i32>> {
    todo!()
}
