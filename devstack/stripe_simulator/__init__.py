"""A Stripe to develop, test and demonstrate against: stateful, in Stripe's wire format, with faults on demand.

`api.py` takes requests, `world.py` holds the objects, each resource has a file of its own, and `control.py` makes
faults.
It speaks one API version and refuses parameters that it would not honour, instead of ignoring them.
"""
