//! The newest hits: units from the newest on, pages from the end, until nothing older can come in.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};

use arrow_array::{Array, ArrayRef};
use arrow_select::concat::concat;
use weir_model::{EventId, Offset, Position, StreamPartition, Timestamp};

use super::super::chunk::Heads;
use super::super::open::ReadSegmentError;
use super::super::rows::Rows;
use super::super::source::{SourceId, Sources};
use super::eval::matching;
use super::rebuild::Rebuilder;
use super::run::{Candidate, Context, Interruption, Part};
use super::span::Span;
use super::unit::{Unit, pick};
use crate::error::SearchError;
use crate::search::{Cursor, Hit};

/// A page of the answer.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) hits: Vec<Hit>,
    pub(super) next: Option<Cursor>,
}

/// The order of hits: later times first, of one time the greater position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    time: i64,
    source: u32,
    offset: u64,
    index: u32,
}

struct Found {
    rank: Rank,
    received: i64,
    content: String,
}

/// The ranks of sources: in order of partitions, not of numbers.
struct Ranks {
    of: Vec<u32>,
    by_rank: Vec<SourceId>,
}

/// The hits so far, at most as many as are wanted and one more, which tells whether there is a next page.
struct Newest<'a> {
    context: &'a Context<'a>,
    heap: BinaryHeap<Reverse<Found>>,
    wanted: usize,
    ranks: Ranks,
    /// Where the page before ended.
    before: Option<Rank>,
}

/// Matching rows of a unit that are not yet among the hits: their other columns are read for several pages at
/// once, since a page has few of them and opening a column costs more than what is read.
struct Matches<'a> {
    unit: &'a Unit,
    /// In the order of the search, the last page first.
    pages: Vec<PageMatches>,
}

struct PageMatches {
    /// In the unit, ascending.
    rows: Vec<usize>,
    /// What the search read, of these rows.
    columns: HashMap<usize, ArrayRef>,
    bytes: usize,
}

/// `parts` come the newest first.
pub(super) fn newest(context: &Context<'_>, parts: &[Part<'_>]) -> Result<Page, SearchError> {
    let ranks = Ranks::new(&context.snapshot.sources);
    let wanted = context.request.limit.saturating_add(1);
    let before =
        context.request.after.as_ref().map(|cursor| ranks.of_cursor(cursor, &context.snapshot.sources));
    let mut newest = Newest { context, heap: BinaryHeap::new(), wanted, ranks, before };
    for part in parts {
        if newest.has_all_after(part.max_time) {
            break;
        }
        for candidate in context.readable(context.open(part))? {
            if newest.has_all_after(candidate.max_time) {
                break;
            }
            newest.look_through(&candidate)?;
        }
    }
    Ok(newest.into_page())
}

impl Newest<'_> {
    /// Whether rows no later than `time` can not change the answer.
    fn has_all_after(&self, time: i64) -> bool {
        self.heap.len() >= self.wanted && self.heap.peek().is_some_and(|Reverse(last)| time < last.rank.time)
    }

    fn look_through(&mut self, candidate: &Candidate) -> Result<(), SearchError> {
        let window = self.context.window();
        let after = self.context.request.after.as_ref().map_or(i64::MAX, |cursor| cursor.time.micros());
        let leftovers = candidate.unit.has_leftovers();
        let mut matches = Matches { unit: &candidate.unit, pages: Vec::new() };
        for page in (0..candidate.unit.pages()).rev() {
            let (min, max) = candidate.unit.page_times(page);
            if self.heap.len() + matches.count() >= self.wanted {
                self.settle(&mut matches)?;
            }
            if self.has_all_after(max) {
                break;
            }
            let possible = || leftovers || candidate.bound.is_possible(&candidate.unit, page);
            if window.overlaps(min, max) && min <= after && possible() {
                self.context.guard.check()?;
                if let Some(found) = self.context.readable(self.look_at(candidate, page))? {
                    self.context.guard.hold(found.bytes)?;
                    matches.pages.push(found);
                }
            }
        }
        self.settle(&mut matches)
    }

    fn look_at(&self, candidate: &Candidate, page: usize) -> Result<Option<PageMatches>, Interruption> {
        let request = self.context.request;
        let span = Span::new(&candidate.unit, page..page + 1);
        self.context.scanned(span.rows.len());
        let found = matching(&request.query, &candidate.bound, &span, &request.prefix)?;
        let rows: Vec<usize> = found.set_indices().map(|row| span.rows.start + row).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let picked: Rows = found.set_indices().collect();
        let columns: HashMap<usize, ArrayRef> =
            span.columns().iter().map(|(field, column)| (*field, pick(column, &picked))).collect();
        let bytes = columns.values().map(|column| column.get_array_memory_size()).sum();
        Ok(Some(PageMatches { rows, columns, bytes }))
    }

    /// Takes the matches that were collected; of damaged pages only they are lost.
    fn settle(&mut self, matches: &mut Matches<'_>) -> Result<(), SearchError> {
        self.context.guard.release(matches.bytes());
        let outcome = match self.take(matches) {
            Err(Interruption::Segment(error)) if error.is_damage() && matches.pages.len() > 1 => {
                matches.pages.drain(..).try_for_each(|page| {
                    let alone = Matches { unit: matches.unit, pages: vec![page] };
                    self.context.readable(self.take(&alone))
                })
            }
            outcome => self.context.readable(outcome),
        };
        matches.pages.clear();
        outcome
    }

    /// Puts the matches that are new enough among the hits.
    fn take(&mut self, matches: &Matches<'_>) -> Result<(), Interruption> {
        if matches.pages.is_empty() {
            return Ok(());
        }
        let rows = matches.rows();
        let all = rows.iter().copied().collect();
        let heads = matches.unit.load_heads(&all, &self.context.snapshot.sources)?;
        let mut best = self.worth_keeping(&heads);
        if best.is_empty() {
            return Ok(());
        }
        best.sort_unstable_by_key(|(rank, _)| Reverse(*rank));
        best.truncate(self.wanted);
        best.sort_unstable_by_key(|(_, row)| *row);
        let rebuilder = matches.rebuilder(&rows, best.iter().map(|(_, row)| *row).collect())?;
        for (number, (rank, row)) in best.into_iter().enumerate() {
            let content = rebuilder.content(number);
            self.keep(Found { rank, received: heads.received[row], content })?;
        }
        Ok(())
    }

    /// Which of the rows are among the newest so far.
    fn worth_keeping(&self, heads: &Heads) -> Vec<(Rank, usize)> {
        let window = self.context.window();
        let last = self.heap.peek().filter(|_| self.heap.len() >= self.wanted).map(|Reverse(last)| last.rank);
        let ranked = (0..heads.times.len())
            .filter(|row| window.contains(heads.times[*row]))
            .map(|row| (self.ranks.rank(heads, row), row));
        ranked
            .filter(|(rank, _)| {
                last.is_none_or(|last| *rank > last) && self.before.is_none_or(|before| *rank < before)
            })
            .collect()
    }

    fn keep(&mut self, found: Found) -> Result<(), SearchError> {
        self.context.guard.hold(found.content.len())?;
        self.heap.push(Reverse(found));
        if self.heap.len() > self.wanted
            && let Some(Reverse(last)) = self.heap.pop()
        {
            self.context.guard.release(last.content.len());
        }
        Ok(())
    }

    fn partition(&self, rank: &Rank) -> &StreamPartition {
        self.context.snapshot.sources.get(self.ranks.by_rank[rank.source as usize])
    }

    fn into_page(mut self) -> Page {
        let mut found: Vec<Found> =
            std::mem::take(&mut self.heap).into_iter().map(|Reverse(found)| found).collect();
        found.sort_by_key(|found| Reverse(found.rank));
        let more = found.len() > self.context.request.limit;
        found.truncate(self.context.request.limit);
        let hits: Vec<Hit> = found.into_iter().map(|found| self.hit(found)).collect();
        let next = hits.last().filter(|_| more).map(|hit| Cursor { time: hit.time, id: hit.id.clone() });
        Page { hits, next }
    }

    fn hit(&self, found: Found) -> Hit {
        let Rank { time, offset, index, .. } = found.rank;
        let partition = self.partition(&found.rank).clone();
        Hit {
            id: EventId(Position { partition, offset: Offset(offset), index }),
            time: Timestamp::from_micros(time),
            received: Timestamp::from_micros(found.received),
            content: found.content,
        }
    }
}

