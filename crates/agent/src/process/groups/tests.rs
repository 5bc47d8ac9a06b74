use proptest::prelude::*;

use super::*;
use crate::process::expression::Expression;
use crate::process::multiline::Rule;
use crate::process::traces::Language;

fn starting(pattern: &str) -> Multiline {
    let rule = Rule::Start(Expression::compile(pattern).expect("it is one"));
    Multiline { rule, timeout: Duration::from_secs(1) }
}

fn continuing(pattern: &str) -> Multiline {
    let rule = Rule::Continue(Expression::compile(pattern).expect("it is one"));
    Multiline { rule, timeout: Duration::from_secs(1) }
}

fn cutter(format: Format, multiline: Option<&Multiline>) -> Cutter<'_> {
    Cutter { encoding: Encoding::Utf8, format, multiline, max_text: 60, max_line: 120, max_extent: 400 }
}

/// The texts that are found, with where each ends; and the bounds.
#[track_caller]
fn check(cutter: Cutter<'_>, bytes: &str, rest: Rest, texts: &[&str], bounds: &[usize]) {
    let Groups { groups, bounds: found, .. } = cutter.cut(bytes.as_bytes(), 0, rest);
    let last = found.last().map_or(0, |bound| bound.groups);
    let found_texts: Vec<&str> = groups.iter().take(last).map(|group| &*group.text).collect();
    let found: Vec<usize> = found.iter().map(|bound| bound.at).collect();
    assert_eq!((found_texts.as_slice(), found.as_slice()), (texts, bounds), "{bytes}");
}

#[test]
fn lines_are_put_together_by_expressions() {
    let starts = starting("^[0-9]");
    let plain = |bytes, rest, texts: &[&str], bounds: &[usize]| {
        check(cutter(Format::Plain, Some(&starts)), bytes, rest, texts, bounds);
    };
    plain("1 a\n b\n2 c\n", Rest::MayGrow, &["1 a\n b"], &[7]);
    plain("1 a\n b\n2 c\n", Rest::Waited, &["1 a\n b", "2 c"], &[7, 11]);
    plain("1 a\n b\n2 c\nd", Rest::Waited, &["1 a\n b", "2 c"], &[7, 11]);
    plain("1 a\n b\n2 c\nd", Rest::IsAll, &["1 a\n b", "2 c\nd"], &[7, 12]);
    plain("a\nb\n1 c\n", Rest::MayGrow, &["a\nb"], &[4]);
    plain("1 a\n\n\nb\n\n\n2\n", Rest::IsAll, &["1 a\n\n\nb", "2"], &[10, 12]);
    plain("\n\n1 a\n", Rest::MayGrow, &[], &[2]);
    plain("", Rest::IsAll, &[], &[]);
    let goes_on = continuing(r"^\s|^\}");
    let plain = |bytes, rest, texts: &[&str], bounds: &[usize]| {
        check(cutter(Format::Plain, Some(&goes_on)), bytes, rest, texts, bounds);
    };
    plain("a {\n x\n}\nb\n", Rest::MayGrow, &["a {\n x\n}"], &[9]);
    plain(" x\n y\nb\n", Rest::IsAll, &[" x\n y", "b"], &[6, 8]);
}

#[test]
fn groups_have_an_end() {
    let goes_on = continuing("^ ");
    let few = Cutter { max_text: 10, ..cutter(Format::Plain, Some(&goes_on)) };
    check(few, "a\n bcd\n efgh\n i\nj\n", Rest::IsAll, &["a\n bcd", " efgh\n i", "j"], &[7, 16, 18]);
    let many = Cutter { max_text: 1 << 20, max_extent: 1 << 20, ..cutter(Format::Plain, Some(&goes_on)) };
    let bytes = format!("a\n{}", " x\n".repeat(2_500));
    let groups = many.cut(bytes.as_bytes(), 0, Rest::IsAll);
    let lines: Vec<u32> = groups.groups.iter().map(|group| group.lines).collect();
    assert_eq!(lines, [1_000, 1_000, 501]);
    let blanks = format!("a\n{} x\n", "\n".repeat(2_500));
    let groups = many.cut(blanks.as_bytes(), 0, Rest::IsAll);
    assert_eq!(groups.groups.len(), 2, "what is empty counts");
}

