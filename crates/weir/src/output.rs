//! What commands print: lists and hits as text, JSON lines or CSV.

mod hit;
mod number;
mod printable;
mod table;
mod time;

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

pub(crate) use self::hit::HitPrinter;
pub(crate) use self::number::count;
pub(crate) use self::printable::printable;
pub(crate) use self::table::print_table;
pub(crate) use self::time::{Zone, local_text};

/// How a command prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// Comma-separated values (RFC 4180), with a line of names first.
    Csv,
}

/// One line of a list.
pub(crate) trait Row {
    /// Names of the columns, as in JSON and CSV.
    const COLUMNS: &'static [Column];

    /// In the order of the columns; numbers without separators.
    fn cells(&self, zone: &Zone) -> Vec<String>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) align: Align,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A count, or that nobody knows it.
pub(crate) fn known(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

pub(crate) const fn left(name: &'static str) -> Column {
    Column { name, align: Align::Left }
}

pub(crate) const fn right(name: &'static str) -> Column {
    Column { name, align: Align::Right }
}

/// Prints a list in the form that was asked for.
pub(crate) fn print_rows<R: Row + Serialize>(
    out: &mut dyn Write,
    format: Format,
    zone: &Zone,
    rows: &[R],
) -> io::Result<()> {
    match format {
        Format::Text => {
            let shown = |row: &R| row.cells(zone).iter().map(|cell| printable(cell)).collect();
            let cells: Vec<Vec<String>> = rows.iter().map(shown).collect();
            print_table(out, R::COLUMNS, &cells)
        }
        Format::Json => rows.iter().try_for_each(|row| json_line(out, row)),
        Format::Csv => {
            let header = named(R::COLUMNS.iter().map(|column| column.name), R::COLUMNS);
            csv_line(out, header)?;
            rows.iter().try_for_each(|row| csv_line(out, named(row.cells(zone).into_iter(), R::COLUMNS)))
        }
    }
}

/// Without what is for the eye only: columns that have no name.
fn named<T>(cells: impl Iterator<Item = T>, columns: &[Column]) -> Vec<T> {
    cells.zip(columns).filter(|(_, column)| !column.name.is_empty()).map(|(cell, _)| cell).collect()
}

pub(crate) fn json_line(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Writes a record of CSV, so that the kind of an error is kept.
fn csv_line<T: AsRef<[u8]>>(out: &mut dyn Write, cells: impl IntoIterator<Item = T>) -> io::Result<()> {
    let mut line = csv::Writer::from_writer(Vec::new());
    line.write_record(cells)?;
    out.write_all(&line.into_inner().map_err(csv::IntoInnerError::into_error)?)
}

/// Whether an error only says that nobody reads what is printed any more.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io_kind =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    error.chain().any(|cause| io_kind(cause) == Some(io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Fruit {
        name: &'static str,
        count: u64,
    }

    impl Row for Fruit {
        const COLUMNS: &'static [Column] = &[left("name"), right("count")];

        fn cells(&self, _: &Zone) -> Vec<String> {
            vec![self.name.to_owned(), self.count.to_string()]
        }
    }

    fn printed(format: Format) -> String {
        let rows = [Fruit { name: "apple, red", count: 7 }, Fruit { name: "fig", count: 12_000 }];
        let mut out = anstream::StripStream::new(Vec::new());
        print_rows(&mut out, format, &Zone::utc(), &rows).expect("memory takes it");
        String::from_utf8(out.into_inner()).expect("is text")
    }

    #[test]
    fn a_list_in_its_three_forms() {
        insta::assert_snapshot!(printed(Format::Text), @r"
        NAME        COUNT
        apple, red      7
        fig         12000
        ");
        insta::assert_snapshot!(printed(Format::Json), @r#"
        {"name":"apple, red","count":7}
        {"name":"fig","count":12000}
        "#);
        insta::assert_snapshot!(printed(Format::Csv), @r#"
        name,count
        "apple, red",7
        fig,12000
        "#);
    }

    #[test]
    fn no_cell_of_a_table_moves_the_terminal() {
        let mut out = Vec::new();
        let rows = [Fruit { name: "\u{1b}]0;x\u{7}\n\u{9d}", count: 7 }];
        print_rows(&mut out, Format::Text, &Zone::utc(), &rows).expect("memory takes it");
        let text = String::from_utf8(out).expect("is text");
        assert_eq!(text.lines().nth(1), Some(r"\u{1b}]0;x\u{7}\n\u{9d}      7"), "{text:?}");
    }

    #[test]
    fn a_broken_pipe_is_found_behind_its_context() {
        let broken = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("print");
        assert!(is_broken_pipe(&broken));
        assert!(!is_broken_pipe(&anyhow::anyhow!("print")));
    }

    /// A pipe that nobody reads.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_broken_pipe_is_found_in_every_form() {
        for format in [Format::Text, Format::Json, Format::Csv] {
            let printed = print_rows(&mut Gone, format, &Zone::utc(), &[Fruit { name: "fig", count: 7 }]);
            let error = printed.expect_err("nobody reads");
            assert!(is_broken_pipe(&error.into()), "{format:?}");
        }
    }
}
