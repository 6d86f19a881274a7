"""The vocabulary of probes, as plain values: who asks whom what, and what must come of it.

A scenario yields probes; a probe is an action (what is done) and an expectation (what judges the
outcome). Engines, which do the actions, are in `netlab/probe/`. Being pure, this may be used by a
dataplane's file, for scenarios of its own.
"""
