"""The catalogue of requirements as it comes with the package: `requirements.yaml`. Owns the file's reading."""

from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec
import yaml

from modelyard.governance.domain import Framework
from modelyard.governance.rules.catalogue import Catalogue, Requirement


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """Every framework and requirement. Read once: it takes a tenth of a second."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = files("modelyard.governance").joinpath("requirements.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader, in C where there is one
    frameworks = [Framework(id=name, name=one["name"], status=str(one["status"])) for name, one in found["frameworks"].items()]
    return Catalogue(
        frameworks=tuple(frameworks), facts=found["facts"], requirements=msgspec.convert(found["requirements"], tuple[Requirement, ...])
    )
