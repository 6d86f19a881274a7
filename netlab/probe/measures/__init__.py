"""What a dataplane is and what it costs, measured in one lab: the cells of `netlab compare`."""
