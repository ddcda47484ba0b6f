//! From characters to tokens.

use super::{ExpressionError, error};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Number(f64),
    Text(String),
    Name(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: &[&str] = &[
    "||", "&&", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "(", ")", "?", ":",
    ",",
];

/// Tokens with their columns, from 1.
pub(super) fn tokens(source: &str) -> Result<Vec<(usize, Token)>, ExpressionError> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(next) = chars.get(at) {
        let begin = at;
        if next.is_whitespace() {
            at += 1;
            continue;
        }
        let token = match next {
            '0'..='9' | '.' => number(&chars, &mut at)?,
            '\'' | '"' => text(&chars, &mut at)?,
            letter if letter.is_alphabetic() || *letter == '_' => name(&chars, &mut at),
            other => sign(&chars, &mut at).map_or_else(
                || error(begin + 1, format!("{other:?} is not expected here")),
                Ok,
            )?,
        };
        tokens.push((begin + 1, token));
    }
    Ok(tokens)
}

fn number(chars: &[char], at: &mut usize) -> Result<Token, ExpressionError> {
    let begin = *at;
    while let Some(next) = chars.get(*at) {
        let is_sign_of_exponent =
            *at > begin && matches!(next, '+' | '-') && matches!(chars[*at - 1], 'e' | 'E');
        if !(next.is_ascii_alphanumeric() || *next == '.' || is_sign_of_exponent) {
            break;
        }
        *at += 1;
    }
    let written: String = chars[begin..*at].iter().collect();
    match written.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Token::Number(number)),
        _ => error(begin + 1, format!("{written:?} is not a number")),
    }
}

fn text(chars: &[char], at: &mut usize) -> Result<Token, ExpressionError> {
    let begin = *at;
    let quote = chars[begin];
    let mut text = String::new();
    *at += 1;
    while let Some(next) = chars.get(*at) {
        *at += 1;
        if *next == quote {
            return Ok(Token::Text(text));
        }
        let is_escape = *next == '\\';
        let escaped = chars.get(*at).filter(|_| is_escape);
        match escaped {
            Some(escaped @ ('\\' | '\'' | '"')) => {
                text.push(*escaped);
                *at += 1;
            }
            _ => text.push(*next),
        }
    }
    error(begin + 1, "this text is not closed")
}

fn name(chars: &[char], at: &mut usize) -> Token {
    let begin = *at;
    while chars
        .get(*at)
        .is_some_and(|next| next.is_alphanumeric() || *next == '_')
    {
        *at += 1;
    }
    Token::Name(chars[begin..*at].iter().collect())
}

fn sign(chars: &[char], at: &mut usize) -> Option<Token> {
    let fits = |sign: &&&str| {
        let mut written = chars[*at..].iter();
        sign.chars().all(|one| written.next() == Some(&one))
    };
    let found = SIGNS.iter().find(fits)?;
    *at += found.len();
    Some(Token::Sign(found))
}
