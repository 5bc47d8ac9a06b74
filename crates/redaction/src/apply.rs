//! Rules on events.

use std::fmt::Write as _;

use weir_model::{Content, EventBatch, EventBatchBuilder, EventFault, StringRewriter};
use weir_wire::decode_content;

use crate::mask::Cut;
use crate::metrics::RedactionMetrics;
use crate::paths::{Paths, ROOT};
use crate::rules::{AppRules, TextRule};

/// Applies the rules to every event that has a content: first those on paths, then those on the text.
pub(crate) fn apply(rules: &AppRules, batch: &mut EventBatch, metrics: &RedactionMetrics) {
    let events = u32::try_from(batch.len()).unwrap_or(u32::MAX);
    if !rules.paths.is_empty() {
        let mut rewriter =
            Rewriter { rules, paths: rules.take_known(), redacted: vec![0; rules.paths.len()] };
        for index in 0..events {
            batch.rewrite_strings(index, &mut rewriter);
        }
        rewriter.finish();
    }
    if rules.texts.is_empty() {
        return;
    }
    let mut text = String::new();
    for index in 0..events {
        let Some(content) = batch.get(index).and_then(|event| event.content.ok()) else { continue };
        text.clear();
        write(&mut text, content);
        if let Some(redacted) = redact_text(&rules.texts, &text) {
            put(batch, index, &redacted, metrics);
        }
    }
}

fn write(text: &mut String, content: Content<'_>) {
    write!(text, "{content}").expect("a string takes everything");
}

/// The rules on paths at work.
struct Rewriter<'r> {
    rules: &'r AppRules,
    paths: Paths,
    /// How often, by rule.
    redacted: Vec<u64>,
}

impl Rewriter<'_> {
    fn finish(self) {
        for (rule, redacted) in self.rules.paths.iter().zip(self.redacted) {
            if redacted > 0 {
                rule.redacted.inc_by(redacted);
            }
        }
        self.rules.give_back(self.paths);
    }
}

impl StringRewriter for Rewriter<'_> {
    type Place = u32;

    fn root(&self) -> u32 {
        ROOT
    }

    fn member(&mut self, object: u32, key: &str) -> u32 {
        self.paths.member(object, key, &self.rules.paths)
    }

    fn element(&mut self, array: u32) -> u32 {
        self.paths.element(array, &self.rules.paths)
    }

    fn string(&mut self, place: u32, text: &str) -> Option<String> {
        let rule = self.paths.rule(place)?;
        self.redacted[rule] += 1;
        Some(self.rules.paths[rule].mask.of(text, Cut::Text))
    }
}

/// The text after every rule in turn; nothing if none found anything.
fn redact_text(rules: &[TextRule], text: &str) -> Option<String> {
    let mut redacted: Option<String> = None;
    for rule in rules {
        if let Some(next) = redact_once(rule, redacted.as_deref().unwrap_or(text)) {
            redacted = Some(next);
        }
    }
    redacted
}

fn redact_once(rule: &TextRule, text: &str) -> Option<String> {
    let mut found = rule.pattern.find_iter(text).peekable();
    found.peek()?;
    let mut out = String::with_capacity(text.len() + 64);
    let (mut from, mut count) = (0, 0);
    for place in found {
        out.push_str(text.get(from..place.start()).unwrap_or_default());
        rule.mask.put(place.as_str(), Cut::Json, &mut out);
        (from, count) = (place.end(), count + 1);
    }
    out.push_str(text.get(from..).unwrap_or_default());
    rule.redacted.inc_by(count);
    Some(out)
}

/// The event's new content. A text that is no object any more becomes a message: so nothing is lost of it, and
/// nothing comes back that was redacted.
fn put(batch: &mut EventBatch, index: u32, text: &str, metrics: &RedactionMetrics) {
    if batch.replace(index, |builder| decode_content(text, builder)).is_ok() {
        return;
    }
    metrics.broke();
    let replaced = batch.replace(index, |builder| message(text, builder));
    // Only a batch beyond 4 GiB has no room for it.
    replaced.unwrap_or_else(|fault| batch.reject(index, fault));
}

fn message(text: &str, builder: &mut EventBatchBuilder) -> Result<(), EventFault> {
    builder.start_object()?;
    builder.key("message")?;
    builder.str(text)?;
    Ok(builder.end()?)
}
