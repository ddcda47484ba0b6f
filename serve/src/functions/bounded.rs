//! Functions whose values grow with their arguments, bounded.
//!
//! The memory of a query counts sorts, joins and groups, not what a function writes: `replace` makes a text of any size,
//! and a column that is mentioned twice in `||` doubles with each `WITH`. Every call of such a function, however it came
//! into the plan, is therefore wrapped: how large its values can become is worked out from its arguments before anything
//! is written, a few rows at a time, and what was written is measured. What is too large is an error.

mod growth;
mod joined;
mod sizes;

use std::{any::Any, sync::Arc};

use arrow::{
    array::{Array as _, ArrayRef},
    compute::concat,
    datatypes::{DataType, FieldRef},
};
use datafusion::{
    common::{
        DFSchema, DataFusionError, Result, ScalarValue, exec_datafusion_err, plan_err,
        tree_node::Transformed,
    },
    config::ConfigOptions,
    logical_expr::{
        ColumnarValue, Expr, ExprSchemable as _, ExpressionPlacement, Operator, ReturnFieldArgs,
        ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, expr::ScalarFunction,
        expr_rewriter::FunctionRewrite, udf_eq::UdfEq,
    },
};

use growth::Growth;
use joined::{JOINED, Joined};
pub(crate) use sizes::lengths;
use sizes::{largest, written};

/// The longest text that stands in a statement, and the longest value that is made of constants alone: an answer may
/// repeat either in each of its rows.
pub(crate) const CONSTANT_BYTES_MAX: usize = 8 << 10;
/// The longest value that is made of a row.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// What one call may write for a batch of rows: so much, and so much for each row besides.
const BATCH_BYTES_FREE: usize = 1 << 20;
const BATCH_BYTES_OF_ROW: usize = 512;
/// What one call may write before it is measured.
const SLICE_BYTES_MAX: usize = 8 << 20;

/// Functions of the engine that nobody needs, and that make one value as large as they are told, or work without end on
/// two values: nothing interrupts them.
pub(crate) const NOT_THERE: [&str; 14] = [
    "repeat",
    "array_repeat",
    "list_repeat",
    "range",
    "generate_series",
    "lpad",
    "rpad",
    "array_resize",
    "list_resize",
    "levenshtein",
    "array_has_all",
    "array_has_any",
    "array_distance",
    "map",
];

/// Whether calls of a function are wrapped.
pub(crate) fn grows(name: &str) -> bool {
    Growth::of(name).is_some()
}

/// Wraps the calls in a plan, and refuses those of [`NOT_THERE`]: some come in by operators.
#[derive(Debug)]
pub(crate) struct Bounds;

impl FunctionRewrite for Bounds {
    fn name(&self) -> &str {
        "bounded_functions"
    }

