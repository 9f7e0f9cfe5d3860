"""Structured logs: one JSON object a line, `timestamp, level, service, message, context`."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog

_RESERVED = frozenset({"timestamp", "level", "service", "message", "context", "exception", "request_id", "trace_id"})


def _nest_context(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    context = {key: event.pop(key) for key in list(event) if key not in _RESERVED and not key.startswith("_")}
    if context:
        event["context"] = context
    return event


def _name_service(service: str) -> structlog.typing.Processor:
    def add_service(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    return add_service


def configure_logging(service: str, *, level: str = "INFO", style: Literal["json", "console"] = "json") -> None:
    """Send our logs and the libraries' to standard error, once, as `service`. Called by composition roots only."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        _name_service(service),
        _nest_context,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if style == "json"
        else structlog.dev.ConsoleRenderer(event_key="message", colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Says at each seek outside a group that it did so.
    logging.getLogger("aiokafka.consumer.subscription_state").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module: `log.info("what happened", key=value)`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger
