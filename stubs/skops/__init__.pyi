"""The part of skops that is used."""
