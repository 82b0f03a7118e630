//! Whether settings can be used together: everything that can be told without starting anything.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use onceward::{Durability, Limits, Millis};

use super::catalogue;
use super::effective::{Effective, Origin, effective};
use super::file::SettingsFile;
use super::problem::Problem;
use crate::arguments::{self, Cli, Command};
use crate::credential;
use crate::failure::Failure;
use crate::logging;
use crate::serve;

/// What begins every variable of this program.
const PREFIX: &str = "ONCEWARD_";
/// What `run` tells its command, which may be this program.
const OF_RUN: &str = "ONCEWARD_RUN_";

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// For each of these the daemon does not start, or a command refuses to run.
    pub(crate) problems: Vec<Problem>,
    /// What works, and may not be what was meant.
    pub(crate) warnings: Vec<Problem>,
}

/// Judges the file at `path`, if there is one, together with the environment.
pub(crate) fn judge(path: Option<&Path>) -> Judgement {
    let (file, problems) = match path.map(SettingsFile::read) {
        Some((file, problems)) => (Some(file), problems),
        None => (None, Vec::new()),
    };
    let (effective, variables) = effective(file.as_ref(), None);
    let readable = variables.is_empty();
    let mut judging = Judging {
        file: file.as_ref(),
        effective: &effective,
        found: Judgement { problems, warnings: Vec::new() },
    };
    judging.found.problems.extend(variables);
    judging.writable();
    judging.strangers();
    // What a variable spoils is told; what rests on it cannot be judged.
    if readable {
        judging.commands();
    }
    let Judgement { problems, warnings } = judging.found;
    Judgement { problems: in_order(problems), warnings: in_order(warnings) }
}

/// By line, those without one first; what two commands find in one place is told once.
fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| problem.line);
    problems.dedup_by(|next, last| next.line == last.line && next.message == last.message);
    problems
}

/// Every variable that an option of any command reads.
fn known_variables() -> BTreeSet<String> {
    let mut command = arguments::command();
    command.build();
    let options = command.get_subcommands().flat_map(clap::Command::get_arguments);
    let variables = options.filter_map(|option| option.get_env()?.to_str().map(str::to_owned));
    variables.chain([credential::VARIABLE.to_owned()]).collect()
}

/// `lease-max` of `ONCEWARD_LEASE_MAX`.
fn option_of(variable: &str) -> String {
    variable.trim_start_matches(PREFIX).to_lowercase().replace('_', "-")
}

struct Judging<'a> {
    file: Option<&'a SettingsFile>,
    effective: &'a [Effective],
    found: Judgement,
}

