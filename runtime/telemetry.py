"""Every metric's name, meaning and labels, in one place (Prometheus)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Telemetry:
    """The metrics of one process, in a registry of its own so that tests can make many."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._describe_work(self.registry)
        self._describe_requests(self.registry)

    def _describe_work(self, r: CollectorRegistry) -> None:
        self.records = Counter(
            "meterstream_records_total",
            "Records of committed blocks by what became of them.",
            ["partition", "outcome"],  # counted, duplicate, rejected, forwarded
            registry=r,
        )
        self.records_fetched = Counter(
            "meterstream_records_fetched_total",
            "Records that came from the broker; more than the log has: some were read again after a rebalance.",
            registry=r,
        )
        self.blocks = Counter("meterstream_blocks_total", "Blocks committed.", ["partition"], registry=r)
        self.block_redone = Counter(
            "meterstream_blocks_redone_total", "Blocks done again, by cause.", ["cause"], registry=r
        )
        self.block_latency_s = Histogram(
            "meterstream_block_seconds", "From fetched to committed, per block.", buckets=_LATENCY_S, registry=r
        )
        self.dead_letters = Counter("meterstream_dead_letters_total", "Dead letters by code.", ["code"], registry=r)
        self.lag_records = Gauge(
            "meterstream_lag_records", "End of the log minus our position.", ["app", "partition"], registry=r
        )
        self.last_commit_age_s = Gauge(
            "meterstream_last_commit_age_seconds", "Seconds since the last commit.", ["app"], registry=r
        )
        self.oldest_waiting_s = Gauge(
            "meterstream_oldest_waiting_seconds",
            "Age of the oldest of Stripe's events that is not applied, and of our changes that is not published.",
            ["box"],  # inbox, outbox
            registry=r,
        )
        self.reconciled_age_s = Gauge(
            "meterstream_reconciled_age_seconds",
            "Seconds since Stripe was last asked for events that it could not deliver; +Inf: never.",
            registry=r,
        )
        self.stalled = Gauge("meterstream_stalled", "1 while lag grows and nothing commits.", ["app"], registry=r)
        self.rebuilding = Gauge(
            "meterstream_rebuilding", "1 while an index or a store is being rebuilt.", ["app"], registry=r
        )
        self.loads = Counter("meterstream_loads_total", "Warehouse loads done.", ["partition"], registry=r)
        self.load_latency_s = Histogram(
            "meterstream_load_seconds", "A warehouse load, intent to done.", buckets=_LATENCY_S, registry=r
        )
        self.ledger_differences = Gauge(
            "meterstream_ledger_differences", "Places where the ledger does not add up; 0 is right.", registry=r
        )
        self.stripe_events = Counter(
            "meterstream_stripe_events_total",
            "Events of Stripe's by what became of them.",
            ["state"],  # applied, ignored, received (failed, to be tried again), parked
            registry=r,
        )

    def _describe_requests(self, r: CollectorRegistry) -> None:
        self.http_requests = Counter(
            "meterstream_http_requests_total", "HTTP answers.", ["method", "route", "status"], registry=r
        )
        self.http_latency_s = Histogram(
            "meterstream_http_seconds", "HTTP latency.", ["method", "route"], buckets=_LATENCY_S, registry=r
        )
        self.events_accepted = Counter(
            "meterstream_events_accepted_total", "Events that Kafka confirmed, over HTTP.", registry=r
        )
        self.events_rejected = Counter(
            "meterstream_events_rejected_total", "Events refused over HTTP by code.", ["code"], registry=r
        )
        self.rate_limits_skipped = Counter(
            "meterstream_rate_limits_skipped_total", "Requests let through uncounted: Valkey is down.", registry=r
        )
        self.rate_limited = Counter(
            "meterstream_rate_limited_total", "Requests refused, by what was counted.", ["kind"], registry=r
        )
        self.cached_answers = Counter(
            "meterstream_cached_answers_total",
            "Public answers by where they came from.",
            ["group", "source"],  # own, shared, store
            registry=r,
        )
        self.event_streams = Gauge("meterstream_event_streams", "Open event streams.", registry=r)
