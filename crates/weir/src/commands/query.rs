use std::io::Write;

use anyhow::Result;
use clap::Args;
use weir_foundation::exit::ExitCode;
use weir_server::api::{Histogram, Indices, IndicesParameters, SearchAnswer, SearchParameters, Unreadable};

use super::{OutputArgs, block_on, moment, zone};
use crate::client::{Client, ClientArgs};
use crate::console::Misused;
use crate::output::{Format, HitPrinter, Zone};
use crate::{console, output};

mod aggregate;

/// Searches the indices of one prefix; the newest events come first.
///
/// The language is in docs/query.md: words and "phrases" in any field, field:value, ranges like status:>=500,
/// wildcards, AND, OR, - for not.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The prefix of the indices: through weir's own doors the name of the app
    prefix: String,
    /// Which events; all, if absent. One that begins with `-` stands behind `--`, after all options
    query: Vec<String>,
    /// From this time on: an age like `1h`, a date, or a time; local if it names no offset
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many events at most, up to 10000 [default: 100, or 0 with --histogram, --top or --count]
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Go on where a page ended
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Count all events that match
    #[arg(long)]
    count: bool,
    /// Count events per interval, like `1m`
    #[arg(long, value_name = "WIDTH")]
    histogram: Option<String>,
    /// Count the values of a field
    #[arg(long, value_name = "FIELD")]
    top: Option<String>,
    /// How many values of --top
    #[arg(long, value_name = "N", requires = "top")]
    top_limit: Option<u32>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ClientArgs,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let client = Client::of(&arguments.server)?;
    let zone = zone();
    let format = arguments.output.output;
    let parameters = parameters(arguments, &zone)?;
    let query = parameters.q.clone();
    let (answer, note) = block_on(async {
        let answer = client.get(&["search"], &parameters).await;
        let answer: SearchAnswer = console::of_query(answer, query.as_deref())?;
        let silent = format == Format::Text && parameters.limit != Some(0) && answer.hits.is_empty();
        let note = if silent { Some(absence(&client, &parameters).await?) } else { None };
        Ok((answer, note))
    })?;
    print(&mut console::stdout(), format, zone.clone(), &answer)?;
    if let Some(note) = note {
        console::note(&note);
    }
    for Unreadable { from, to, reason } in &answer.unreadable {
        let (from, to) = (output::local_text(from.0, &zone), output::local_text(to.0, &zone));
        console::note(&format!(
            "the answer is without events from {from} to {to} that can not be read: {reason}"
        ));
    }
    if let Some(next) = &answer.next {
        console::note(&format!("more: --after '{next}'"));
    }
    Ok(ExitCode::Good)
}

/// Why nothing is shown.
async fn absence(client: &Client, parameters: &SearchParameters) -> Result<String> {
    let prefix = parameters.prefix.clone();
    let name = prefix.clone().unwrap_or_default();
    let Indices { indices, .. } = client.get(&["indices"], &IndicesParameters { prefix }).await?;
    Ok(match indices.is_empty() {
        true => format!("there is no index of `{name}`; `weir indices` lists them"),
        false if parameters.after.is_some() => "no more events match".to_owned(),
        false => "no events match".to_owned(),
    })
}

fn parameters(arguments: Arguments, zone: &Zone) -> Result<SearchParameters> {
    let aggregates = arguments.count || arguments.histogram.is_some() || arguments.top.is_some();
    let time = |text: &Option<String>| text.as_deref().map(|text| moment(text, zone)).transpose();
    let (since, until) = (time(&arguments.since)?, time(&arguments.until)?);
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err(Misused("`--since` is after `--until`".to_owned()).into());
    }
    Ok(SearchParameters {
        prefix: Some(arguments.prefix),
        q: Some(arguments.query.join(" ")).filter(|query| !query.is_empty()),
        from: since.map(|since| since.to_string()),
        to: until.map(|until| until.to_string()),
        zone: None,
        limit: arguments.limit.or(aggregates.then_some(0)),
        after: arguments.after,
        count: arguments.count.then_some(true),
        histogram: arguments.histogram,
        top: arguments.top,
        top_limit: arguments.top_limit,
        format: None,
    })
}

fn print(out: &mut dyn Write, format: Format, zone: Zone, answer: &SearchAnswer) -> Result<()> {
    let SearchAnswer { hits, total, histogram, top, .. } = answer;
    let buckets = histogram.as_ref().map(|Histogram { buckets, .. }| buckets.as_slice());
    if let Some(buckets) = buckets {
        aggregate::print_histogram(out, format, &zone, buckets)?;
    }
    if let Some(values) = top.as_deref() {
        aggregate::print_top(out, format, &zone, values)?;
    }
    if let Some(total) = total {
        match format {
            Format::Text => writeln!(out, "{} events", output::count(*total))?,
            Format::Json => output::json_line(out, &serde_json::json!({ "total": total }))?,
            Format::Csv => writeln!(out, "total\n{total}")?,
        }
    }
    let mut printer = HitPrinter::new(format, zone);
    for hit in hits {
        printer.print(out, hit)?;
    }
    Ok(())
}