impl Judging<'_> {
    /// Who may change the file decides what the daemon does.
    fn writable(&mut self) {
        use std::os::unix::fs::PermissionsExt as _;
        let Some(file) = self.file else { return };
        let mode = std::fs::metadata(&file.path).map(|found| found.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o002 != 0) {
            self.found.warnings.push(Problem {
                file: Some(file.path.clone()),
                ..Problem::new("anybody on this machine may change this file: chmod o-w it")
            });
        }
    }

    /// What the commands themselves say to the values together.
    fn commands(&mut self) {
        let mut limits = Limits::DEFAULT;
        let mut level = Durability::Memory;
        if let Some(Cli { shared, command: Command::Serve(arguments) }) = self.parsed("serve", &[])
        {
            if let Some(filter) = &shared.log
                && let Err(failure) = logging::parse(filter)
            {
                self.problem(None, failure);
            }
            let namespaces = self.file.map(|file| file.namespaces.clone()).unwrap_or_default();
            level = arguments.durability();
            // An embedded store would start with its client.
            if !shared.url().starts_with("mem:") {
                match shared.client() {
                    Ok(client) => {
                        let own = namespaces.get(client.namespace().as_str());
                        level = own.and_then(|own| own.durability).unwrap_or(level);
                    }
                    Err(failure) => self.problem(None, failure),
                }
            }
            match arguments.plan(namespaces) {
                Ok(plan) => limits = plan.limits(),
                Err(failures) => {
                    for failure in failures {
                        self.problem(Some("serve"), failure);
                    }
                }
            }
            for (option, message) in arguments.doubts() {
                self.warn("serve", option, message);
            }
        }
        if let Some(Cli { command: Command::Begin(arguments), .. }) =
            self.parsed("begin", &["--key", "k"])
        {
            let (lease, retention) = arguments.spans();
            self.spans("begin", lease, retention, &limits);
            if arguments.is_in_doubt() {
                self.doubt("begin", "policy", level);
            }
        }
        if let Some(Cli { command: Command::Run(arguments), .. }) =
            self.parsed("run", &["--key", "k", "--", "true"])
        {
            let (lease, retention) = arguments.spans();
            self.spans("run", lease, retention, &limits);
            if let Some(option) = arguments.in_doubt_by() {
                self.doubt("run", option, level);
            }
        }
    }

    fn spans(&mut self, section: &'static str, lease: Millis, retention: Millis, limits: &Limits) {
        // The largest limits that any daemon can have: beyond them no daemon takes it (S6, S20).
        let widest = serve::widest_limits();
        let checks = |limits: &Limits| {
            [
                ("lease", limits.check_lease(lease).err()),
                ("retention", limits.check_retention(retention, lease).err()),
            ]
        };
        for ((option, never), (_, here)) in checks(&widest).into_iter().zip(checks(limits)) {
            if let Some(why) = never {
                self.problem(Some(section), Failure::bad_input(option, why.to_string()));
            } else if let Some(why) = here {
                self.warn(section, option, format!("{why}, says a daemon with this [serve]"));
            }
        }
    }

    /// Below the durability level `always` a doubt does not outlive a crash of the daemon (S14).
    fn doubt(&mut self, section: &'static str, option: &str, level: Durability) {
        let why = match level {
            Durability::Always => return,
            Durability::Memory => {
                "in-doubt does not span a restart or a crash of a daemon that keeps everything in memory (durability level memory): the key is absent then, and a retry runs the work again (S14)"
            }
            Durability::Interval => {
                "in-doubt does not span a crash at durability level interval: a key that was not synced yet is absent then, and a retry runs the work again; level always keeps it (S14)"
            }
        };
        self.warn(section, option, why.to_owned());
    }

    /// What is set for this program and no option reads: most likely a slip.
    fn strangers(&mut self) {
        let known = known_variables();
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            let own = name.starts_with(PREFIX) && !name.starts_with(OF_RUN);
            if !own || known.contains(&name) {
                continue;
            }
            let names = known.iter().map(|known| option_of(known));
            let names: Vec<_> = names.collect();
            let near = catalogue::nearest(names.iter().map(String::as_str), &option_of(&name));
            let advice = near.map_or(String::new(), |near| {
                format!(": did you mean {PREFIX}{}?", near.to_uppercase().replace('-', "_"))
            });
            self.found.warnings.push(Problem::new(format!("{name} sets nothing{advice}")));
        }
    }

    /// The command as it would be parsed with these settings.
    fn parsed(&self, command: &str, more: &[&str]) -> Option<Cli> {
        let typed =
            ["onceward", command].into_iter().chain(more.iter().copied()).map(OsString::from);
        let typed: Vec<_> = typed.collect();
        // What the parser refuses has been told, value by value.
        arguments::parse(&typed, self.file).ok().map(|(cli, _)| cli)
    }

    fn problem(&mut self, section: Option<&'static str>, failure: Failure) {
        let option = failure.field.as_deref().map(|field| field.replace('_', "-"));
        let problem = self.place(section, option, failure.message);
        self.found.problems.push(problem);
    }

    fn warn(&mut self, section: &'static str, option: &str, message: String) {
        let problem = self.place(Some(section), Some(option.to_owned()), message);
        self.found.warnings.push(problem);
    }

    /// Where the setting was made.
    fn place(
        &self,
        section: Option<&'static str>,
        key: Option<String>,
        message: String,
    ) -> Problem {
        let made = key.as_deref().and_then(|key| {
            self.effective.iter().find(|set| set.section == section && set.name == key)
        });
        let mut problem = Problem::new(message);
        problem.section = section.map(str::to_owned);
        match made {
            Some(Effective { origin: Origin::File, line, .. }) => {
                problem.file = self.file.map(|file| file.path.clone());
                problem.line = *line;
            }
            Some(Effective { origin: Origin::Environment, variable, .. }) => {
                problem.message = format!("{variable}: {}", problem.message);
            }
            Some(_) | None => {}
        }
        problem.key = key;
        problem
    }
}
