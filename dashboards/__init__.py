"""What people look at: pages, Grafana dashboards, alert rules."""
