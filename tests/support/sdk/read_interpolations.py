"""Prints OmegaConf's value of each text in a list, which is empty if it refuses. Run it with the SDK's Python."""

import json
import sys
import warnings

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

warnings.simplefilter("ignore")


def read(text: str) -> list:
    try:
        return [OmegaConf.to_container(OmegaConf.create({"text": text, "x": "X"}), resolve=True)["text"]]
    except OmegaConfBaseException:
        return []


if __name__ == "__main__":
    sys.stdout.write(json.dumps([read(text) for text in json.load(sys.stdin)]))
