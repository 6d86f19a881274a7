"""Machines that a lab is spread over: what they are, the way to them, netlab on them."""
