//! Nondeterministic automata with ranked rules, and their determinization.

use hashbrown::HashMap;

use super::{
    DEAD, Dfa, END, FIRST, Letter, Pattern, STATES_MAX, SYMBOLS, State, Token, TooLarge, WORK_MAX, dfa::Row,
};

/// The rank of a rule: of all rules that match a word the one with the smallest decides.
pub(crate) type Tag = u32;

/// When an edge without a letter may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    /// Only before the first letter.
    AtStart,
    /// Only after the last letter.
    AtEnd,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// Letters from the first to before the second.
    edges: Vec<(Letter, Letter, u32)>,
    jumps: Vec<(u32, When)>,
    tag: Tag,
    accept: bool,
    /// From here every word is accepted.
    universal: bool,
}

/// Patterns and expressions side by side, each with its tag.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nfa {
    nodes: Vec<Node>,
    starts: Vec<u32>,
}

#[expect(clippy::cast_possible_truncation, reason = "construction is bounded far below 2^32 nodes")]
impl Nfa {
    pub(crate) fn node(&mut self, tag: Tag) -> u32 {
        self.nodes.push(Node { tag, ..Node::default() });
        (self.nodes.len() - 1) as u32
    }

    pub(crate) fn start(&mut self, node: u32) {
        self.starts.push(node);
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn edge(&mut self, from: u32, low: Letter, end: Letter, to: u32) {
        if low < end
            && let Some(node) = self.nodes.get_mut(from as usize)
        {
            node.edges.push((low, end, to));
        }
    }

    pub(crate) fn jump(&mut self, from: u32, to: u32, when: When) {
        if let Some(node) = self.nodes.get_mut(from as usize) {
            node.jumps.push((to, when));
        }
    }

    pub(crate) fn accept(&mut self, node: u32) {
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.accept = true;
        }
    }

