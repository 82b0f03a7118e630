//! `man`: the manual pages, one for the whole and one for each command.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;

use crate::answer::Answer;
use crate::arguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  onceward man | man -l -
  onceward man --dir /usr/local/share/man/man1";

/// Print the manual page, or write those of all commands
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManArguments {
    /// Write onceward.1 and one page for each command into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the page of the whole, or writes all pages and tells how many.
///
/// # Errors
/// A folder that cannot be written.
pub(crate) fn run(arguments: &ManArguments) -> Result<Option<Answer>, Failure> {
    let mut command = arguments::described().disable_help_subcommand(true);
    command.build();
    let Some(folder) = &arguments.dir else {
        let page = page(command).map_err(|error| unwritten(Path::new("the page"), &error))?;
        output::print(&page)?;
        return Ok(None);
    };
    fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
    let own = command.get_subcommands().cloned().collect::<Vec<_>>();
    let mut pages = 0;
    for command in [command].into_iter().chain(own) {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        let path = folder.join(format!("{name}.1"));
        let written = page(command).and_then(|page| fs::write(&path, page));
        written.map_err(|error| unwritten(&path, &error))?;
        pages += 1;
    }
    let folder = folder.display().to_string();
    Ok(Some(Answer::new(Exit::Ok, "written").with("folder", folder).with("pages", pages as u64)))
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let source = concat!("onceward ", env!("CARGO_PKG_VERSION"));
    Man::new(command).source(source).manual("Onceward").render(&mut page)?;
    Ok(page)
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failure, format!("{} cannot be written: {error}", path.display()))
}
