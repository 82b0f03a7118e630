//! The recipes of `docs/cookbook.md`: each program runs with a store of its own and against the
//! daemon, and the document shows what the programs hold.

// The programs bring a `main` of their own.
#[expect(dead_code, reason = "only `run` is called here")]
#[path = "../../../onceward-client/examples/booking.rs"]
mod booking;
#[expect(dead_code, reason = "only `run` is called here")]
#[path = "../../../onceward-client/examples/cron_job.rs"]
mod cron_job;
#[expect(dead_code, reason = "only `run` is called here")]
#[path = "../../../onceward-client/examples/order_api.rs"]
mod order_api;
#[expect(dead_code, reason = "only `run` is called here")]
#[path = "../../../onceward-client/examples/queue_consumer.rs"]
mod queue_consumer;
#[expect(dead_code, reason = "only `run` is called here")]
#[path = "../../../onceward-client/examples/webhook_receiver.rs"]
mod webhook_receiver;

use std::path::Path;

use onceward_client::Client;

use crate::daemon::Daemon;

macro_rules! recipes {
    ($($recipe:ident),+) => {$(
        mod $recipe {
            #[tokio::test]
            async fn runs_with_a_store_of_its_own() {
                let client = super::Client::open("mem://cookbook").expect("it opens");
                super::super::$recipe::run(client).await.expect("it ends well");
            }

            #[tokio::test]
            async fn runs_against_the_daemon() {
                let daemon = super::Daemon::start(&["--memory", "64MiB"]);
                let client = super::Client::open(&daemon.url()).expect("it opens");
                super::super::$recipe::run(client).await.expect("it ends well");
            }
        }
    )+};
}

mod recipe {
    use super::{Client, Daemon};
    recipes!(booking, cron_job, order_api, queue_consumer, webhook_receiver);
}

/// Each fenced block of Rust below a line `Program: [..](..)` stands in that program.
fn foreign_blocks(document: &str, read: impl Fn(&str) -> String) -> Vec<String> {
    let mut program = None;
    let mut block: Option<String> = None;
    let mut foreign = Vec::new();
    for line in document.lines() {
        if let Some(text) = &mut block {
            if line == "```" {
                let known =
                    program.as_ref().is_some_and(|program: &String| program.contains(&**text));
                if !known {
                    foreign.push(text.clone());
                }
                block = None;
            } else {
                text.push_str(line);
                text.push('\n');
            }
        } else if line == "```rust" {
            block = Some(String::new());
        } else if let Some(link) = line.strip_prefix("Program: [") {
            let path = link.split_once("](").expect("a link").1.trim_end_matches(')');
            program = Some(read(path));
        }
    }
    foreign
}

#[test]
fn the_document_shows_what_the_programs_hold() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let read = |path: &str| std::fs::read_to_string(docs.join(path)).expect(path);
    let document = read("cookbook.md");
    assert_eq!(foreign_blocks(&document, read), Vec::<String>::new());

    let planted = "Program: [a](a.rs)\n```rust\nlet x = 1;\n```\n```rust\nlet y = 2;\n```\n";
    let found = foreign_blocks(planted, |_| "fn a() {\nlet x = 1;\n}\n".to_owned());
    assert_eq!(found, ["let y = 2;\n"], "a block that no program holds is found");
}
