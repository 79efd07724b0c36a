//! Short numbers for texts that repeat in every row, such as reason codes. The number of texts is limited, because a log may invent them.

use std::{collections::HashMap, sync::Arc};

/// The most texts that are stored. Later ones share one number.
const MAX_CODES: usize = 4096;

/// The text of every code after the limit.
const OTHER: &str = "other";

/// A number that stands for a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(u16);

impl Code {
    /// Its place in a list with one place for each code.
    pub(crate) fn index(self) -> usize {
        self.0.into()
    }

    /// The code of a place; `None` beyond the last.
    pub(crate) fn at(index: usize) -> Option<Self> {
        u16::try_from(index).ok().map(Code)
    }
}

/// The texts by number.
#[derive(Debug, Default)]
pub struct Codes {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, Code>,
}

impl Codes {
    /// The number of a text, which is added if it is new.
    pub fn intern(&mut self, text: &str) -> Code {
        if let Some(code) = self.numbers.get(text) {
            return *code;
        }
        let text: Arc<str> = if self.texts.len() >= MAX_CODES - 1 { OTHER.into() } else { text.into() };
        if let Some(code) = self.numbers.get(&text) {
            return *code;
        }
        let code = Code(u16::try_from(self.texts.len()).unwrap_or(u16::MAX));
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, code);
        code
    }

    /// The number of a known text.
    pub fn find(&self, text: &str) -> Option<Code> {
        self.numbers.get(text).copied()
    }

    /// The text of a number.
    pub fn text(&self, code: Code) -> &str {
        self.texts.get(usize::from(code.0)).map_or(OTHER, |text| text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_beyond_the_limit_share_a_number() {
        let mut codes = Codes::default();
        let first = codes.intern("tor");
        for number in 0..MAX_CODES * 2 {
            codes.intern(&format!("made-up-{number}"));
        }
        assert_eq!((codes.intern("tor"), codes.text(first), codes.texts.len()), (first, "tor", MAX_CODES));
        let another = codes.intern("one more");
        assert_eq!(codes.text(another), OTHER);
    }
}
