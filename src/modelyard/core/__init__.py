"""Ids, clock, digests, settings and the base error. Owns what every component names; knows no component."""
