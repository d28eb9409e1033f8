//! `bridge man`: one page with the help of every command, in roff (man(7)).

use std::fmt::Write as _;

use clap::Command;

/// The page of a command line, under the name of its binary.
pub fn page(mut command: Command) -> String {
    command.build();
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let version = command.get_version().unwrap_or_default().to_owned();
    let mut page = format!(
        ".TH {} 1 \"\" \"{}\" \"measoft-bridge\"\n.SH NAME\n{} \\- {}\n.SH DESCRIPTION\n",
        escaped(&name.to_uppercase()),
        escaped(&version),
        escaped(&name),
        escaped(&about)
    );
    section(&mut page, &command);
    page.push_str(".SH COMMANDS\n");
    walk(&mut page, &command);
    page
}

fn walk(page: &mut String, command: &Command) {
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        if !sub.is_subcommand_required_set() {
            let _ = writeln!(page, ".SS {}", escaped(sub.get_bin_name().unwrap_or(sub.get_name())));
            section(page, sub);
        }
        walk(page, sub);
    }
}

/// The help as it is, line by line.
fn section(page: &mut String, command: &Command) {
    let help = command.clone().render_long_help().to_string();
    page.push_str(".nf\n");
    for line in help.trim_end().lines() {
        // A line that begins so would be a request.
        let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        let _ = writeln!(page, "{guard}{}", escaped(line));
    }
    page.push_str(".fi\n");
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_its_place_under_the_name_it_is_called_by() {
        let show = Command::new("show").about("Shows: \\ and\n.so /etc/passwd");
        let order = Command::new("order").subcommand_required(true).subcommand(show);
        let whole = Command::new("bridge").bin_name("its-name").version("1.2");
        let page = page(whole.about("Says what it is").subcommand(order));
        assert!(page.starts_with(".TH ITS\\-NAME 1 \"\" \"1.2\""), "{page}");
        assert!(page.contains("\n.SS its\\-name order show\n") && !page.contains(".SS its\\-name order\n"), "{page}");
        assert!(page.contains("Shows: \\e and\n\\&.so /etc/passwd\n"), "{page}");
    }
}
