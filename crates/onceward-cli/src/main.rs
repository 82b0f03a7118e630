//! The onceward command: daemon, demonstration and operator's tool in one binary.

mod answer;
mod arguments;
mod bench;
mod commands;
mod confirm;
mod credential;
mod demo;
mod entry;
mod exit;
mod failure;
mod hex;
mod identity;
mod logging;
mod output;
mod quantity;
mod render;
mod result_arguments;
mod run;
mod secret;
mod serve;
mod settings;
mod spans;
mod spinner;
mod waiting;

use std::process::ExitCode;

use clap::ArgMatches;
use clap::error::ErrorKind;

use crate::answer::Answer;
use crate::arguments::{Cli, Command, Shared};
use crate::commands::get::Got;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::settings::SettingsFile;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    // Twice: only the first look tells which file the second one rests on.
    let (first, matches) = match arguments::parse(&arguments, None) {
        Ok(parsed) => parsed,
        Err(error) => return refuse(&error),
    };
    let json = first.shared.json;
    let runs = matches!(first.command, Command::Run(_));
    let parsed = if first.command.reads_settings() {
        match settings::load(first.shared.config.as_deref()) {
            Ok(None) => Ok((first, matches)),
            Ok(Some(file)) => match arguments::parse(&arguments, Some(&file)) {
                Ok(parsed) => return run(parsed, Some(&file)),
                Err(error) => return refuse(&error),
            },
            Err(failure) => Err(failure),
        }
    } else {
        Ok((first, matches))
    };
    match parsed {
        Ok(parsed) => run(parsed, None),
        Err(failure) if runs => run::fail(failure, json),
        Err(failure) => tell_failure(&failure, json),
    }
}

fn run((cli, matches): (Cli, ArgMatches), file: Option<&SettingsFile>) -> ExitCode {
    let json = cli.shared.json;
    execute(cli, &matches, file)
        .unwrap_or_else(|failure| tell_failure(&settings::blame(file, &matches, failure), json))
}

/// What could not be parsed, or asked for help or the version.
fn refuse(error: &clap::Error) -> ExitCode {
    // What follows -- is the words of a command of run's.
    let ours: Vec<_> = std::env::args_os().take_while(|argument| argument != "--").collect();
    if error.kind() == ErrorKind::DisplayVersion && arguments::wants_json(ours.clone()) {
        let told = tell(&commands::version::answer(), true).map(|()| Exit::Ok.into());
        return told.unwrap_or_else(|failure| tell_failure(&failure, true));
    }
    if error.use_stderr() && run::is_named_by(&ours) {
        return run::refuse(&what_is_wrong(error), arguments::wants_json(ours));
    }
    if error.use_stderr() && arguments::wants_json(std::env::args_os()) {
        return tell_failure(&Failure::new(Exit::BadInput, what_is_wrong(error)), true);
    }
    match in_our_words(error) {
        // The whole help says more to people.
        Some(words) if error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::complain(&format!("error: {words}"));
        }
        // Nobody is left to be told if this cannot be written.
        _ => drop(error.print()),
    }
    if error.use_stderr() { Exit::BadInput.into() } else { Exit::Ok.into() }
}

/// The first paragraph of the parser's text; usage and hints follow it.
fn what_is_wrong(error: &clap::Error) -> String {
    let text = in_our_words(error).map_or_else(|| error.to_string(), str::to_owned);
    let what = text.trim().split("\n\n").next().unwrap_or_default();
    what.trim_start_matches("error: ").to_owned()
}

/// Where the parser's own text lacks what to do now, or names commands that are not for people.
fn in_our_words(error: &clap::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Some("no command: see onceward --help")
        }
        ErrorKind::InvalidUtf8 => Some(
            "an argument is no UTF-8: write such a key as --key-hex, a scope as --scope-hex, a body as --body-file",
        ),
        _ => None,
    }
}

