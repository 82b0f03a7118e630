//! `completions`: what a shell needs to complete this command line.

use clap::Args;
use clap_complete::Shell;

use crate::arguments;

const EXAMPLES: &str = "\
Examples:
  source <(onceward completions bash)                # in ~/.bashrc
  onceward completions zsh > ~/.zfunc/_onceward      # with ~/.zfunc in fpath
  onceward completions fish > ~/.config/fish/completions/onceward.fish";

/// Print a script that completes this command line
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArguments {
    /// The shell that reads it
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// The script.
pub(crate) fn script(arguments: &CompletionsArguments) -> Vec<u8> {
    let mut script = Vec::new();
    let mut command = arguments::described();
    clap_complete::generate(arguments.shell, &mut command, "onceward", &mut script);
    script
}
