//! Wildcards of AWS policies: `*` any run of characters, `/` and `:` too, and `?` one character.

use super::{Letter, Token, letters};

/// The tokens of a resource. `symbol` gives the symbol of a variable, none if there are too many.
///
/// `${*}`, `${?}` and `${$}` are the characters themselves; of `${name, 'default'}` the name counts.
pub(crate) fn aws_glob(text: &str, mut symbol: impl FnMut(&str) -> Option<Letter>) -> Option<Vec<Token>> {
    let mut tokens = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((inside, after)) = rest.strip_prefix("${").and_then(|inside| inside.split_once('}')) {
            let name = inside.split(',').next().unwrap_or_default().trim();
            tokens.push(match inside {
                "*" | "?" | "$" => Token::Letter(letters(inside).next()?),
                _ => Token::Letter(symbol(name)?),
            });
            rest = after;
            continue;
        }
        match first {
            '*' if tokens.last() == Some(&Token::Run) => {}
            '*' => tokens.push(Token::Run),
            '?' => tokens.push(Token::OneChar),
            letter => tokens.push(Token::Letter(letter.into())),
        }
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    Some(tokens)
}

/// What may follow `prefix` in a word of the pattern: the words are those of any of the results.
pub(crate) fn residual(tokens: &[Token], prefix: &str) -> Vec<Vec<Token>> {
    let mut positions = vec![0_usize];
    let reach = |positions: &mut Vec<usize>| {
        let mut index = 0;
        while let Some(&at) = positions.get(index) {
            if tokens.get(at) == Some(&Token::Run) && !positions.contains(&(at + 1)) {
                positions.push(at + 1);
            }
            index += 1;
        }
    };
    reach(&mut positions);
    for letter in letters(prefix) {
        let mut next = Vec::new();
        for at in positions {
            let to = match tokens.get(at) {
                Some(Token::Run) => at,
                Some(Token::OneChar) => at + 1,
                Some(Token::Letter(wanted)) if *wanted == letter => at + 1,
                _ => continue,
            };
            if !next.contains(&to) {
                next.push(to);
            }
        }
        positions = next;
        reach(&mut positions);
    }
    // What follows a run is among the words of the run with what follows it.
    let after_run =
        |at: &usize| at.checked_sub(1).is_some_and(|before| tokens.get(before) == Some(&Token::Run));
    let all = positions.clone();
    positions.retain(|at| !(after_run(at) && all.contains(&(at - 1))));
    positions.sort_unstable();
    positions.into_iter().filter_map(|at| tokens.get(at..)).map(<[Token]>::to_vec).collect()
}

/// Whether a glob without variables matches, letter case aside: action names.
pub(crate) fn glob_matches(glob: &str, text: &str) -> bool {
    let glob: Vec<char> = glob.chars().map(|c| c.to_ascii_lowercase()).collect();
    let text: Vec<char> = text.chars().map(|c| c.to_ascii_lowercase()).collect();
    let (mut g, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(letter) if *letter == '?' || text.get(t) == Some(letter) => {
                g += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    g = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    glob.get(g..).unwrap_or_default().iter().all(|letter| *letter == '*')
}
