"""Names for runs that were given none: an adjective, a noun, a number."""

import secrets

_ADJECTIVES = (
    "able", "amber", "ample", "bold", "brave", "bright", "brisk", "calm", "candid", "clear", "clever", "crisp", "deft", "eager", "early",
    "even", "fair", "fleet", "fond", "frank", "fresh", "gentle", "glad", "grand", "handy", "hardy", "keen", "kind", "level", "light",
    "lively", "lucid", "mellow", "merry", "neat", "nimble", "open", "patient", "plain", "polite", "prime", "proud", "quick", "quiet",
    "rapid", "ready", "round", "sharp", "silent", "simple", "sleek", "smart", "smooth", "solid", "sound", "spry", "steady", "still",
    "sunny", "sure", "swift", "tidy", "trim", "true", "vivid", "warm", "wise", "witty",
)  # fmt: skip
_NOUNS = (
    "adze", "anchor", "anvil", "ash", "awl", "barge", "beacon", "bell", "birch", "boat", "bolt", "bow", "bridge", "brook", "buoy",
    "cedar", "chisel", "clamp", "cliff", "compass", "cove", "crane", "creek", "dock", "drift", "elm", "ferry", "file", "fir", "fjord",
    "forge", "gull", "hammer", "harbour", "hawk", "heron", "hull", "jetty", "keel", "kestrel", "kite", "lantern", "larch", "lathe",
    "level", "lighthouse", "mallet", "maple", "mast", "moor", "oak", "oar", "otter", "pier", "pine", "plane", "plumb", "pulley", "quay",
    "raft", "reef", "rivet", "rope", "rudder", "sail", "saw", "sloop", "spar", "tern", "tide", "wharf",
)  # fmt: skip


def random_name() -> str:
    """A name such as `swift-heron-417`; names may repeat, ids do not."""
    return f"{secrets.choice(_ADJECTIVES)}-{secrets.choice(_NOUNS)}-{secrets.randbelow(1000)}"
