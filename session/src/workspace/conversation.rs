//! What is said in a session: messages with their parts folded, thoughts, chat.

use serde::{Deserialize, Serialize};

use super::event::{FoldEvent, moment};
use super::fields::Fields;
use super::window::{Cost, Window, beginning, end, json_length};

const MESSAGES_BYTES: usize = 32_000;
const THOUGHTS_BYTES: usize = 16_000;
const CHAT_BYTES: usize = 10_000;
/// JSON bytes of one text.
const TEXT_BYTES: usize = 12_000;
const NAME_BYTES: usize = 200;

/// The fold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// The last messages, oldest first.
    pub messages: Window<Message, MESSAGES_BYTES>,
    /// The last thoughts, oldest first.
    pub thoughts: Window<Thought, THOUGHTS_BYTES>,
    /// The last of the chat, oldest first.
    pub chat: Window<ChatLine, CHAT_BYTES>,
}

/// A message of the agent or its user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The producer's name for it.
    pub message: String,
    /// assistant, user, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// text or thinking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The model that said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// While it is being said its end, then its beginning, where it is too long.
    pub text: String,
    /// The text is not all of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// All of it has been said.
    pub completed: bool,
    /// Position of its first event.
    pub position: i64,
}

/// A thought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thought {
    /// general, reasoning, decision, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// What was thought, its beginning where it is too long.
    pub text: String,
    /// The text is not all of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Its position.
    pub position: i64,
}

/// A line of the chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatLine {
    /// The event's id.
    pub event: String,
    /// Who said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What was said.
    pub text: String,
    /// The event that was being looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The line that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// When it came in.
    pub received: String,
    /// Its position.
    pub position: i64,
}

impl Cost for Message {
    fn cost(&self) -> usize {
        let optional = [&self.role, &self.channel, &self.model];
        let optional: usize = optional.into_iter().flatten().map(|text| json_length(text)).sum();
        json_length(&self.message) + json_length(&self.text) + optional + 120
    }
}

impl Cost for Thought {
    fn cost(&self) -> usize {
        json_length(&self.text) + self.r#type.as_deref().map_or(0, json_length) + 60
    }
}

impl Cost for ChatLine {
    fn cost(&self) -> usize {
        json_length(&self.text) + self.name.as_deref().map_or(0, json_length) + 260
    }
}

impl Conversation {
    pub(super) fn apply(&mut self, event: &FoldEvent<'_>) {
        let fields = Fields::of(event.data);
        match event.kind.as_ref() {
            "message.delta" => self.apply_delta(event.position, &fields),
            "message.completed" => self.complete(event.position, &fields),
            "thought" => {
                if let Some(text) = fields.text("content") {
                    let kept = beginning(&text, TEXT_BYTES);
                    self.thoughts.push(Thought {
                        r#type: short(&fields, "type"),
                        text: kept.to_owned(),
                        cut: kept.len() < text.len(),
                        position: event.position,
                    });
                }
            }
            "chat" => self.apply_chat(event, &fields),
            "moderation" => {
                if fields.text("action").is_some_and(|action| action == "delete")
                    && let Some(target) = fields.text("target")
                {
                    self.chat.take(|line| line.event == target);
                }
            }
            _ => {}
        }
    }

    fn apply_delta(&mut self, position: i64, fields: &Fields<'_>) {
        let (Some(name), Some(text)) = (short(fields, "message"), fields.text("text")) else {
            return;
        };
        let channel = short(fields, "channel");
        let is_it =
            |message: &Message| !message.completed && message.message == name && message.channel == channel;
        let known = self.messages.change(is_it, |message| {
            message.text.push_str(&text);
            if json_length(&message.text) > TEXT_BYTES {
                message.text = end(&message.text, TEXT_BYTES).to_owned();
                message.cut = true;
            }
        });
        if !known {
            let kept = end(&text, TEXT_BYTES);
            self.messages.push(Message {
                text: kept.to_owned(),
                cut: kept.len() < text.len(),
                message: name,
                role: short(fields, "role"),
                channel,
                position,
                ..Message::default()
            });
        }
    }

    fn complete(&mut self, position: i64, fields: &Fields<'_>) {
        let (Some(name), Some(text)) = (short(fields, "message"), fields.text("content")) else {
            return;
        };
        let kept = beginning(&text, TEXT_BYTES).to_owned();
        let cut = kept.len() < text.len();
        let is_it = |message: &Message| {
            !message.completed && message.message == name && message.channel.as_deref() != Some("thinking")
        };
        let known = self.messages.change(is_it, |message| {
            message.text.clone_from(&kept);
            message.cut = cut;
            message.completed = true;
            message.role = short(fields, "role").or(message.role.take());
            message.model = short(fields, "model");
        });
        if !known {
            self.messages.push(Message {
                role: short(fields, "role"),
                channel: None,
                model: short(fields, "model"),
                text: kept,
                cut,
                completed: true,
                position,
                message: name.clone(),
            });
        }
        // What was thought on the way to it is complete as well.
        self.messages.change(
            |message| !message.completed && message.message == name,
            |message| message.completed = true,
        );
    }

    fn apply_chat(&mut self, event: &FoldEvent<'_>, fields: &Fields<'_>) {
        let Some(text) = fields.text("text") else {
            return;
        };
        self.chat.push(ChatLine {
            event: event.id.to_string(),
            name: short(fields, "name"),
            text: beginning(&text, 4_000).to_owned(),
            at: short(fields, "at"),
            reply_to: short(fields, "reply_to"),
            received: moment(event.received),
            position: event.position,
        });
    }
}

/// A field as text, cut to what a name needs.
pub(super) fn short(fields: &Fields<'_>, name: &str) -> Option<String> {
    Some(beginning(&fields.text(name)?, NAME_BYTES).to_owned())
}
