"""ClickHouse: usage events, meter values and rollups. The only place that imports clickhouse-connect."""
