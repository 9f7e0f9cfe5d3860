"""The trace as the demo uses it: one row per request, with customer, model and a time near now, all by fixed rules."""

from __future__ import annotations

from datetime import datetime, timedelta
from importlib.resources import as_file, files
from typing import Final

import polars as pl

FILE: Final = "azure_llm_inference_trace_code.csv"
CUSTOMERS: Final = 40

_LATE_EVERY = 29
# HTTP takes what is up to 35 days old, less a minute.
_LATEST_DAYS = 34
# Spreads late rows over the hours: coprime to the minutes of 34 days.
_LATE_STRIDE_MINUTES = 8_009


def read_trace() -> pl.DataFrame:
    """Return the file as it is: row, at (naive), input_tokens, output_tokens."""
    with as_file(files("devstack.trace").joinpath(FILE)) as path:
        return pl.read_csv(path).select(
            pl.int_range(pl.len(), dtype=pl.Int64).alias("row"),
            pl.col("TIMESTAMP").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us").alias("at"),
            pl.col("ContextTokens").cast(pl.Int64).alias("input_tokens"),
            pl.col("GeneratedTokens").cast(pl.Int64).alias("output_tokens"),
        )


def shifted_trace(now: datetime) -> pl.DataFrame:
    """Return the requests: row, event_id, customer, model, time (UTC), late, input_tokens, output_tokens.

    The last one is made at `now`. Customers are uneven, as real ones are: squares of a permutation of 0 to 999.
    The model follows the size of the prompt. Every 29th row is late by one hour to 34 days.
    """
    trace = read_trace()
    last = trace["at"].max()
    assert isinstance(last, datetime)
    shift = now.replace(tzinfo=None) - last
    row = pl.col("row")
    mixed = row * 7_919 % 1_000
    late = (row % _LATE_EVERY == 0) & (row > 0)
    late_by = pl.duration(minutes=60 + row * _LATE_STRIDE_MINUTES % (_LATEST_DAYS * 1440 - 120))
    model = (
        pl.when(pl.col("input_tokens") < 1000)
        .then(pl.lit("code-small"))
        .when(pl.col("input_tokens") < 4000)
        .then(pl.lit("code-medium"))
        .otherwise(pl.lit("code-large"))
    )
    return trace.select(
        row,
        pl.format("request-{}", row).alias("event_id"),
        pl.format("customer-{}", (mixed * mixed * CUSTOMERS // 1_000_000 + 1).cast(pl.Utf8).str.zfill(2)).alias(
            "customer"
        ),
        model.alias("model"),
        (pl.col("at") + shift - pl.when(late).then(late_by).otherwise(timedelta()))
        .dt.replace_time_zone("UTC")
        .alias("time"),
        late.alias("late"),
        "input_tokens",
        "output_tokens",
    )
