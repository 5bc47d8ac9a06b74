//! What a sealed payload is bound to.

use crate::proto::ingest::Batch;

/// Everything of a batch but its payload, and whose it is: the additional data of the cipher. A payload that is moved to
/// another batch, another place of a source or another agent does not open.
///
/// The name of the agent and that of the app, each behind its length; then the number of events, the compression, and
/// the source, start and end of the stretch, if there is one. Lengths and numbers have eight bytes, the highest first.
#[must_use]
pub fn bound(agent: &str, batch: &Batch) -> Vec<u8> {
    let mut data = Vec::with_capacity(96);
    let number = |data: &mut Vec<u8>, number: u64| data.extend_from_slice(&number.to_be_bytes());
    for text in [agent, &batch.app] {
        number(&mut data, text.len() as u64);
        data.extend_from_slice(text.as_bytes());
    }
    number(&mut data, u64::from(batch.events));
    number(&mut data, u64::from(batch.compression.cast_unsigned()));
    if let Some(stretch) = &batch.stretch {
        data.extend_from_slice(&stretch.source);
        number(&mut data, stretch.start);
        number(&mut data, stretch.end);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ingest::Stretch;

    #[test]
    fn every_field_counts() {
        let stretch = Stretch { source: vec![1; 16], start: 5, end: 9, stored: 5 };
        let batch = || Batch {
            sequence: 1,
            app: "shop".into(),
            stretch: Some(stretch.clone()),
            events: 2,
            compression: 1,
            payload: Vec::new().into(),
        };
        let good = bound("web", &batch());
        let check = |agent: &str, other: Batch| assert_ne!(bound(agent, &other), good, "{other:?}");
        check("webs", Batch { app: "hop".into(), ..batch() });
        check("db", batch());
        check("web", Batch { app: "web".into(), ..batch() });
        check("web", Batch { events: 3, ..batch() });
        check("web", Batch { compression: 0, ..batch() });
        check("web", Batch { stretch: None, ..batch() });
        let moved = |change: fn(&mut Stretch)| {
            let mut other = batch();
            change(other.stretch.as_mut().expect("it has one"));
            other
        };
        check("web", moved(|stretch| stretch.source[3] = 7));
        check("web", moved(|stretch| stretch.start = 6));
        check("web", moved(|stretch| stretch.end = 10));
    }
}
