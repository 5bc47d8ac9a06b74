//! Names of streams as people write them.

use weir_model::{IllegalStreamName, StreamName};

/// What the operator puts before and behind the names of streams of logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamNames {
    pub prefix: String,
    pub suffix: String,
}

impl StreamNames {
    /// The full name: what is written, with prefix and suffix. A name that has both already is taken as it is.
    pub(crate) fn full(&self, written: &str) -> Result<StreamName, IllegalStreamName> {
        let has_both = written.len() > self.prefix.len() + self.suffix.len()
            && written.starts_with(&self.prefix)
            && written.ends_with(&self.suffix);
        if has_both {
            return StreamName::new(written);
        }
        StreamName::new(&format!("{}{written}{}", self.prefix, self.suffix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_and_suffix_are_added_where_they_are_not() {
        let check = |prefix: &str, written: &str, full: &str| {
            let names = StreamNames { prefix: prefix.to_owned(), suffix: "_logs".to_owned() };
            assert_eq!(names.full(written).expect("is legal").as_str(), full);
        };
        check("", "shop", "shop_logs");
        check("", "shop_logs", "shop_logs");
        check("", "_logs", "_logs_logs");
        check("eu-", "shop", "eu-shop_logs");
        check("eu-", "eu-shop_logs", "eu-shop_logs");
        check("eu-", "shop_logs", "eu-shop_logs_logs");
    }
}