    fn rewrite(
        &self,
        expr: Expr,
        schema: &DFSchema,
        _: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        match expr {
            Expr::ScalarFunction(call) if NOT_THERE.contains(&call.name()) => {
                plan_err!("Invalid function '{}'", call.name())
            }
            Expr::ScalarFunction(call) if !is_bounded(&call.func) => Ok(wrapped(call)),
            Expr::BinaryExpr(ref binary) if binary.op == Operator::StringConcat => {
                joined(expr, schema)
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

fn is_bounded(function: &ScalarUDF) -> bool {
    let inner: &dyn Any = function.inner().as_ref();
    inner.is::<Bounded>()
}

fn wrapped(call: ScalarFunction) -> Transformed<Expr> {
    let Some(growth) = Growth::of(call.name()) else {
        return Transformed::no(Expr::ScalarFunction(call));
    };
    let inner = call.func.inner().clone();
    Transformed::yes(called(inner, growth, call.args))
}

fn called(inner: Arc<dyn ScalarUDFImpl>, growth: Growth, args: Vec<Expr>) -> Expr {
    let bounded = Bounded {
        inner: inner.into(),
        growth,
    };
    let function = Arc::new(ScalarUDF::new_from_impl(bounded));
    Expr::ScalarFunction(ScalarFunction::new_udf(function, args))
}

/// `a || b` as a call, and `a || b || c` as one.
fn joined(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let joined_type = match expr.get_type(schema) {
        Ok(text @ (DataType::LargeUtf8 | DataType::Utf8View)) => text,
        Ok(other) if other.is_nested() || other.is_binary() => {
            return plan_err!("|| joins texts, not values of the type {other}");
        }
        // The type of a parameter is not known before it has a value.
        _ => DataType::Utf8,
    };
    let Expr::BinaryExpr(binary) = expr else {
        return Ok(Transformed::no(expr));
    };
    let mut args = match *binary.left {
        Expr::ScalarFunction(call) if call.name() == JOINED && is_bounded(&call.func) => call.args,
        left => vec![left],
    };
    args.push(*binary.right);
    let joined = Arc::new(Joined::new(joined_type));
    Ok(Transformed::yes(called(joined, Growth::Sum, args)))
}

/// A function whose values are bounded.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: UdfEq<Arc<dyn ScalarUDFImpl>>,
    growth: Growth,
}

impl Bounded {
    fn too_large(&self, bytes_max: usize) -> DataFusionError {
        let name = self.inner.name();
        exec_datafusion_err!("{name} makes more than {bytes_max} bytes: its texts are too long")
    }

    /// Of constants alone.
    fn constant(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let sizes: Vec<usize> = args.args.iter().map(size).collect::<Result<_>>()?;
        if self.growth.bytes_max(&sizes) > SLICE_BYTES_MAX {
            return Err(self.too_large(CONSTANT_BYTES_MAX));
        }
        let value = self.inner.invoke_with_args(args)?;
        if size(&value)? > CONSTANT_BYTES_MAX {
            return Err(self.too_large(CONSTANT_BYTES_MAX));
        }
        Ok(value)
    }

    /// Of rows: as many at once as cannot become too large, and then the next.
    fn rows(&self, args: &ScalarFunctionArgs) -> Result<ArrayRef> {
        let bytes_max = BATCH_BYTES_FREE + BATCH_BYTES_OF_ROW * args.number_rows;
        let columns: Vec<Vec<usize>> = args
            .args
            .iter()
            .map(|arg| match arg {
                ColumnarValue::Array(array) => Ok(lengths(array)),
                constant => Ok(vec![size(constant)?; args.number_rows]),
            })
            .collect::<Result<_>>()?;
        let mut parts: Vec<ArrayRef> = Vec::new();
        let mut total = 0;
        let mut first = 0;
        while first < args.number_rows || parts.is_empty() {
            let count = self.fitting(&columns, first, args.number_rows)?;
            let part = self.part(args, first, count)?;
            total += written(&part);
            if total > bytes_max {
                return Err(self.too_large(bytes_max));
            }
            if largest(&part) > VALUE_BYTES_MAX {
                return Err(self.too_large(VALUE_BYTES_MAX));
            }
            parts.push(part);
            first += count;
        }
        let parts: Vec<&dyn arrow::array::Array> = parts.iter().map(AsRef::as_ref).collect();
        Ok(concat(&parts)?)
    }

    /// How many rows from this one on cannot become too large together.
    fn fitting(&self, columns: &[Vec<usize>], first: usize, rows: usize) -> Result<usize> {
        let mut bytes = 0_usize;
        let mut sizes = vec![0; columns.len()];
        for row in first..rows {
            for (size, column) in sizes.iter_mut().zip(columns) {
                *size = column[row];
            }
            bytes = bytes.saturating_add(self.growth.bytes_max(&sizes));
            if bytes > SLICE_BYTES_MAX {
                return match row - first {
                    0 => Err(self.too_large(VALUE_BYTES_MAX)),
                    count => Ok(count),
                };
            }
        }
        Ok(rows - first)
    }

    fn part(&self, args: &ScalarFunctionArgs, first: usize, count: usize) -> Result<ArrayRef> {
        let of_rows = |arg: &ColumnarValue| match arg {
            ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(first, count)),
            constant => constant.clone(),
        };
        let mut own = args.clone();
        own.args = args.args.iter().map(of_rows).collect();
        own.number_rows = count;
        self.inner.invoke_with_args(own)?.into_array(count)
    }
}

fn size(value: &ColumnarValue) -> Result<usize> {
    match value {
        ColumnarValue::Array(array) => Ok(written(array)),
        ColumnarValue::Scalar(scalar) => scalar_size(scalar),
    }
}

fn scalar_size(scalar: &ScalarValue) -> Result<usize> {
    match scalar.try_as_str() {
        Some(text) => Ok(text.map_or(0, str::len)),
        None => Ok(written(&scalar.to_array()?)),
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_column = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Array(_));
        if args.args.iter().any(is_column) {
            self.rows(&args).map(ColumnarValue::Array)
        } else {
            self.constant(args)
        }
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.inner.placement(args)
    }
}

#[cfg(test)]
mod tests;
