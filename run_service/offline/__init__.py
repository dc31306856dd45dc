"""An encrypted copy on disk of what was live last, for a run service that starts while the deploy service is away."""
