"""An encrypted copy of the last live state on disk, for a run service that starts while the deploy service is
unreachable."""
