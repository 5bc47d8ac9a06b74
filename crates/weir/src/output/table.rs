use std::io::{self, Write};

use anstyle::{Effects, Style};

use super::{Align, Column};

const HEADER: Style = Style::new().effects(Effects::BOLD);

/// Columns as wide as their widest cell, two spaces apart; nothing at all for no rows but the header.
pub(crate) fn print_table(out: &mut dyn Write, columns: &[Column], rows: &[Vec<String>]) -> io::Result<()> {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| width(cell));
            cells.chain([width(column.name)]).max().unwrap_or(0)
        })
        .collect();
    let names: Vec<String> =
        columns.iter().map(|column| column.name.replace('_', " ").to_uppercase()).collect();
    writeln!(out, "{HEADER}{}{HEADER:#}", line(columns, &widths, &names))?;
    rows.iter().try_for_each(|row| writeln!(out, "{}", line(columns, &widths, row)))
}

fn line(columns: &[Column], widths: &[usize], cells: &[String]) -> String {
    let mut line = String::new();
    for ((column, width), cell) in columns.iter().zip(widths).zip(cells) {
        if !line.is_empty() {
            line.push_str("  ");
        }
        match column.align {
            Align::Left => line.push_str(&format!("{cell:<width$}")),
            Align::Right => line.push_str(&format!("{cell:>width$}")),
        }
    }
    line.truncate(line.trim_end().len());
    line
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}
