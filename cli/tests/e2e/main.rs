//! The whole path on real servers: HTTP in, Kafka, Postgres, and viewers who check every event that they get.

#![allow(missing_docs)]

mod alis;
mod asciinema;
mod browser;
mod cluster;
mod deadlines;
mod duplicates;
mod exports;
mod following;
mod hooks;
mod html_export;
mod identity;
mod import;
mod kills;
mod masking;
mod moderation;
mod openclaw;
mod operate;
mod outages;
mod pages;
mod playback;
mod producer;
mod rebuild;
mod run;
mod run_kills;
mod run_terminal;
mod run_tools;
mod sdks;
mod sealed;
mod seam;
mod segments;
mod slow_viewers;
mod soak_playback;
mod states;
mod terminal;
mod terminal_player;
mod truncation;
mod two_gateways;
mod viewer;
