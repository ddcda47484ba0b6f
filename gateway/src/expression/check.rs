//! Which kind each part gives, before any reading is there.

use super::{ExpressionError, FUNCTIONS, Kind, Node, Operator, Part, VARIABLES, error};

/// What a tree gives; a part that can never fit is an error at its column.
pub(super) fn kind(node: &Node) -> Result<Kind, ExpressionError> {
    match &node.what {
        Part::Number(_) => Ok(Kind::Number),
        Part::Truth(_) => Ok(Kind::Truth),
        Part::Text(_) => Ok(Kind::Text),
        Part::Last(_) => Ok(Kind::Any),
        Part::Variable(variable) => {
            let found = VARIABLES.iter().find(|(_, known, _)| known == variable);
            Ok(found.map_or(Kind::Any, |(.., kind)| *kind))
        }
        Part::Not(inner) => expect(inner, Kind::Truth),
        Part::Minus(inner) => expect(inner, Kind::Number),
        Part::Binary(operator, left, right) => binary(*operator, left, right),
        Part::Choice(condition, then, other) => {
            expect(condition, Kind::Truth)?;
            same(then, other)
        }
        Part::Call(function, arguments) => {
            let found = FUNCTIONS.iter().find(|(_, known, ..)| known == function);
            let Some((_, _, takes, _, gives)) = found else {
                return Ok(Kind::Any);
            };
            for argument in arguments {
                expect(argument, *takes)?;
            }
            Ok(*gives)
        }
    }
}

fn binary(operator: Operator, left: &Node, right: &Node) -> Result<Kind, ExpressionError> {
    match operator {
        Operator::Or | Operator::And => {
            expect(left, Kind::Truth)?;
            expect(right, Kind::Truth)
        }
        Operator::Equal | Operator::Unequal => same(left, right).map(|_| Kind::Truth),
        Operator::Less | Operator::AtMost | Operator::More | Operator::AtLeast => {
            expect(left, Kind::Number)?;
            expect(right, Kind::Number)?;
            Ok(Kind::Truth)
        }
        Operator::Plus
        | Operator::Minus
        | Operator::Times
        | Operator::Over
        | Operator::Remainder => {
            expect(left, Kind::Number)?;
            expect(right, Kind::Number)
        }
    }
}

fn expect(node: &Node, expected: Kind) -> Result<Kind, ExpressionError> {
    match kind(node)? {
        found if found == expected || found == Kind::Any => Ok(expected),
        found => error(node.column, format!("{expected} is expected, not {found}")),
    }
}

fn same(one: &Node, other: &Node) -> Result<Kind, ExpressionError> {
    match (kind(one)?, kind(other)?) {
        (Kind::Any, kind) | (kind, Kind::Any) => Ok(kind),
        (one, other) if one == other => Ok(one),
        (one, found) => error(
            other.column,
            format!("{one} is expected as on the other side, not {found}"),
        ),
    }
}
