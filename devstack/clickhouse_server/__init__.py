"""ClickHouse's HTTP interface over the embedded engine (chdb), for clickhouse-connect, curl and dashboards."""
