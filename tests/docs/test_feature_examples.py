"""The examples of docs/features.md are declarations and settings that hold, one after the other."""

import importlib.util
import re
from pathlib import Path

from modelyard.core.settings import FILE, read_settings
from modelyard.features.domain import FeatureView
from modelyard.features.parity import proved
from modelyard.sdk.declarations import ATTRIBUTE
from modelyard.sdk.on_demand import ATTRIBUTE as ON_DEMAND

GUIDE = (Path(__file__).resolve().parents[2] / "docs/features.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The guide's examples in a language, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", GUIDE, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def test_the_declarations_hold_and_the_function_is_proved(tmp_path: Path) -> None:
    (tmp_path / "guide.py").write_text("\n".join(blocks("python")))
    made = importlib.util.spec_from_file_location("guide", tmp_path / "guide.py")
    assert made is not None
    assert made.loader is not None
    guide = importlib.util.module_from_spec(made)
    made.loader.exec_module(guide)
    views = [one.name for one in vars(guide).values() if isinstance(one, FeatureView)]
    assert views == ["weather", "airport_delays"]
    declared = getattr(guide.late, ATTRIBUTE)
    assert declared.features.names == ("wind_speed", "visib", "dep_delay_mean_1h", "dep_delay_mean_7d", "delay_ratio")
    proved(getattr(guide.delay_ratio, ON_DEMAND), guide.delay_ratio)


def test_the_settings_hold(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("\n".join(blocks("toml")))
    features = read_settings(tmp_path / FILE, {}, {}).features
    assert set(features.connections) == {"warehouse", "archive"}
    assert features.connection_teams == {"warehouse": ("pricing", "fraud")}
