//! The names of a fleet.

/// The names of all things, sorted. 5 bytes and the name for each.
#[derive(Clone, Debug, Default)]
pub struct Things {
    text: String,
    /// Where each name ends in `text`.
    ends: Vec<u32>,
    /// How many bytes each name shares with the one before, at a boundary of characters; 255 at most.
    alike: Vec<u8>,
    pub(super) longest: usize,
    /// Names that found no room: past 4 GiB of text.
    left_out: usize,
}

impl Things {
    /// Takes names in any order; repeated ones count once.
    #[must_use]
    pub fn new(mut names: Vec<String>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self::from_sorted(names.iter().map(String::as_str))
    }

    /// Takes names in ascending order of their bytes, without repetition.
    pub fn from_sorted<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut things = Self::default();
        let mut before = "";
        for name in names {
            let end = u32::try_from(things.text.len() + name.len());
            match end {
                Ok(end) => {
                    things.text.push_str(name);
                    things.ends.push(end);
                    things.alike.push(u8::try_from(alike(before, name, 255)).unwrap_or(0));
                    things.longest = things.longest.max(name.len());
                    before = name;
                }
                Err(_) => things.left_out += 1,
            }
        }
        things.text.shrink_to_fit();
        things.ends.shrink_to_fit();
        things
    }

    /// How many things there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Names that found no room and are counted nowhere.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    pub(super) fn alike(&self, index: usize) -> usize {
        self.alike.get(index).map_or(0, |alike| usize::from(*alike))
    }

    /// The name at a place of the list.
    pub(super) fn name(&self, index: usize) -> &str {
        let end = self.ends.get(index).map_or(0, |end| *end as usize);
        let start =
            index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        self.text.get(start..end).unwrap_or_default()
    }
}

/// How many bytes both names share, at a boundary of characters, `max` at most.
pub(super) fn alike(a: &str, b: &str, max: usize) -> usize {
    let same = a.bytes().zip(b.bytes()).take(max).take_while(|(a, b)| a == b).count();
    (0..=same).rev().find(|at| a.is_char_boundary(*at)).unwrap_or(0)
}
