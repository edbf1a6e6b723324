//! Sets of numbers and of texts, for custom metrics.

/// Numbers, sorted. Zero and negative zero are the same number.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberSet(Box<[f64]>);

impl NumberSet {
    /// Whether the number is in the set. What is not a number never is.
    #[must_use]
    pub fn contains(&self, number: f64) -> bool {
        let number = number + 0.0;
        self.0.binary_search_by(|element| element.total_cmp(&number)).is_ok()
    }

    /// The numbers, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = f64> {
        self.0.iter().copied()
    }
}

impl FromIterator<f64> for NumberSet {
    fn from_iter<I: IntoIterator<Item = f64>>(numbers: I) -> Self {
        // Adding zero turns negative zero into zero and leaves every other number as it is.
        let mut numbers: Vec<f64> =
            numbers.into_iter().map(|number| number + 0.0).filter(|n| !n.is_nan()).collect();
        numbers.sort_unstable_by(f64::total_cmp);
        numbers.dedup();
        Self(numbers.into())
    }
}

/// Texts, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringSet(Box<[Box<str>]>);

impl StringSet {
    /// Whether the text is in the set. Upper and lower case differ.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        self.0.binary_search_by(|element| (**element).cmp(text)).is_ok()
    }

    /// The texts, sorted by their bytes.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|text| &**text)
    }
}

impl FromIterator<Box<str>> for StringSet {
    fn from_iter<I: IntoIterator<Item = Box<str>>>(texts: I) -> Self {
        let mut texts: Vec<Box<str>> = texts.into_iter().collect();
        texts.sort_unstable();
        texts.dedup();
        Self(texts.into())
    }
}
