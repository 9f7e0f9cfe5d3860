"""A Stripe to develop, test and demonstrate against: stateful, in Stripe's wire format, with faults on demand.

`api.py` is the door, `world.py` what is known, a noun a file what can be done; `control.py` says how to make faults.
It speaks one API version and refuses parameters that it would not honour, instead of ignoring them.
"""
