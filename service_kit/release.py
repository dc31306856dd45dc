"""The release of Flowpin."""

from importlib import metadata

try:
    VERSION = metadata.version("flowpin")
except metadata.PackageNotFoundError:  # started from files without an installation
    VERSION = "unknown"