    /// Makes `node` accept every continuation.
    pub(crate) fn accept_all(&mut self, node: u32) {
        self.edge(node, FIRST, END, node);
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.accept = true;
            node.universal = true;
        }
    }

    /// All letters but those of `without`, which are in ascending order.
    pub(crate) fn edges_without(&mut self, from: u32, without: &[char], to: u32) {
        self.edges_until(from, without, to, END);
    }

    fn edges_until(&mut self, from: u32, without: &[char], to: u32, end: Letter) {
        let mut low = FIRST;
        for letter in without.iter().map(|letter| u32::from(*letter)) {
            self.edge(from, low, letter, to);
            low = letter + 1;
        }
        self.edge(from, low, end, to);
    }

    /// Adds a pattern.
    pub(crate) fn add(&mut self, pattern: &Pattern, tag: Tag) {
        let first = self.node(tag);
        self.start(first);
        let mut at = first;
        let mut tokens: &[Token] = &pattern.tokens;
        if pattern.not_dollar {
            // The first letter is taken apart from the rest, so that it can be restricted.
            match tokens.split_first() {
                Some((Token::Run, [])) => {
                    self.accept(at);
                    let all = self.node(tag);
                    self.edges_without(at, &['$'], all);
                    self.accept_all(all);
                    return;
                }
                Some((Token::Level | Token::LevelNoHash, rest)) => {
                    let inside = self.node(tag);
                    let after = self.node(tag);
                    self.jump(at, after, When::Always);
                    self.edges_without(at, &['#', '$', '/'], inside);
                    if matches!(tokens.first(), Some(Token::Level)) {
                        self.edge(at, u32::from('#'), u32::from('#') + 1, inside);
                    }
                    self.level(inside, tokens.first() == Some(&Token::LevelNoHash));
                    self.jump(inside, after, When::Always);
                    at = after;
                    tokens = rest;
                }
                _ => {}
            }
        }
        self.tokens(at, tokens, tag);
    }

    fn level(&mut self, node: u32, without_hash: bool) {
        if without_hash {
            self.edges_without(node, &['#', '/'], node);
        } else {
            self.edges_without(node, &['/'], node);
        }
    }

    fn tokens(&mut self, mut at: u32, tokens: &[Token], tag: Tag) {
        for (index, token) in tokens.iter().enumerate() {
            match token {
                Token::Letter(letter) => {
                    let next = self.node(tag);
                    self.edge(at, *letter, letter + 1, next);
                    at = next;
                }
                Token::OneChar => {
                    let next = self.node(tag);
                    self.edge(at, FIRST, SYMBOLS, next);
                    at = next;
                }
                Token::Run => {
                    let next = self.node(tag);
                    self.jump(at, next, When::Always);
                    if index + 1 == tokens.len() {
                        self.accept_all(next);
                        return;
                    }
                    self.edge(next, FIRST, END, next);
                    let after = self.node(tag);
                    self.jump(next, after, When::Always);
                    at = after;
                }
                Token::Level | Token::LevelNoHash => {
                    let next = self.node(tag);
                    self.jump(at, next, When::Always);
                    self.level(next, *token == Token::LevelNoHash);
                    let after = self.node(tag);
                    self.jump(next, after, When::Always);
                    at = after;
                }
                Token::Name => {
                    let next = self.node(tag);
                    for from in [at, next] {
                        self.edges_until(from, &['#', '+', '/'], next, SYMBOLS);
                    }
                    at = next;
                }
                Token::Rest => {
                    self.accept(at);
                    let all = self.node(tag);
                    self.edge(at, u32::from('/'), u32::from('/') + 1, all);
                    self.accept_all(all);
                    return;
                }
            }
        }
        self.accept(at);
    }

    /// Adds a whole automaton as one rule.
    pub(crate) fn add_dfa(&mut self, dfa: &Dfa, tag: Tag) {
        let base = self.nodes.len() as u32;
        for _ in dfa.rows() {
            self.node(tag);
        }
        for (state, row) in dfa.rows().iter().enumerate() {
            let from = base + state as u32;
            if row.accept {
                self.accept(from);
            }
            let ends = row.pieces.iter().skip(1).map(|piece| piece.0).chain([END]);
            for (&(low, to), end) in row.pieces.iter().zip(ends) {
                if to != DEAD {
                    self.edge(from, low, end, base + to);
                }
            }
        }
        self.start(base + dfa.start());
    }

    /// Adds all of another automaton as one rule.
    pub(crate) fn add_nfa(&mut self, other: &Self, tag: Tag) {
        let base = self.nodes.len() as u32;
        self.starts.extend(other.starts.iter().map(|start| base + start));
        self.nodes.extend(other.nodes.iter().map(|node| Node {
            edges: node.edges.iter().map(|&(low, end, to)| (low, end, base + to)).collect(),
            jumps: node.jumps.iter().map(|&(to, when)| (base + to, when)).collect(),
            tag,
            ..node.clone()
        }));
    }

    /// The automaton with each letter read as another: `(letter, as)`; a letter of the list stands
    /// for itself no more.
    pub(crate) fn relabelled(mut self, pairs: &[(char, char)]) -> Self {
        for node in &mut self.nodes {
            let original = std::mem::take(&mut node.edges);
            for &(low, end, to) in &original {
                node.edges.extend(without(low, end, pairs).into_iter().map(|(low, end)| (low, end, to)));
                for &(letter, read_as) in pairs {
                    if (low..end).contains(&u32::from(read_as)) {
                        node.edges.push((u32::from(letter), u32::from(letter) + 1, to));
                    }
                }
            }
        }
        self
    }

    /// Whether some rule matches the word, without making the whole set first.
    pub(crate) fn contains(&self, word: impl Iterator<Item = Letter>) -> bool {
        let mut builder = Builder::new(self, |tag| tag.is_some());
        let mut at = builder.closure(self.starts.clone(), true);
        for letter in word {
            let nodes = at.iter().filter_map(|&node| self.nodes.get(node as usize));
            let edges = nodes.flat_map(|node| &node.edges);
            let next =
                edges.filter(|(low, end, _)| (*low..*end).contains(&letter)).map(|(_, _, to)| *to).collect();
            at = builder.closure(next, false);
        }
        builder.accepts(&at)
    }

    /// The set of words for which `verdict` of the deciding tag, or of none, is true.
    pub(crate) fn determinize(&self, verdict: impl Fn(Option<Tag>) -> bool) -> Result<Dfa, TooLarge> {
        let mut builder = Builder::new(self, verdict);
        let start = builder.closure(self.starts.clone(), true);
        let start = builder.state(start)?;
        let mut done = 1;
        while let Some(set) = builder.sets.get(done).cloned() {
            let pieces = builder.pieces(&set)?;
            let accept = builder.accepts(&set);
            builder.rows.push(Row { accept, pieces });
            done += 1;
        }
        Ok(Dfa::new(builder.rows, start))
    }
}

/// The parts of `low..end` that are none of the replaced letters.
fn without(low: Letter, end: Letter, pairs: &[(char, char)]) -> Vec<(Letter, Letter)> {
    let mut holes: Vec<Letter> = pairs.iter().map(|pair| u32::from(pair.0)).collect();
    holes.sort_unstable();
    let mut from = low;
    let mut parts = Vec::new();
    for hole in holes {
        if (from..end).contains(&hole) {
            parts.push((from, hole));
            from = hole + 1;
        }
    }
    parts.push((from, end));
    parts.retain(|(low, end)| low < end);
    parts
}

struct Builder<'n, V> {
    nfa: &'n Nfa,
    verdict: V,
    known: HashMap<Vec<u32>, State>,
    sets: Vec<Vec<u32>>,
    rows: Vec<Row>,
    marks: Vec<u32>,
    mark: u32,
    work: usize,
    /// Whether words that no rule matches are in the set; then the empty set of nodes is alive.
    default: bool,
}

