"""Ferrule measured beside its peers: what ``benches/peers.py`` is made of."""
