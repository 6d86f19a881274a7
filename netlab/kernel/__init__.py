"""The only room that touches Linux: sandbox, netlink, rulesets, containers, observer."""