/// `T` and a number of seconds stand for a time.
fn cri(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        match line.strip_prefix('T').and_then(|line| line.split_once(' ')) {
            Some((seconds, line)) => lines.push_str(&format!("2026-11-29T10:00:{seconds:0>2}Z {line}\n")),
            None => lines.push_str(&format!("{line}\n")),
        }
    }
    lines
}

#[track_caller]
fn check_cri(multiline: Option<&Multiline>, text: &str, rest: Rest, texts: &[&str]) {
    let bytes = cri(text);
    let Groups { groups, bounds, .. } = cutter(Format::Cri, multiline).cut(bytes.as_bytes(), 0, rest);
    let last = bounds.last().map_or(0, |bound| bound.groups);
    let found: Vec<&str> = groups.iter().take(last).map(|group| &*group.text).collect();
    assert_eq!(found, texts, "{text}");
    // Nothing of a group is on the other side of a bound.
    for bound in bounds {
        for (index, group) in groups.iter().enumerate() {
            assert!(if index < bound.groups { group.end <= bound.at } else { group.start >= bound.at });
        }
    }
}

#[test]
fn parts_of_lines_are_joined_by_stream() {
    check_cri(None, "T1 stdout P a\nT1 stdout P b\nT1 stdout F c", Rest::MayGrow, &["abc"]);
    check_cri(None, "T1 stdout F a\nT1 stdout P b", Rest::MayGrow, &["a"]);
    check_cri(None, "T1 stdout F a\nT1 stdout P b", Rest::Waited, &["a", "b"]);
    let mixed = "T1 stdout P a\nT1 stderr P x\nT1 stdout F b\nT1 stderr F y\nT1 stdout F c";
    check_cri(None, mixed, Rest::MayGrow, &["ab", "xy", "c"]);
    check_cri(None, "T1 stdout P a\nT1 stderr F x\nT1 stderr F y", Rest::MayGrow, &[]);
    check_cri(None, "T1 stdout P a\nT9 stderr F x\nT9 stdout F b", Rest::MayGrow, &["ab", "x"]);
    check_cri(
        None,
        "T1 stdout P a\nnot of the format\nT1 stdout F b",
        Rest::MayGrow,
        &["a", "not of the format", "b"],
    );
    check_cri(None, "T1 stdout F \nT1 stdout P \nT1 stdout F a", Rest::MayGrow, &["a"]);
    // More than a text may have.
    let long = format!("T1 stdout P {0}\nT1 stdout P {0}\nT1 stdout F {0}", "x".repeat(25));
    check_cri(None, &long, Rest::MayGrow, &[&"x".repeat(50), &"x".repeat(25)]);
}

#[test]
fn groups_of_two_streams_lie_within_each_other() {
    let goes_on = continuing("^ ");
    let text = "T1 stdout F a\nT1 stderr F x\nT1 stdout F  b\nT1 stderr F  y\nT1 stdout F c\nT1 stderr F z";
    check_cri(Some(&goes_on), text, Rest::MayGrow, &["a\n b", "x\n y"]);
    check_cri(Some(&goes_on), text, Rest::Waited, &["a\n b", "x\n y", "c", "z"]);
    // The other stream says that time has passed.
    let late = "T1 stdout F a\nT1 stdout F  b\nT3 stderr F x\nT3 stderr F y\nT3 stdout F  c";
    check_cri(Some(&goes_on), late, Rest::MayGrow, &["a\n b", "x"]);
    check_cri(Some(&goes_on), late, Rest::Waited, &["a\n b", "x", "y", " c"]);
    // A group that nothing comes of any more does not hold the other stream up for ever.
    let mut wide = "T1 stderr F x\n".to_owned();
    for number in 0..20 {
        wide.push_str(&format!("T1 stdout F {number}\n"));
    }
    let bytes = cri(&wide);
    let groups = cutter(Format::Cri, Some(&goes_on)).cut(bytes.as_bytes(), 0, Rest::MayGrow);
    assert!(groups.bounds.last().is_some_and(|bound| bound.groups > 10), "{groups:?}");
}

