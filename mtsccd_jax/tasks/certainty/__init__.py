"""How sure a network is of classes and of change, and whether it may be believed, in its city and out of it."""

# The value of `--method` -> the protocol of its rows.
PROTOCOLS = {method: f"{method}_certainty" for method in ("scene", "cfsm", "cdc_1", "sscd")}
METHODS = {protocol: method for method, protocol in PROTOCOLS.items()}
CHANGE_PROTOCOLS = tuple(protocol for protocol, method in METHODS.items() if method != "scene")