impl Matches<'_> {
    fn count(&self) -> usize {
        self.pages.iter().map(|page| page.rows.len()).sum()
    }

    fn bytes(&self) -> usize {
        self.pages.iter().map(|page| page.bytes).sum()
    }

    fn rows(&self) -> Vec<usize> {
        self.pages.iter().rev().flat_map(|page| &page.rows).copied().collect()
    }

    /// Reads what is missing of some of `rows`, which are [`Self::rows`]; `chosen` are numbers in them, ascending.
    fn rebuilder(&self, rows: &[usize], chosen: Vec<usize>) -> Result<Rebuilder, ReadSegmentError> {
        let picked: Rows = chosen.iter().copied().collect();
        let mut at_hand = HashMap::new();
        for field in self.pages.iter().flat_map(|page| page.columns.keys().copied()) {
            let columns: Option<Vec<&dyn Array>> =
                self.pages.iter().rev().map(|page| page.columns.get(&field).map(AsRef::as_ref)).collect();
            // What was read of some pages only is read again.
            if let Some(columns) = columns
                && !at_hand.contains_key(&field)
            {
                let column = concat(&columns).expect("columns of one field are of one type");
                at_hand.insert(field, pick(&column, &picked));
            }
        }
        Rebuilder::new(self.unit, &chosen.into_iter().map(|row| rows[row]).collect(), at_hand)
    }
}

impl Ranks {
    fn new(sources: &Sources) -> Self {
        let mut by_rank: Vec<SourceId> = sources.iter().map(|(source, _)| source).collect();
        by_rank.sort_by_key(|source| sources.get(*source));
        let mut of = vec![0; by_rank.len()];
        for (rank, source) in (0..).zip(&by_rank) {
            of[source.0 as usize] = rank;
        }
        Self { of, by_rank }
    }

    /// Of a source that is not known the rank is that of the next greater one, before all its rows.
    fn of_cursor(&self, cursor: &Cursor, sources: &Sources) -> Rank {
        let Cursor { time, id: EventId(Position { partition, offset, index }) } = cursor;
        let of = |source: SourceId| sources.get(source).as_ref();
        let source = self.by_rank.partition_point(|source| of(*source) < partition);
        let known = self.by_rank.get(source).is_some_and(|source| of(*source) == partition);
        let (offset, index) = if known { (offset.0, *index) } else { (0, 0) };
        let source = u32::try_from(source).expect("a store meets fewer partitions than u32::MAX");
        Rank { time: time.micros(), source, offset, index }
    }

    fn rank(&self, heads: &Heads, row: usize) -> Rank {
        Rank {
            time: heads.times[row],
            source: self.of[heads.sources[row].0 as usize],
            offset: heads.offsets[row],
            index: heads.indexes[row],
        }
    }
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Found {}

impl PartialOrd for Found {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Found {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank.cmp(&other.rank)
    }
}
