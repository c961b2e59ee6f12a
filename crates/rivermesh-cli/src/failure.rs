//! Errors as people see them, and exit codes: 1 it failed, 2 the command line is wrong.

use std::{fmt, process::ExitCode};

use color_eyre::eyre::Report;

/// What was asked for makes no sense; exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error and its causes, each on a line, none twice.
pub(crate) fn explain(error: &Report) -> String {
    let mut text = String::from("error: ");
    let mut before = String::new();
    for (at, cause) in error.chain().enumerate() {
        let said = cause.to_string();
        // Some libraries repeat the cause's text in their own.
        if at > 0 && before.ends_with(&said) {
            continue;
        }
        if at > 0 {
            text.push_str("\n  because: ");
        }
        text.push_str(&said);
        before = said;
    }
    text
}

/// An error and its causes on one line.
pub(crate) fn in_one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// Prints an error and gives the exit code for it.
pub(crate) fn exit(error: &Report) -> ExitCode {
    eprintln!("{}", explain(error));
    ExitCode::from(if error.downcast_ref::<Usage>().is_some() {
        2
    } else {
        1
    })
}

#[cfg(test)]
mod tests {
    use color_eyre::eyre::{WrapErr, eyre};

    use super::*;

    #[test]
    fn causes_are_told_once() {
        let error = Err::<(), _>(eyre!("no such file"))
            .wrap_err("cannot read x: no such file")
            .wrap_err("cannot start")
            .unwrap_err();
        assert_eq!(
            explain(&error),
            "error: cannot start\n  because: cannot read x: no such file"
        );
    }
}
