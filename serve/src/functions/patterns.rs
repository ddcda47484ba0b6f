//! Regular expressions, bounded.
//!
//! A count in braces makes of a short pattern a very long one: `(a{500}){500}` stands for 250,000 characters, and looking for it
//! keeps a thread for as long as that takes: nothing interrupts it. So every pattern is measured before it is used: one that
//! stands in the statement when that is planned, one that is worked out when it is evaluated.

use std::sync::Arc;

use arrow::{
    array::{Array as _, AsArray as _},
    datatypes::DataType,
};
use datafusion::{
    common::{
        DFSchema, DataFusionError, Result, exec_datafusion_err, plan_datafusion_err,
        tree_node::Transformed,
    },
    config::ConfigOptions,
    logical_expr::{
        BinaryExpr, ColumnarValue, Expr, Like, Operator, ScalarFunctionArgs, ScalarUDF,
        ScalarUDFImpl, Signature, Volatility, expr::ScalarFunction, expr_rewriter::FunctionRewrite,
    },
};
use regex_syntax::hir::{Hir, HirKind};

/// For how many more characters than it has itself a pattern may stand.
const REPEATED_MAX: u64 = 500;
/// How the functions' names begin that take a pattern as their second argument.
const FUNCTIONS: &str = "regexp_";

/// Measures the patterns in a plan.
#[derive(Debug)]
pub(crate) struct Patterns;

impl FunctionRewrite for Patterns {
    fn name(&self) -> &str {
        "bounded_patterns"
    }

    fn rewrite(&self, expr: Expr, _: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_match(op) => {
                let right = measured(*right)?;
                Ok(right.update_data(|right| {
                    let right = Box::new(right);
                    Expr::BinaryExpr(BinaryExpr { left, op, right })
                }))
            }
            Expr::SimilarTo(Like {
                negated,
                expr,
                pattern,
                escape_char,
                case_insensitive,
            }) => {
                let pattern = measured(*pattern)?;
                Ok(pattern.update_data(|pattern| {
                    let pattern = Box::new(pattern);
                    let like = Like::new(negated, expr, pattern, escape_char, case_insensitive);
                    Expr::SimilarTo(like)
                }))
            }
            Expr::ScalarFunction(call) if call.name().starts_with(FUNCTIONS) => of_call(call),
            other => Ok(Transformed::no(other)),
        }
    }
}

fn is_match(op: Operator) -> bool {
    matches!(
        op,
        Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch
    )
}

fn of_call(call: ScalarFunction) -> Result<Transformed<Expr>> {
    let ScalarFunction { func, mut args } = call;
    if args.len() < 2 {
        let call = ScalarFunction::new_udf(func, args);
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    }
    let pattern = measured(args.remove(1))?;
    Ok(pattern.update_data(|pattern| {
        args.insert(1, pattern);
        Expr::ScalarFunction(ScalarFunction::new_udf(func, args))
    }))
}

/// A constant as it is, if it is short enough; what is no constant as a call that measures it.
fn measured(pattern: Expr) -> Result<Transformed<Expr>> {
    match &pattern {
        Expr::Literal(constant, _) => {
            if let Some(text) = constant.try_as_str().flatten()
                && !is_short(text)
            {
                return Err(plan_datafusion_err!("{}", too_long()));
            }
            Ok(Transformed::no(pattern))
        }
        Expr::ScalarFunction(call) if call.func.inner().is::<Measured>() => {
            Ok(Transformed::no(pattern))
        }
        _ => {
            let function = Arc::new(ScalarUDF::new_from_impl(Measured::new()));
            let call = ScalarFunction::new_udf(function, vec![pattern]);
            Ok(Transformed::yes(Expr::ScalarFunction(call)))
        }
    }
}

fn too_long() -> String {
    format!(
        "a regular expression stands for more than {REPEATED_MAX} characters beyond its own: its counts are too large"
    )
}

/// Whether a pattern stands for few more characters than it has. One that cannot be read is for the engine to refuse.
fn is_short(pattern: &str) -> bool {
    // What needs no time to be told: only counts make a pattern longer.
    if !pattern.contains('{') {
        return true;
    }
    match regex_syntax::parse(pattern) {
        Ok(hir) => length(&hir) <= REPEATED_MAX + pattern.len() as u64,
        Err(_) => true,
    }
}

/// How many characters stand in a pattern when its counts are written out. The parser bounds how deep it nests.
fn length(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(_) => 1,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            length(&repetition.sub).saturating_mul(u64::from(times))
        }
        HirKind::Capture(capture) => length(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            let lengths = parts.iter().map(length);
            lengths.fold(0, u64::saturating_add)
        }
    }
}

/// Hands on patterns that are short enough.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Measured {
    signature: Signature,
}

impl Measured {
    fn new() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for Measured {
    fn name(&self) -> &str {
        "pattern"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut args = args.args;
        let Some(pattern) = args.pop() else {
            return Err(DataFusionError::Internal("one argument is expected".into()));
        };
        match &pattern {
            ColumnarValue::Scalar(constant) => check(constant.try_as_str().flatten())?,
            ColumnarValue::Array(rows) => match rows.data_type() {
                DataType::Utf8 => check(rows.as_string::<i32>().iter().flatten())?,
                DataType::LargeUtf8 => check(rows.as_string::<i64>().iter().flatten())?,
                DataType::Utf8View => check(rows.as_string_view().iter().flatten())?,
                // None is a pattern.
                _ => {}
            },
        }
        Ok(pattern)
    }
}

fn check<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut last = None;
    for pattern in patterns {
        // The same one often stands in many rows.
        if last == Some(pattern) {
            continue;
        }
        if !is_short(pattern) {
            return Err(exec_datafusion_err!("{}", too_long()));
        }
        last = Some(pattern);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_counts_make_a_pattern_too_long() {
        for pattern in [
            "^pump-[0-9]{1,3}$",
            "(a|b|c){100}",
            "\\w+\\s*=\\s*\\d{4}-\\d{2}",
            "a{500}",
            "x{2,}",
            // Not a pattern, and not for this check to say.
            "(((a{2}",
        ] {
            assert!(is_short(pattern), "{pattern}");
        }
        let listed = format!("^({}){{1}}$", vec!["north-pump-1"; 400].join("|"));
        assert!(is_short(&listed));
        for pattern in [
            "a{600}",
            "a{0,600}",
            "a{600,}",
            "(a{30}){30}",
            "((a{30})?|b){30}",
            "(?i:(?P<x>[a-z]{40}){40})",
            "((((a{1000}){1000}){1000}){1000}){1000}",
        ] {
            assert!(!is_short(pattern), "{pattern}");
        }
    }
}