fn execute(
    cli: Cli,
    matches: &ArgMatches,
    file: Option<&SettingsFile>,
) -> Result<ExitCode, Failure> {
    let Cli { shared, command } = cli;
    // Has exit codes, a log filter and a word for failures of its own.
    if let Command::Run(arguments) = command {
        return Ok(run::run(&arguments, &shared));
    }
    let default_log = if matches!(command, Command::Serve(_)) { "info" } else { "warn" };
    logging::start(shared.log.as_deref(), default_log)?;
    match file {
        Some(file) => tracing::debug!("settings of {}", file.path.display()),
        None => tracing::debug!("no settings file"),
    }
    match command {
        Command::Serve(arguments) => {
            let namespaces = file.map(|file| file.namespaces.clone()).unwrap_or_default();
            let plan = arguments.plan(namespaces).map_err(|failures| {
                let blamed = failures.into_iter();
                Failure::all(blamed.map(|one| settings::blame(file, matches, one)).collect())
            })?;
            serve::run(plan, &arguments, shared.json).map(ExitCode::from)
        }
        Command::Demo(arguments) => Ok(demo::run(&arguments, shared.url, shared.json)?),
        Command::Bench(arguments) => bench::run_command(&arguments, &shared),
        Command::DemoProcess(arguments) => Ok(demo::run_process(arguments)?),
        Command::RunProcess(arguments) => Ok(run::run_process(arguments)),
        Command::Journal(arguments) => {
            commands::journal::run(&arguments, shared.json).map(ExitCode::from)
        }
        Command::Config(arguments) => {
            let shown = commands::config::run(&arguments, file, matches, shared.json)?;
            output::print(&shown).map(|()| Exit::Ok.into())
        }
        Command::CheckConfig(arguments) => {
            let verdict = commands::check_config::run(&arguments, &shared);
            let told = if shared.json { render::json(&verdict) } else { verdict.lines() };
            output::print(&told).map(|()| verdict.exit().into())
        }
        Command::Completions(arguments) => {
            output::print(&commands::completions::script(&arguments)).map(|()| Exit::Ok.into())
        }
        Command::Man(arguments) => {
            if let Some(answer) = commands::man::run(&arguments)? {
                tell(&answer, shared.json)?;
            }
            Ok(Exit::Ok.into())
        }
        Command::Version => {
            tell(&commands::version::answer(), shared.json).map(|()| Exit::Ok.into())
        }
        operation => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| {
                Failure::new(Exit::Failure, format!("no runtime can be started: {error}"))
            })?;
            let ended = runtime.block_on(operate(&shared, operation));
            ended.map(ExitCode::from).map_err(|failure| failure.at(shared.url()))
        }
    }
}

/// One operation against the store.
async fn operate(shared: &Shared, command: Command) -> Result<Exit, Failure> {
    let client = match &command {
        Command::Wait(_) | Command::List(_) | Command::Resolve(_) | Command::Forget(_) => {
            shared.client_of_daemon()?
        }
        _ => shared.client()?,
    };
    let answer = match command {
        Command::Ping(arguments) => commands::ping::run(&client, &arguments).await?,
        Command::Begin(arguments) => commands::begin::run(&client, &arguments).await?,
        Command::Complete(arguments) => commands::complete::run(&client, &arguments).await?,
        Command::Abandon(arguments) => commands::abandon::run(&client, &arguments).await?,
        Command::Renew(arguments) => commands::renew::run(&client, &arguments).await?,
        Command::Stats => commands::stats::run(&client).await?,
        Command::Resolve(arguments) => {
            commands::resolve::run(&client, &arguments, shared.json).await?
        }
        Command::Forget(arguments) => {
            commands::forget::run(&client, &arguments, shared.json).await?
        }
        Command::List(arguments) => {
            return commands::list::run(&client, &arguments, shared.json).await;
        }
        Command::Get(arguments) => {
            return tell_got(commands::get::run(&client, &arguments).await?, shared.json);
        }
        Command::Wait(arguments) => {
            let got = commands::wait::run(&client, &arguments, shared.json).await?;
            return tell_got(got, shared.json);
        }
        Command::Serve(_)
        | Command::Demo(_)
        | Command::Bench(_)
        | Command::DemoProcess(_)
        | Command::Run(_)
        | Command::RunProcess(_)
        | Command::Journal(_)
        | Command::Config(_)
        | Command::CheckConfig(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Version => {
            unreachable!("these are no operations, and execute ran them")
        }
    };
    tell(&answer, shared.json)?;
    Ok(answer.exit)
}

fn tell_got(got: Got, json: bool) -> Result<Exit, Failure> {
    match got {
        Got::Answer(answer) => {
            tell(&answer, json)?;
            Ok(answer.exit)
        }
        Got::Body(body) => {
            output::print(&body)?;
            Ok(Exit::Ok)
        }
    }
}

fn tell(answer: &Answer, json: bool) -> Result<(), Failure> {
    output::print(&if json { render::json(answer) } else { render::lines(answer) })
}

fn tell_failure(failure: &Failure, json: bool) -> ExitCode {
    if json {
        // If stdout is the fault, the exit code still tells.
        let _ = output::print(&render::json(failure));
    } else {
        output::complain(&format!("error: {failure}"));
        if let Some(attempt) = &failure.attempt {
            let _ = output::print(format!("attempt id  {attempt}\n").as_bytes());
        }
    }
    failure.exit.into()
}
