"""A meter's filters, for columns of values that were read as one kind; `readings.matches` is the rule."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from metering.arrow_arrays import Mask, as_mask
from metering.columns import Kind
from metering.meters import Filter, Operator, Scalar

_PYTHON_TYPES: Final = {Kind.TEXT: str, Kind.INTEGER: Decimal, Kind.BOOLEAN: bool}


def matching(condition: Filter, kind: Kind, values: pa.Array) -> Mask:
    """Mark the values that a filter lets through; null is a missing property. `kind` is not DECIMAL."""
    wanted, operator = condition.value, condition.operator
    if operator is Operator.EXISTS:
        return as_mask(values.is_valid() if wanted else values.is_null())
    if operator in (Operator.EQ, Operator.NE, Operator.IN, Operator.NIN):
        choices = wanted if isinstance(wanted, tuple) else (wanted,)
        found = _among(choices, kind, values)
        return found if operator in (Operator.EQ, Operator.IN) else ~found
    assert isinstance(wanted, Decimal)
    if kind is not Kind.INTEGER:
        return np.zeros(len(values), np.bool_)
    return _in_order(operator, wanted, values)


def _among(choices: tuple[Scalar, ...], kind: Kind, values: pa.Array) -> Mask:
    same_type: list[object] = [choice for choice in choices if type(choice) is _PYTHON_TYPES[kind]]
    if kind is Kind.INTEGER:
        same_type = [int(choice) for choice in choices if isinstance(choice, Decimal) and choice == int(choice)]
    if not same_type:
        return np.zeros(len(values), np.bool_)
    if len(same_type) == 1:
        return as_mask(pc.equal(values, pa.scalar(same_type[0], kind.value)))
    return as_mask(pc.and_(values.is_valid(), pc.is_in(values, pa.array(same_type, kind.value))))


def _in_order(operator: Operator, wanted: Decimal, values: pa.Array) -> Mask:
    """Compare integers with a decimal: with the integer next to it that divides them alike."""
    if operator in (Operator.GT, Operator.LTE):
        bound = pa.scalar(math.floor(wanted), pa.int64())
        return as_mask(pc.greater(values, bound) if operator is Operator.GT else pc.less_equal(values, bound))
    bound = pa.scalar(math.ceil(wanted), pa.int64())
    return as_mask(pc.greater_equal(values, bound) if operator is Operator.GTE else pc.less(values, bound))
