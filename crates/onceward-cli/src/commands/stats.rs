//! `stats`: figures of the whole store.

use onceward_client::Client;

use crate::answer::Answer;
use crate::exit::Exit;
use crate::failure::Failure;

pub(crate) async fn run(client: &Client) -> Result<Answer, Failure> {
    let stats = client.store_stats().await?;
    let answer = Answer::new(Exit::Ok, "stats");
    Ok(stats.rows().into_iter().fold(answer, |answer, row| answer.with(row.name, row.value)))
}
