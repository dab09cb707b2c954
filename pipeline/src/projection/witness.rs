//! Reads the last applied record again and compares it, so that a log which was cut or recreated is noticed before
//! anything of it is applied.
//!
//! librdkafka goes on in a recreated topic at the old offset without an error (its source has a FIXME at the place
//! where the topic's id changes). A client of its own answers here, on a thread of its own, one question after the
//! other: a question takes a few milliseconds and is asked at most once a second per partition.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::oneshot;

use super::row::Owned;
use crate::config::KafkaConfig;
use crate::log_reader::LogProbe;

/// More than there are partitions.
const QUEUE: usize = 4096;

/// What the log says about the last applied record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Testimony {
    /// It is where it was.
    Same,
    /// Another record is there.
    Different,
    /// The log begins after it, or ends before it.
    Missing,
}

struct Question {
    owned: Owned,
    answer: oneshot::Sender<Result<Testimony, String>>,
}

/// Asks the log.
pub(super) struct Witness {
    questions: SyncSender<Question>,
}

impl Witness {
    /// Starts the thread, which ends when this is dropped.
    pub(super) fn start(kafka: &KafkaConfig, topic: &str) -> anyhow::Result<Self> {
        let (questions, queue) = sync_channel(QUEUE);
        let probe = LogProbe::new(kafka, topic)?;
        std::thread::Builder::new()
            .name("kulti-witness".to_owned())
            .spawn(move || answer_questions(&probe, &queue))?;
        Ok(Witness { questions })
    }

    /// Whether the log still has what was applied last. An error says that the log cannot be asked now.
    pub(super) async fn ask(&self, owned: &Owned) -> Result<Testimony, String> {
        let (answer, answered) = oneshot::channel();
        let question = Question {
            owned: owned.clone(),
            answer,
        };
        self.questions
            .try_send(question)
            .map_err(|_| "the witness does not answer".to_owned())?;
        answered.await.map_err(|_| "the witness has gone".to_owned())?
    }
}

fn answer_questions(probe: &LogProbe, queue: &Receiver<Question>) {
    while let Ok(question) = queue.recv() {
        let answer = testimony(probe, &question.owned).map_err(|error| format!("{error:#}"));
        // A log that cannot be reached now would keep everybody waiting for its time limit, one after the other.
        let unreachable = answer.clone().err();
        drop(question.answer.send(answer));
        if let Some(error) = unreachable {
            for waiting in queue.try_iter() {
                drop(waiting.answer.send(Err(error.clone())));
            }
        }
    }
}

fn testimony(probe: &LogProbe, owned: &Owned) -> anyhow::Result<Testimony> {
    let Some(last_record) = owned.last_record else {
        // Nothing was applied: the log must still have what comes first.
        let (low, high) = probe.watermarks(owned.partition)?;
        let there = (low..=high).contains(&owned.next_offset);
        return Ok(if there {
            Testimony::Same
        } else {
            Testimony::Missing
        });
    };
    Ok(match probe.record_at(owned.partition, owned.next_offset - 1)? {
        None => Testimony::Missing,
        Some(record) if record.fingerprint() == last_record => Testimony::Same,
        Some(_) => Testimony::Different,
    })
}
