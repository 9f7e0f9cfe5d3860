"""Kafka: topics, the producer, plain readers of the log. Agents consume through `streams/transport.py`."""