#[test]
fn a_line_is_not_cut_because_the_group_before_it_is_wide() {
    let goes_on = continuing("^ ");
    let fill = |numbers: std::ops::Range<u32>| -> Vec<String> { numbers.map(|n| n.to_string()).collect() };
    let lines =
        |texts: &[String]| texts.iter().map(|text| format!("T1 stdout F {text}\n")).collect::<String>();
    let (before, within) = (fill(0..10), fill(10..15));
    let text = format!("T1 stderr F x\n{}T1 stderr P  y\n{}T1 stderr F z", lines(&before), lines(&within));
    let texts: Vec<&str> = ["x"]
        .into_iter()
        .chain(before.iter().map(String::as_str))
        .chain([" yz"])
        .chain(within.iter().map(String::as_str))
        .collect();
    check_cri(Some(&goes_on), &text, Rest::IsAll, &texts);
}

#[test]
fn what_a_group_says_of_its_lines() {
    let goes_on = continuing("^ ");
    let bytes = [
        cri("T1 stderr P a").as_bytes(),
        b"2026-11-29T10:00:02Z stderr F \xff\n",
        cri("T2 stderr F  c").as_bytes(),
    ]
    .concat();
    let groups = cutter(Format::Cri, Some(&goes_on)).cut(&bytes, 0, Rest::IsAll);
    let [group] = groups.groups.as_slice() else { unreachable!("{groups:?}") };
    let time = group.time.map(|time| time.to_string());
    assert_eq!((&*group.text, time.as_deref()), ("a\u{fffd}\n c", Some("2026-11-29T10:00:01Z")));
    assert_eq!((group.stream, group.lines, group.mended, group.unfit), (Some(Stream::Err), 3, 1, 0));
    assert_eq!((group.start, group.end, bytes.len()), (0, bytes.len(), bytes.len()));
}

/// What may be in a file.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c0-2 ]{0,6}",
        1 => "[a-z ]{100,200}",
        1 => Just(String::new()),
        1 => Just("\tat a.B.c(B.java:1)".to_owned()),
        1 => Just("a.b.SomeException: é".to_owned()),
        1 => Just("Caused by: x".to_owned()),
        1 => Just("Traceback (most recent call last):".to_owned()),
        1 => Just("  File \"x\"".to_owned()),
        1 => Just("panic: 1".to_owned()),
        1 => Just("goroutine 1 [running]:".to_owned()),
        1 => Just("main.main()".to_owned()),
    ]
}

fn bytes(is_cri: bool) -> impl Strategy<Value = Vec<u8>> {
    let around = (0..4_u8, any::<bool>(), prop_oneof![3 => Just("F"), 1 => Just("P"), 1 => Just("X")]);
    let lines =
        prop::collection::vec((line(), around, prop_oneof![9 => Just("\n"), 1 => Just("\r\n")]), 0..60);
    lines.prop_map(move |lines| {
        let mut text = String::new();
        let mut seconds = 0;
        for (line, (more, is_err, tag), end) in lines {
            seconds += u32::from(more / 3);
            let stream = if is_err { "stderr" } else { "stdout" };
            if is_cri {
                text.push_str(&format!(
                    "2026-11-29T10:{:02}:{:02}Z {stream} {tag} ",
                    seconds / 60,
                    seconds % 60
                ));
            }
            text.push_str(&line);
            text.push_str(end);
        }
        text.into_bytes()
    })
}

fn rules() -> Vec<Option<Multiline>> {
    let traces = Rule::Traces(vec![Language::Java, Language::Go, Language::Python]);
    let traces = Multiline { rule: traces, timeout: Duration::from_secs(1) };
    vec![None, Some(starting("^[0-9]")), Some(continuing("^[ b]")), Some(traces)]
}

type Found = (usize, usize, String);

/// Up to the last bound, with where they are in the file.
fn found(groups: &Groups<'_>, start: usize) -> (Vec<Found>, usize) {
    let Some(last) = groups.bounds.last() else { return (Vec::new(), start) };
    let groups = groups.groups.iter().take(last.groups);
    let found = groups.map(|group| (start + group.start, start + group.end, group.text.clone().into_owned()));
    (found.collect(), start + last.at)
}