#[expect(clippy::cast_possible_truncation, reason = "states are bounded by STATES_MAX")]
impl<'n, V: Fn(Option<Tag>) -> bool> Builder<'n, V> {
    fn new(nfa: &'n Nfa, verdict: V) -> Self {
        let default = verdict(None);
        Self {
            nfa,
            verdict,
            known: HashMap::new(),
            sets: vec![Vec::new()],
            rows: vec![Row::dead()],
            marks: vec![0; nfa.nodes.len()],
            mark: 0,
            work: 0,
            default,
        }
    }

    fn state(&mut self, set: Vec<u32>) -> Result<State, TooLarge> {
        if set.is_empty() && !self.default {
            return Ok(DEAD);
        }
        if let Some(state) = self.known.get(&set) {
            return Ok(*state);
        }
        if self.sets.len() >= STATES_MAX {
            return Err(TooLarge);
        }
        let state = self.sets.len() as State;
        self.sets.push(set.clone());
        self.known.insert(set, state);
        Ok(state)
    }

    /// The nodes reached without a letter, without those that can no longer decide.
    fn closure(&mut self, mut stack: Vec<u32>, at_start: bool) -> Vec<u32> {
        self.mark += 1;
        let mut set = Vec::with_capacity(stack.len());
        let mut decided = Tag::MAX;
        let mut decider = None;
        while let Some(at) = stack.pop() {
            let Some(mark) = self.marks.get_mut(at as usize) else { continue };
            if *mark == self.mark {
                continue;
            }
            *mark = self.mark;
            let Some(node) = self.nfa.nodes.get(at as usize) else { continue };
            self.work += 1 + node.jumps.len();
            if node.universal && (node.tag < decided || (node.tag == decided && decider > Some(at))) {
                decided = node.tag;
                decider = Some(at);
            }
            let taken = |when: &When| *when == When::Always || (*when == When::AtStart && at_start);
            stack.extend(node.jumps.iter().filter(|(_, when)| taken(when)).map(|(to, _)| *to));
            set.push(at);
        }
        if decider.is_some() {
            let tag = |at: u32| self.nfa.nodes.get(at as usize).map_or(Tag::MAX, |node| node.tag);
            set.retain(|&at| Some(at) == decider || tag(at) < decided);
        }
        // A node with nothing but jumps that were taken adds nothing.
        set.retain(|&at| {
            self.nfa.nodes.get(at as usize).is_some_and(|node| {
                node.accept
                    || !node.edges.is_empty()
                    || node.jumps.iter().any(|(_, when)| *when == When::AtEnd)
            })
        });
        set.sort_unstable();
        set
    }

    fn accepts(&mut self, set: &[u32]) -> bool {
        let mut stack = set.to_vec();
        let mut best: Option<Tag> = None;
        self.mark += 1;
        while let Some(at) = stack.pop() {
            let Some(mark) = self.marks.get_mut(at as usize) else { continue };
            if *mark == self.mark {
                continue;
            }
            *mark = self.mark;
            let Some(node) = self.nfa.nodes.get(at as usize) else { continue };
            if node.accept {
                best = Some(best.map_or(node.tag, |tag| tag.min(node.tag)));
            }
            let taken = |when: &When| *when != When::AtStart;
            stack.extend(node.jumps.iter().filter(|(_, when)| taken(when)).map(|(to, _)| *to));
        }
        (self.verdict)(best)
    }

    fn pieces(&mut self, set: &[u32]) -> Result<Vec<(Letter, State)>, TooLarge> {
        let nodes = set.iter().filter_map(|&at| self.nfa.nodes.get(at as usize));
        let mut edges: Vec<(Letter, Letter, u32)> =
            nodes.flat_map(|node| node.edges.iter().copied()).collect();
        edges.sort_unstable();
        let mut cuts: Vec<Letter> = edges.iter().flat_map(|edge| [edge.0, edge.1]).chain([FIRST]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts.retain(|&cut| cut < END);
        let mut pieces: Vec<(Letter, State)> = Vec::with_capacity(cuts.len());
        let mut open: Vec<(Letter, u32)> = Vec::new();
        let mut coming = edges.into_iter().peekable();
        for cut in cuts {
            open.retain(|&(end, _)| end > cut);
            while let Some((_, end, to)) = coming.next_if(|edge| edge.0 == cut) {
                open.push((end, to));
            }
            self.work += 1 + open.len();
            if self.work > WORK_MAX {
                return Err(TooLarge);
            }
            let set = self.closure(open.iter().map(|&(_, to)| to).collect(), false);
            let state = self.state(set)?;
            if pieces.last().is_none_or(|last| last.1 != state) {
                pieces.push((cut, state));
            }
        }
        Ok(pieces)
    }
}
