//! The operator `||` as a function of any number of texts: null where one of them is.

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, StringArray, StringBuilder},
    compute::cast,
    datatypes::DataType,
};
use datafusion::{
    common::{Result, ScalarValue, exec_datafusion_err, plan_err},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility},
};

/// Its name.
pub(super) const JOINED: &str = "||";

/// Joins texts.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Joined {
    signature: Signature,
    /// One of the engine's three types of texts.
    joined_type: DataType,
}

/// What stands at one place.
enum Part {
    Constant(Option<String>),
    Column(StringArray),
}

impl Part {
    fn of(value: &ColumnarValue) -> Result<Self> {
        match value {
            ColumnarValue::Array(array) => {
                let texts = cast(array, &DataType::Utf8)?;
                Ok(Self::Column(texts.as_string::<i32>().clone()))
            }
            ColumnarValue::Scalar(scalar) => {
                let text = scalar.cast_to(&DataType::Utf8)?;
                Ok(Self::Constant(
                    text.try_as_str().flatten().map(str::to_owned),
                ))
            }
        }
    }

    fn text(&self, row: usize) -> Option<&str> {
        match self {
            Self::Constant(text) => text.as_deref(),
            Self::Column(texts) => texts.is_valid(row).then(|| texts.value(row)),
        }
    }
}

impl Joined {
    pub(super) fn new(joined_type: DataType) -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
            joined_type,
        }
    }

    fn rows(&self, parts: &[Part], count: usize) -> Result<ArrayRef> {
        let mut texts = StringBuilder::new();
        for row in 0..count {
            if parts.iter().any(|part| part.text(row).is_none()) {
                texts.append_null();
                continue;
            }
            for part in parts.iter().filter_map(|part| part.text(row)) {
                let joined = texts.write_str(part);
                joined.map_err(|_| exec_datafusion_err!("|| failed"))?;
            }
            texts.append_value("");
        }
        let texts: ArrayRef = Arc::new(texts.finish());
        Ok(cast(&texts, &self.joined_type)?)
    }
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &str {
        JOINED
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.joined_type.clone())
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if let Some(nested) = arg_types.iter().find(|data_type| data_type.is_nested()) {
            return plan_err!("|| joins texts, not values of the type {nested}");
        }
        Ok(vec![DataType::Utf8; arg_types.len()])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let parts: Vec<Part> = args.args.iter().map(Part::of).collect::<Result<_>>()?;
        let is_constant = |part: &Part| matches!(part, Part::Constant(_));
        if parts.iter().all(is_constant) {
            let one = self.rows(&parts, 1)?;
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?));
        }
        self.rows(&parts, args.number_rows)
            .map(ColumnarValue::Array)
    }
}