proptest! {
    /// However the file grows, wherever the reader begins again, the same lines are the same events.
    #[test]
    fn groups_do_not_depend_on_how_they_are_read(
        (is_cri, bytes) in any::<bool>().prop_flat_map(|is_cri| (Just(is_cri), bytes(is_cri))),
        rule in 0..4_usize,
        steps in prop::collection::vec((0..200_usize, any::<prop::sample::Index>(), any::<bool>()), 0..40),
    ) {
        let rules = rules();
        let format = if is_cri { Format::Cri } else { Format::Plain };
        let cutter = cutter(format, rules[rule].as_ref());
        let (whole, end) = found(&cutter.cut(&bytes, 0, Rest::IsAll), 0);
        prop_assert_eq!(end, bytes.len());
        let (mut events, mut stops, mut length) = (Vec::new(), vec![(0, 0)], 0);
        for (more, back, restarts) in steps {
            length = (length + more).min(bytes.len());
            let (mut count, mut at) = *stops.last().expect("there is one");
            if restarts {
                let index = back.index(stops.len());
                stops.truncate(index + 1);
                (count, at) = stops[index];
                events.truncate(count);
            }
            let (new, to) = found(&cutter.cut(&bytes[at..length.max(at)], 0, Rest::MayGrow), at);
            events.extend(new);
            if to > at {
                stops.push((events.len(), to));
            }
            let _unused = count;
        }
        let (_, at) = *stops.last().expect("there is one");
        events.extend(found(&cutter.cut(&bytes[at..], 0, Rest::IsAll), at).0);
        prop_assert_eq!(events, whole);
    }

    /// However little is read at a time, and however long it was waited for: no line is lost, told twice or out of order.
    #[test]
    fn no_line_is_lost_or_told_twice(
        (is_cri, bytes) in any::<bool>().prop_flat_map(|is_cri| (Just(is_cri), bytes(is_cri))),
        rule in 0..4_usize,
        windows in prop::collection::vec((0..600_usize, any::<bool>()), 1..20),
    ) {
        let rules = rules();
        let format = if is_cri { Format::Cri } else { Format::Plain };
        let cutter = cutter(format, rules[rule].as_ref());
        let letters = |texts: &mut dyn Iterator<Item = String>| {
            texts.flat_map(|text| text.chars().collect::<Vec<_>>()).filter(|letter| *letter != '\n').collect::<String>()
        };
        // All lines alone, by stream.
        let alone = Cutter { multiline: None, ..cutter };
        let of = |groups: &[Group<'_>], stream: Option<Stream>| {
            letters(&mut groups.iter().filter(|group| group.stream == stream).map(|group| group.text.clone().into_owned()))
        };
        let expected = alone.cut(&bytes, 0, Rest::IsAll).groups;
        let (mut at, mut events) = (0, Vec::new());
        for (more, waited) in windows.iter().cycle() {
            if at == bytes.len() {
                break;
            }
            let window = (at + cutter.window() + more).min(bytes.len());
            let is_all = window == bytes.len();
            let rest = if is_all { Rest::IsAll } else if *waited { Rest::Waited } else { Rest::MayGrow };
            let mut groups = cutter.cut(&bytes[at..window], 0, rest);
            if groups.bounds.is_empty() {
                groups = cutter.cut(&bytes[at..window], 0, Rest::Waited);
            }
            let last = *groups.bounds.last().expect("it goes on");
            prop_assert!(last.at > 0);
            for group in &groups.groups[..last.groups] {
                prop_assert!(group.text.len() <= cutter.max_text.max(cutter.max_line) && !group.text.is_empty());
                prop_assert!(group.end - group.start <= cutter.max_extent + cutter.max_line);
            }
            groups.groups.truncate(last.groups);
            events.extend(groups.groups);
            at += last.at;
        }
        for stream in [None, Some(Stream::Out), Some(Stream::Err)] {
            prop_assert_eq!(of(&events, stream), of(&expected, stream));
        }
    }
}
