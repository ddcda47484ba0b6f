//! From tokens to a tree. Precedence is that of CEL and C: `?:`, `||`, `&&`, comparisons, sums, products, signs.

use forebay_config::nearest;

use super::{
    ExpressionError, FUNCTIONS, Node, Operator, Part, VARIABLES, error,
    lexer::{Token, tokens},
};

/// Nested brackets, signs and choices; deeper ones could exhaust the stack.
const DEPTH_MAX: usize = 32;

/// Binary operators by precedence, the loosest first.
const LEVELS: &[&[(&str, Operator)]] = &[
    &[("||", Operator::Or)],
    &[("&&", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::Unequal),
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("<", Operator::Less),
        (">", Operator::More),
    ],
    &[("+", Operator::Plus), ("-", Operator::Minus)],
    &[
        ("*", Operator::Times),
        ("/", Operator::Over),
        ("%", Operator::Remainder),
    ],
];

pub(super) fn parse(source: &str) -> Result<Node, ExpressionError> {
    let mut parser = Parser {
        tokens: tokens(source)?,
        at: 0,
        end: source.chars().count() + 1,
    };
    let root = parser.choice(0)?;
    match parser.tokens.get(parser.at) {
        None => Ok(root),
        Some((column, token)) => error(*column, format!("{} is not expected here", shown(token))),
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    /// The column behind the last character.
    end: usize,
}

impl Parser {
    fn choice(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        if depth > DEPTH_MAX {
            return error(self.column(), "nested too deeply");
        }
        let condition = self.binary(0, depth)?;
        if !self.take("?") {
            return Ok(condition);
        }
        let column = condition.column;
        let then = self.choice(depth + 1)?;
        self.expect(":")?;
        let other = self.choice(depth + 1)?;
        let what = Part::Choice(Box::new(condition), Box::new(then), Box::new(other));
        Ok(Node { column, what })
    }

    fn binary(&mut self, level: usize, depth: usize) -> Result<Node, ExpressionError> {
        let Some(operators) = LEVELS.get(level) else {
            return self.signed(depth);
        };
        let mut left = self.binary(level + 1, depth)?;
        loop {
            let column = self.column();
            let found = operators.iter().find(|(sign, _)| self.is_next(sign));
            let Some((_, operator)) = found else {
                return Ok(left);
            };
            self.at += 1;
            let right = self.binary(level + 1, depth)?;
            let what = Part::Binary(*operator, Box::new(left), Box::new(right));
            left = Node { column, what };
        }
    }

    fn signed(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        let column = self.column();
        if depth > DEPTH_MAX {
            return error(column, "nested too deeply");
        }
        if self.take("!") {
            let what = Part::Not(Box::new(self.signed(depth + 1)?));
            return Ok(Node { column, what });
        }
        if self.take("-") {
            let what = Part::Minus(Box::new(self.signed(depth + 1)?));
            return Ok(Node { column, what });
        }
        self.primary(depth)
    }

    fn primary(&mut self, depth: usize) -> Result<Node, ExpressionError> {
        let column = self.column();
        let Some((_, token)) = self.tokens.get(self.at).cloned() else {
            return error(column, "a value is missing at the end");
        };
        self.at += 1;
        let what = match token {
            Token::Number(number) => Part::Number(number),
            Token::Text(text) => Part::Text(text),
            Token::Name(name) if self.take("(") => self.call(&name, column, depth)?,
            Token::Name(name) => named(&name, column)?,
            Token::Sign("(") => {
                let inner = self.choice(depth + 1)?;
                self.expect(")")?;
                return Ok(inner);
            }
            sign => return error(column, format!("a value is expected, not {}", shown(&sign))),
        };
        Ok(Node { column, what })
    }

    fn call(&mut self, name: &str, column: usize, depth: usize) -> Result<Part, ExpressionError> {
        let mut arguments = Vec::new();
        if !self.take(")") {
            loop {
                arguments.push(self.choice(depth + 1)?);
                if !self.take(",") {
                    break;
                }
            }
            self.expect(")")?;
        }
        if name == "last" {
            return match &arguments[..] {
                [
                    Node {
                        what: Part::Text(tag),
                        ..
                    },
                ] => Ok(Part::Last(tag.clone())),
                _ => error(
                    column,
                    "last takes the name of a tag in quotes, as last(\"voltage\")",
                ),
            };
        }
        let Some((_, function, _, takes, _)) = FUNCTIONS.iter().find(|(known, ..)| *known == name)
        else {
            let known = FUNCTIONS.iter().map(|(name, ..)| *name).chain(["last"]);
            let near = nearest(name, known);
            return error(column, format!("{name:?} is not a function{near}"));
        };
        if !takes.contains(&arguments.len()) {
            let what = format!(
                "{name} takes {} arguments, not {}",
                takes.end(),
                arguments.len()
            );
            return error(column, what);
        }
        Ok(Part::Call(*function, arguments))
    }

    fn is_next(&self, sign: &str) -> bool {
        matches!(self.tokens.get(self.at), Some((_, Token::Sign(next))) if *next == sign)
    }

    fn take(&mut self, sign: &str) -> bool {
        let is_next = self.is_next(sign);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, sign: &str) -> Result<(), ExpressionError> {
        if self.take(sign) {
            return Ok(());
        }
        let found = match self.tokens.get(self.at) {
            Some((_, token)) => format!(", not {}", shown(token)),
            None => String::new(),
        };
        error(self.column(), format!("{sign:?} is expected here{found}"))
    }

    fn column(&self) -> usize {
        self.tokens
            .get(self.at)
            .map_or(self.end, |(column, _)| *column)
    }
}

fn named(name: &str, column: usize) -> Result<Part, ExpressionError> {
    if name == "true" || name == "false" {
        return Ok(Part::Truth(name == "true"));
    }
    match VARIABLES.iter().find(|(known, ..)| *known == name) {
        Some((_, variable, _)) => Ok(Part::Variable(*variable)),
        None => {
            let near = nearest(name, VARIABLES.iter().map(|(name, ..)| *name));
            let help = if near.is_empty() {
                format!("; another tag's value is last({name:?})")
            } else {
                near
            };
            error(column, format!("{name:?} is not known{help}"))
        }
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Number(number) => number.to_string(),
        Token::Text(text) => format!("the text {text:?}"),
        Token::Name(name) => format!("{name:?}"),
        Token::Sign(sign) => format!("{sign:?}"),
    }
}
