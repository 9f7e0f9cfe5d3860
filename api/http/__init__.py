"""What all requests and answers share: bounds, errors, idempotency, paging, caching, the OpenAPI document."""
